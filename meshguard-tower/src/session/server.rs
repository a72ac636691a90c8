//! A session's receiving side.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use http::HeaderName;
use meshguard_core::delivery::base::Cover;
use meshguard_core::delivery::{Accepted, Receiver, SessionKeys, Sid};
use meshguard_core::{Peer, SpiffeId, Timestamp};
use rustls_pki_types::CertificateDer;

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
    pub(crate) expires: Timestamp,
    /// Bytes of known bodies that are held for it.
    pub(crate) held: Arc<AtomicUsize>,
    pub(super) ended: AtomicBool,
    /// What has cut off all that runs in it.
    pub(super) withdrawn: OnceLock<Weak<Change>>,
    /// Where its caller is measured.
    pub(crate) caller: Arc<Tally>,
    /// Where the hop is measured over which it was opened, if there was one.
    pub(crate) hop: Option<Arc<Tally>>,
    /// Where its books go when it ends.
    pub(super) closed: Arc<Mutex<Closed>>,
    pub(super) receiver: Mutex<Receiver>,
}

/// What sessions came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Closed {
    pub(crate) books: Accepted,
    /// Answers that their callers have confirmed.
    pub(crate) confirmed: u64,
}

impl Closed {
    pub(super) fn add(&mut self, other: Self) {
        self.books += other.books;
        self.confirmed += other.confirmed;
    }
}

impl ServerSession {
    /// Whether it takes new exchanges.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        !self.ended.load(Ordering::Relaxed) && now < self.expires
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

    /// Its books, and the answers that were confirmed so far.
    pub(super) fn sums(&self) -> Closed {
        let receiver = self.receiver();
        Closed { books: receiver.books(), confirmed: receiver.confirmed() }
    }

    /// The state of its exchanges. Never held across user code or a wait.
    pub(crate) fn receiver(&self) -> MutexGuard<'_, Receiver> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ServerSession {
    fn drop(&mut self) {
        let sums = self.sums();
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).add(sums);
    }
}
