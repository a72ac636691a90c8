//! One request under way at its receiver: what its body came to, and who wants to know.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use meshguard_core::delivery::field::Rcpt;
use meshguard_core::delivery::{Claim, Proof, Receipt, ReceiptStatus, known};
use meshguard_core::policy::DeliveryMode;
use meshguard_core::{Evidence, Peer, ledger};

use super::ending::Ending;
use super::facts::Facts;
use super::hook::Left;
use super::observed::Observed;
use crate::connection::Connection;
use crate::error::{DeliveryError, DeliveryErrorKind};
use crate::mesh::Mesh;
use crate::rejudge::Place;
use crate::session::ServerSession;
use crate::sink::{Direction, Edge};

/// How a request was delivered: in its extensions. Cloning is cheap.
#[derive(Clone)]
pub struct Delivery(pub(crate) Arc<Exchange>);

impl Delivery {
    /// How complete the request's delivery is proved to be; a failure ends its body with an
    /// error, whatever this says.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.0.evidence
    }

    /// Why the request's body failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<DeliveryError> {
        self.0.failure.get().cloned()
    }

    /// How the edge delivers, by the policy in force now: what its caller is asked to prove.
    #[must_use]
    pub fn mode(&self) -> DeliveryMode {
        let (caller, own) = (self.0.principal.id(), self.0.mesh.id());
        self.0.mesh.policy().delivery(Some(caller), Some(own)).mode
    }

    /// The hop that carried the request, if its caller did not itself.
    #[must_use]
    pub fn via(&self) -> Option<&Peer> {
        self.0.via.as_ref()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("evidence", &self.evidence())
            .field("failure", &self.failure())
            .finish_non_exhaustive()
    }
}

pub(crate) struct Exchange {
    pub(crate) mesh: Mesh,
    pub(crate) connection: Connection,
    pub(crate) principal: Peer,
    pub(crate) via: Option<Peer>,
    pub(crate) evidence: Evidence,
    pub(crate) failure: OnceLock<DeliveryError>,
    pub(crate) proven: Option<Proven>,
    /// What policy was asked; set where it let the request in.
    pub(super) facts: OnceLock<Facts>,
    pub(super) observed: Observed,
    pub(crate) ending: Ending,
    /// Where it stands among the open ones, once it is let in.
    pub(super) place: OnceLock<Place>,
}

/// What only a proven request has.
pub(crate) struct Proven {
    pub(crate) session: Arc<ServerSession>,
    pub(crate) claim: Claim,
    pub(crate) proof: Proof,
    /// Whether the seq is this request's own.
    claimed: bool,
    /// Records and bytes that were passed on to the application.
    passed: [AtomicU64; 2],
    request: Mutex<RequestState>,
}

struct RequestState {
    kind: RequestKind,
    receipt: Option<Receipt>,
    /// What the application did not read, to be drained.
    unread: Option<Left>,
    /// Who waits for the receipt.
    waker: Option<Waker>,
    /// Who reads on.
    drainer: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq)]
enum RequestKind {
    /// None or known: the answer's proof binds the request's, so its receipt needs none.
    InHead,
    Records,
}

impl Proven {
    /// A request without records, of which this is the receipt unless the application reads it.
    pub(crate) fn in_head(
        session: Arc<ServerSession>,
        claim: Claim,
        proof: Proof,
        receipt: Receipt,
    ) -> Self {
        Self::new(session, claim, proof, RequestKind::InHead, Some(receipt))
    }

    /// A request whose body comes in records.
    pub(crate) fn records(session: Arc<ServerSession>, claim: Claim, proof: Proof) -> Self {
        Self::new(session, claim, proof, RequestKind::Records, None)
    }

    /// A request that was not admitted, to be answered with proof. Its seq is another's.
    pub(crate) fn answering(
        session: Arc<ServerSession>,
        claim: Claim,
        proof: Proof,
        receipt: Receipt,
    ) -> Self {
        let mut new = Self::in_head(session, claim, proof, receipt);
        new.claimed = false;
        new
    }

    fn new(
        session: Arc<ServerSession>,
        claim: Claim,
        proof: Proof,
        kind: RequestKind,
        receipt: Option<Receipt>,
    ) -> Self {
        let (unread, waker, drainer) = (None, None, None);
        let request = Mutex::new(RequestState { kind, receipt, unread, waker, drainer });
        Self { session, claim, proof, claimed: true, passed: Default::default(), request }
    }

