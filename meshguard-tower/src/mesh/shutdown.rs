//! The end of a service, or of a job.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Mesh;
use crate::channel::shut_down;

/// [`Mesh::shutdown`] waits so long for calls and callees, and so long for the disk.
pub const SHUTDOWN_TIME: Duration = Duration::from_secs(5);

/// What [`Mesh::shutdown`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Receipts that callees took.
    pub receipts_taken: u64,
    /// Receipts that no callee took in time. Those callees count the answers as unconfirmed.
    pub receipts_left: u64,
    /// Calls that are still under way.
    pub open: u64,
    /// Whether all of the ledger is durable: true where there is none.
    pub durable: bool,
}

impl Shutdown {
    /// Whether nothing was left undone.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.receipts_left == 0 && self.open == 0 && self.durable
    }
}

impl Mesh {
    /// Ends what this service sends: waits for its calls under way, confirms the answers that it
    /// has read, ends its sessions, and makes the ledger durable. Takes [`SHUTDOWN_TIME`] at most
    /// for calls and callees and as long for the disk, and says what is left.
    ///
    /// The last thing that a job does; of a service, after `serve` has returned. Answers of a
    /// process that ends without it may stay unconfirmed, which counts against nobody. Calling it
    /// again does no harm; a call that is made later opens a session again.
    pub async fn shutdown(&self) -> Shutdown {
        let deadline = Instant::now() + SHUTDOWN_TIME;
        let (receipts_taken, receipts_left) = shut_down(&self.0.channels, deadline).await;
        let open = self.counts().open;
        self.0.stopped();
        let durable = match &self.0.ledger {
            None => true,
            Some(ledger) => matches!(timeout(SHUTDOWN_TIME, ledger.flush()).await, Ok(Ok(()))),
        };
        Shutdown { receipts_taken, receipts_left, open, durable }
    }
}
