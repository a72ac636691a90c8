//! An exchange under way, from its seq to its place in the books.

use std::sync::Arc;
use std::time::Instant;

use meshguard_core::delivery::{Admission, Outcome, Ticket, Unknown};
use tokio::sync::OwnedSemaphorePermit;

use super::{CallError, CallErrorKind, Shared};
use crate::session::ClientSession;
use crate::tls::now;

/// An exchange under way. However it is left, it ends in the books, once.
pub(super) struct Open {
    pub(super) shared: Arc<Shared>,
    pub(super) session: Arc<ClientSession>,
    pub(super) ticket: Option<Ticket>,
    place: Option<OwnedSemaphorePermit>,
    pub(super) since: Instant,
    /// One of the protocol's own requests.
    own: bool,
}

impl Open {
    pub(super) fn begin(
        shared: &Arc<Shared>,
        session: &Arc<ClientSession>,
        place: Option<OwnedSemaphorePermit>,
        own: bool,
    ) -> Result<(Self, Admission), CallError> {
        let begun = if own { session.sender().begin_own() } else { session.sender().begin(now()) };
        let full = |e| CallError::caused(CallErrorKind::NotAdmitted, Outcome::NotDelivered, e);
        let (ticket, admission) = begun.map_err(full)?;
        let open = Self {
            shared: Arc::clone(shared),
            session: Arc::clone(session),
            ticket: Some(ticket),
            place,
            since: Instant::now(),
            own,
        };
        Ok((open, admission))
    }

    pub(super) fn seq(&self) -> u64 {
        self.ticket.as_ref().map_or(0, Ticket::seq)
    }

    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    /// The answer's head is proven: no attempt of this seq is sent any more.
    pub(super) fn head_proven(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            self.session.sender().head_proven(ticket);
        }
        self.place = None;
    }

    pub(super) fn end(mut self, outcome: Outcome) -> Outcome {
        if let Some(ticket) = self.ticket.take() {
            self.session.sender().end(ticket, outcome);
        }
        outcome
    }

    pub(super) fn end_unsent(mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.session.sender().end_unsent(ticket);
        }
    }
}

impl Drop for Open {
    /// The caller gave up.
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.session.sender().end(ticket, unknown(Unknown::Dropped));
        }
    }
}

pub(super) fn unknown(why: Unknown) -> Outcome {
    Outcome::Indeterminate(why)
}