    /// Whether the seq is this request's own: else it is not this answer that is confirmed.
    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed
    }

    /// The receipt as far as it is known.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        self.state().receipt
    }

    /// Which exchange this is, for the ledger.
    pub(super) fn exchange(&self) -> ledger::Exchange {
        let Claim { seq, att, .. } = self.claim;
        ledger::Exchange { sid: self.session.sid, seq, attempt: att }
    }

    /// What the answer's head can say now; `None` where the request has not ended yet.
    pub(crate) fn rcpt_now(&self) -> Option<Rcpt> {
        let state = self.state();
        state.receipt.as_ref().map(|r| self.rcpt(state.kind, r))
    }

    fn rcpt(&self, kind: RequestKind, receipt: &Receipt) -> Rcpt {
        if !receipt.status.is_whole() {
            return Rcpt::short(receipt.status, receipt.n, receipt.len);
        }
        let proof = (kind == RequestKind::Records)
            .then(|| self.session.keys.receipt.receipt(self.claim.seq, receipt));
        Rcpt::Now { status: receipt.status, got: None, proof }
    }

    /// Waits until the request has ended.
    pub(super) fn poll_receipt(&self, cx: &mut Context<'_>) -> Poll<Receipt> {
        let mut state = self.state();
        match state.receipt {
            Some(receipt) => Poll::Ready(receipt),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Reads on what the application did not, until it is all read or not worth it.
    pub(super) fn poll_unread(&self, exchange: &Exchange, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut left) = self.state().unread.take() else { return Poll::Ready(()) };
        // Not under the lock: it may call code that is not ours.
        let polled = left.poll_drain(exchange, cx);
        self.passed(left.totals());
        let mut state = self.state();
        match polled {
            Poll::Ready(receipt) => {
                state.receipt.get_or_insert(receipt);
                let waker = state.waker.take();
                drop((state, left));
                waker.into_iter().for_each(Waker::wake);
                Poll::Ready(())
            }
            // It was stated meanwhile what came of it.
            Poll::Pending if state.receipt.is_some() && left.is_stream => Poll::Ready(()),
            Poll::Pending => {
                state.unread = Some(left);
                state.drainer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Reads on no more.
    pub(super) fn let_go(&self) {
        let unread = self.state().unread.take();
        self.give_up();
        let waker = self.state().waker.take();
        drop(unread);
        waker.into_iter().for_each(Waker::wake);
    }

    /// What there is to state by now: the receipt, or how much has come. Over HTTP/2, what the
    /// application has dropped is let go of: its stream ends with the answer.
    pub(super) fn give_up(&self) -> Receipt {
        let mut state = self.state();
        let [n, len] = [0, 1].map(|i| self.passed[i].load(Relaxed));
        let att = self.claim.att;
        let partial =
            Receipt { status: ReceiptStatus::Partial, att, n, len, digest: known::empty() };
        let receipt = *state.receipt.get_or_insert(partial);
        let unread = state.unread.take_if(|left| left.is_stream);
        let drainer = unread.is_some().then(|| state.drainer.take()).flatten();
        drop(state);
        drop(unread);
        drainer.into_iter().for_each(Waker::wake);
        receipt
    }

    /// Records and bytes that have come by now.
    pub(super) fn passed(&self, (n, len): (u64, u64)) {
        self.passed[0].store(n, Relaxed);
        self.passed[1].store(len, Relaxed);
    }

    /// The request has ended, for the receipt.
    pub(crate) fn set_receipt(&self, receipt: Receipt) {
        let waker = {
            let mut state = self.state();
            state.receipt = Some(receipt);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Of a request without records, so much has come, and that is not all of it.
    pub(super) fn is_short(&self, status: ReceiptStatus, got: u64) {
        let mut state = self.state();
        if state.kind == RequestKind::InHead {
            state.receipt = Some(short(status, self.claim.att, got));
        }
    }

    /// Bytes that have come by now, as far as they were verified or are stated.
    pub(super) fn bytes(&self) -> u64 {
        self.receipt().map_or_else(|| self.passed[1].load(Relaxed), |receipt| receipt.len)
    }

    /// A request without records was read to its end.
    pub(super) fn consumed(&self) {
        if let Some(receipt) = &mut self.state().receipt {
            receipt.status = ReceiptStatus::Consumed;
        }
    }

    pub(super) fn set_unread(&self, unread: Left) {
        self.passed(unread.totals());
        self.state().unread = Some(unread);
    }

    fn state(&self) -> MutexGuard<'_, RequestState> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proven {
    /// However the exchange ended here, its seq is dealt with.
    fn drop(&mut self) {
        if self.claimed {
            self.session.receiver().settled(self.claim);
        }
    }
}

impl Exchange {
    /// A request whose end-to-end caller is `principal`.
    pub(super) fn new(
        mesh: &Mesh,
        connection: &Connection,
        evidence: Evidence,
        proven: Option<Proven>,
        observed: Observed,
    ) -> Self {
        let outer = connection.peer();
        let principal = proven.as_ref().map_or(outer, |p| &p.session.peer).clone();
        let via = (principal.id() != outer.id()).then(|| outer.clone());
        let (mesh, connection) = (mesh.clone(), connection.clone());
        Self {
            mesh,
            connection,
            principal,
            via,
            evidence,
            failure: OnceLock::new(),
            proven,
            facts: OnceLock::new(),
            observed,
            ending: Ending::default(),
            place: OnceLock::new(),
        }
    }

    pub(crate) fn edge(&self) -> Edge<'_> {
        Edge {
            from: Some(self.principal.id()),
            to: self.mesh.id(),
            via: self.via.as_ref().map(Peer::id),
        }
    }

    /// Of a body without records, so much has come, and that is not all of it.
    pub(super) fn is_short(&self, status: ReceiptStatus, got: u64) {
        self.observed.request_bytes(got);
        if let Some(proven) = &self.proven {
            proven.is_short(status, got);
        }
    }

    pub(crate) fn fail(&self, error: &DeliveryError) {
        if self.failure.set(error.clone()).is_ok() {
            let name = error.kind().as_str();
            self.mesh.found(Direction::Inbound, self.edge(), name, error);
            self.accuse(error);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.measure();
        self.has_come();
        self.write_down();
    }
}

/// The receipt of a body without records of which less than all has come.
pub(super) fn short(status: ReceiptStatus, att: u8, len: u64) -> Receipt {
    Receipt::known(status, att, len, known::empty())
}

/// The failure of a body that there is no room for.
pub(super) fn no_room(got: usize) -> DeliveryError {
    DeliveryError::new(DeliveryErrorKind::NoRoom, got as u64, None)
}
