//! The answers that one principal has not confirmed, in all its sessions together.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::MAX_AWAITING;

/// Answers that one principal may owe receipts of, in all its sessions together. One takes about
/// 110 bytes: 7 MiB.
pub const MAX_OWED: usize = 8 * MAX_AWAITING;

/// Counts the answers whose receipts one principal owes. Its [receivers](super::Receiver::sharing)
/// share it.
#[derive(Debug, Default)]
pub struct Owed(AtomicUsize);

impl Owed {
    /// How many it is now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Whether more than half of the principal's share is taken.
    #[must_use]
    pub fn is_high(&self) -> bool {
        self.count() > MAX_OWED / 2
    }

    /// Whether all of the share is taken, once this number is confirmed.
    pub(super) fn is_full(&self, confirmed: usize) -> bool {
        self.count().saturating_sub(confirmed) >= MAX_OWED
    }

    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(super) fn remove(&self, n: usize) {
        self.0.fetch_sub(n, Relaxed);
    }
}
