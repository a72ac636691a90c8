//! A call that is in no session's books yet.

use std::sync::Arc;

use http::Method;
use http::uri::PathAndQuery;
use meshguard_core::delivery::{Counts, Outcome};

use super::seen::Seen;
use super::{CallError, Shared};

/// A call before its exchange, or between two attempts. However it is left, it ends in the
/// books, once.
pub(super) struct Intent {
    shared: Arc<Shared>,
    seen: Option<Seen>,
    /// How it has ended if it goes no further.
    outcome: Outcome,
}

impl Intent {
    pub(super) fn new(shared: &Arc<Shared>, method: &Method, grpc: Option<&PathAndQuery>) -> Self {
        let seen = Some(Seen::new(shared, method, grpc));
        Self { shared: Arc::clone(shared), seen, outcome: Outcome::NotDelivered }
    }

    /// After an attempt that may be made again, and else has ended so.
    pub(super) fn again(shared: &Arc<Shared>, seen: Option<Seen>, outcome: Outcome) -> Self {
        Self { shared: Arc::clone(shared), seen, outcome }
    }

    /// It goes out, and ends elsewhere.
    pub(super) fn goes(mut self) -> Option<Seen> {
        self.seen.take()
    }

    /// Ends it with an error, and with the outcome that the error states.
    pub(super) fn fail(mut self, error: CallError) -> CallError {
        if let Some(seen) = &mut self.seen {
            seen.failed(error.kind());
        }
        self.outcome = error.outcome();
        error
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        if let Some(seen) = &mut self.seen {
            seen.outcome = Some(self.outcome);
            self.shared.mesh.0.channels.add_ended(Counts::of(self.outcome));
        }
    }
}
