//! An exchange under way, from its seq to its place in the books.

use std::sync::Arc;

use http::response::Parts;
use meshguard_core::Evidence;
use meshguard_core::delivery::{Admission, Outcome, Ticket, Unknown};
use tokio::sync::OwnedSemaphorePermit;

use super::intent::Intent;
use super::request::SentState;
use super::seen::Seen;
use super::{CallError, CallErrorKind, Shared};
use crate::clock::steady;
use crate::session::ClientSession;

/// An exchange under way. However it is left, it ends in the books, once.
pub(super) struct Open {
    pub(super) shared: Arc<Shared>,
    pub(super) session: Arc<ClientSession>,
    pub(super) ticket: Option<Ticket>,
    place: Option<OwnedSemaphorePermit>,
    /// `None` for one of the protocol's own requests.
    seen: Option<Seen>,
}

impl Open {
    pub(super) fn begin(
        shared: &Arc<Shared>,
        session: &Arc<ClientSession>,
        place: Option<OwnedSemaphorePermit>,
        intent: Option<Intent>,
    ) -> Result<(Self, Admission), CallError> {
        let begun = match &intent {
            Some(_) => session.sender().begin(steady()),
            None => session.sender().begin_own(),
        };
        let full = |e| CallError::caused(CallErrorKind::NotAdmitted, Outcome::NotDelivered, e);
        let (ticket, admission) = begun.map_err(full)?;
        let mut seen = intent.and_then(Intent::goes);
        if let Some(seen) = &mut seen {
            seen.begins(session, ticket.seq());
        }
        let (shared, session) = (Arc::clone(shared), Arc::clone(session));
        Ok((Self { shared, session, ticket: Some(ticket), place, seen }, admission))
    }

    pub(super) fn seq(&self) -> u64 {
        self.ticket.as_ref().map_or(0, Ticket::seq)
    }

    /// Whether it is one of the protocol's own.
    pub(super) fn is_own(&self) -> bool {
        self.seen.is_none()
    }

    /// What is noted of it.
    pub(super) fn seen(&mut self) -> Option<&mut Seen> {
        self.seen.as_mut()
    }

    /// The answer's head is proven: no attempt of this seq is sent any more.
    pub(super) fn head_proven(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            self.session.sender().head_proven(ticket);
        }
        self.place = None;
    }

    /// The answer has a head that is proven; `outcome` is the request's, where it is known.
    pub(super) fn answered(&mut self, parts: &Parts, sent: SentState, outcome: Option<Outcome>) {
        let Some(seen) = &mut self.seen else { return };
        seen.answered(parts.status, &parts.headers, Evidence::Verified);
        seen.sent(&sent, outcome == Some(Outcome::Delivered));
        self.shared.called(seen, outcome);
    }

    /// Ends it in the books; what is noted of it goes on until its answer's end.
    pub(super) fn close(mut self, outcome: Outcome) -> Option<Seen> {
        if let Some(ticket) = self.ticket.take() {
            self.session.end(ticket, outcome);
        }
        let mut seen = self.seen.take();
        if let Some(seen) = &mut seen {
            seen.outcome = Some(outcome);
        }
        seen
    }

    /// Takes it back from the books of this session: another one is to carry it.
    pub(super) fn take_back(mut self) -> Option<Seen> {
        if let Some(ticket) = self.ticket.take() {
            self.session.sender().taken_back(ticket, steady());
        }
        self.seen.take()
    }

    /// Ends it in the books, and altogether.
    pub(super) fn end(self, outcome: Outcome) -> Outcome {
        drop(self.close(outcome));
        outcome
    }

    /// Ends it with an error.
    pub(super) fn fail(mut self, error: CallError) -> CallError {
        if let Some(seen) = &mut self.seen {
            seen.failed(error.kind());
        }
        self.end(error.outcome());
        error
    }
}

impl Drop for Open {
    /// The caller gave up.
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let outcome = unknown(Unknown::Dropped);
            self.session.end(ticket, outcome);
            if let Some(seen) = &mut self.seen {
                seen.outcome = Some(outcome);
            }
        }
    }
}

pub(super) fn unknown(why: Unknown) -> Outcome {
    Outcome::Indeterminate(why)
}
