//! A session's receiving side.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use http::HeaderName;
use meshguard_core::delivery::base::Cover;
use meshguard_core::delivery::{Accepted, Answers, Receiver, SessionKeys, Sid};
use meshguard_core::ledger::{Entry, Unconfirmed};
use meshguard_core::{Peer, SpiffeId, Timestamp};
use rustls_pki_types::CertificateDer;

use super::principal::Place;
use crate::clock::Now;
use crate::connection::Carriers;
use crate::ledger::Ledger;
use crate::observe::Tally;
use crate::rejudge::Change;
use crate::sink::Edge;

/// A session that this service receives on.
pub(crate) struct ServerSession {
    pub(crate) sid: Sid,
    pub(crate) keys: SessionKeys,
    /// The end-to-end caller.
    pub(crate) peer: Peer,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// What request proofs cover besides the fixed list.
    pub(crate) cover: Cover,
    /// All that request proofs cover.
    pub(crate) covered: Vec<HeaderName>,
    /// What answers' proofs cover besides the fixed list.
    pub(crate) answer_cover: Cover,
    /// The largest record payload that the caller takes.
    pub(crate) record: usize,
    /// The longest gRPC message that the caller takes.
    pub(crate) message: usize,
    /// Whether the caller takes records of several gRPC messages.
    pub(crate) batch: bool,
    /// It takes new exchanges until then, by the steady clock, and while its peer's certificate holds.
    pub(crate) until: Timestamp,
    /// Its place among its principal's, and what they take together.
    pub(crate) principal: Place,
    pub(super) ended: AtomicBool,
    /// Set once another session is to take its place: until then it takes new exchanges.
    pub(super) retires: OnceLock<Timestamp>,
    /// What has cut off all that runs in it.
    pub(super) withdrawn: OnceLock<Weak<Change>>,
    /// Where its caller is measured.
    pub(crate) caller: Arc<Tally>,
    /// Where the hop is measured over which it was opened, if there was one.
    pub(crate) hop: Option<Arc<Tally>>,
    /// Its caller's own connections.
    pub(crate) carriers: Arc<Carriers>,
    pub(super) ledger: Option<Ledger>,
    /// Where its books go when it ends.
    pub(super) closed: Arc<Mutex<Closed>>,
    pub(super) receiver: Mutex<Receiver>,
}

/// What sessions came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Closed {
    pub(crate) books: Accepted,
    pub(crate) answers: Answers,
}

impl Closed {
    pub(super) fn add(&mut self, other: Self) {
        self.books += other.books;
        self.answers += other.answers;
    }
}

impl ServerSession {
    /// Whether it takes new exchanges. Once its time is over it is over for good, whatever a clock
    /// shows later.
    pub(crate) fn is_open(&self, now: Now) -> bool {
        if now.reached >= self.peer.not_after() {
            self.ended.store(true, Ordering::Relaxed);
        }
        let retired = self.retires.get().is_some_and(|at| *at <= now.steady);
        !self.ended.load(Ordering::Relaxed) && now.steady < self.until && !retired
    }

    /// Whether its caller is to open another one: its proofs do not cover what policy reads.
    pub(crate) fn is_retiring(&self) -> bool {
        self.retires.get().is_some()
    }

    /// Whether its peer has no right to be here any more, nor has what runs in it.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawn.get().is_some()
    }

    pub(super) fn withdraw(&self, change: &Arc<Change>) {
        // The first change counts.
        let _ = self.withdrawn.set(Arc::downgrade(change));
    }

    /// Between whom its exchanges are; `callee` is this service.
    pub(crate) fn edge<'a>(&'a self, callee: &'a SpiffeId) -> Edge<'a> {
        let via = self.hop.as_ref().and_then(|hop| hop.key().peer());
        Edge { from: Some(self.peer.id()), to: callee, via }
    }

    /// Whom to charge with what anybody on its way may have done.
    pub(crate) fn path(&self) -> &Arc<Tally> {
        self.hop.as_ref().unwrap_or(&self.caller)
    }

    /// Its books, and what became of its answers so far.
    pub(super) fn sums(&self) -> Closed {
        let receiver = self.receiver();
        Closed { books: receiver.books(), answers: receiver.answers() }
    }

    /// Notices the answers that went out before `limit` and were not confirmed; whether there
    /// are any. A caller that is known to be there withholds their receipts; of one that came
    /// through hops only, that is known of its last request.
    pub(crate) fn overdue(&self, limit: Timestamp) -> bool {
        let mut receiver = self.receiver();
        let there = match self.carriers.is_there() {
            Some(true) => Timestamp::MAX,
            Some(false) => Timestamp::EPOCH,
            None => receiver.heard(),
        };
        receiver.overdue(limit, there);
        receiver.has_findings()
    }

    /// Whether its caller has left, and left answers without receipts.
    pub(super) fn is_departed(&self) -> bool {
        self.carriers.is_there() != Some(true) && self.receiver().has_unconfirmed()
    }

    /// Writes down that nobody confirms these answers.
    pub(crate) fn left_unconfirmed(&self, first: u64, last: u64) {
        let Some(ledger) = &self.ledger else { return };
        let via = self.hop.as_ref().and_then(|hop| hop.key().peer()).map(SpiffeId::as_str);
        let (from, sid) = (self.peer.id().as_str(), self.sid);
        // What is lost is counted there.
        let _ = ledger.append(&Entry::Unconfirmed(Unconfirmed { from, via, sid, first, last }));
    }

    /// Nobody confirms its answers any more: it is over, or this service is.
    pub(super) fn close(&self) {
        let left = self.receiver().close();
        left.into_iter().for_each(|(first, last)| self.left_unconfirmed(first, last));
    }

    /// The state of its exchanges. Never held across user code or a wait.
    pub(crate) fn receiver(&self) -> MutexGuard<'_, Receiver> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ServerSession {
    fn drop(&mut self) {
        self.close();
        let sums = self.sums();
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).add(sums);
    }
}
