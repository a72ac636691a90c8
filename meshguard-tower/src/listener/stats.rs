//! How handshakes ended, counted by kind.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::tls::{ALL, Alert, HandshakeErrorKind, KINDS};

/// Alerts are counted one by one; there are 256 of them.
const ALERTS: usize = 256;

/// Counts of what became of incoming connections. Clones count together.
#[derive(Clone, Default)]
pub struct HandshakeStats(Arc<Counts>);

struct Counts {
    completed: AtomicU64,
    /// By [`HandshakeErrorKind::index`]; the last, [`HandshakeErrorKind::PeerRefused`], is unused.
    failed: [AtomicU64; KINDS],
    refused: [AtomicU64; ALERTS],
    withdrawn: AtomicU64,
    turned_away: AtomicU64,
    accept_errors: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            completed: zero(),
            failed: std::array::from_fn(|_| zero()),
            refused: std::array::from_fn(|_| zero()),
            withdrawn: zero(),
            turned_away: zero(),
            accept_errors: zero(),
        }
    }
}

impl HandshakeStats {
    /// Handshakes that gave a connection.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.0.completed.load(Relaxed)
    }

    /// Handshakes that failed with `kind`; each is counted once.
    #[must_use]
    pub fn failed(&self, kind: HandshakeErrorKind) -> u64 {
        self.slot(kind).load(Relaxed)
    }

    /// Live connections closed because their certificate expired, was revoked, or is no longer
    /// trusted.
    #[must_use]
    pub fn withdrawn(&self) -> u64 {
        self.0.withdrawn.load(Relaxed)
    }

    /// Connections of peers that policy allows nothing, beyond those whose request is decided on:
    /// eight at once and one a second.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.0.turned_away.load(Relaxed)
    }

    /// Times that the system gave an error instead of a connection, as out of file descriptors.
    #[must_use]
    pub fn accept_errors(&self) -> u64 {
        self.0.accept_errors.load(Relaxed)
    }

    /// Every kind that occurred, with its count.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(HandshakeErrorKind, u64)> {
        let alerts = (0..=u8::MAX).map(|code| HandshakeErrorKind::PeerRefused(Alert(code)));
        ALL.into_iter()
            .take(KINDS - 1)
            .chain(alerts)
            .map(|kind| (kind, self.failed(kind)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    pub(crate) fn count_completed(&self) {
        self.0.completed.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_failed(&self, kind: HandshakeErrorKind) {
        self.slot(kind).fetch_add(1, Relaxed);
    }

    pub(crate) fn count_withdrawn(&self) {
        self.0.withdrawn.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_turned_away(&self) {
        self.0.turned_away.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_accept_error(&self) {
        self.0.accept_errors.fetch_add(1, Relaxed);
    }

    fn slot(&self, kind: HandshakeErrorKind) -> &AtomicU64 {
        match kind {
            HandshakeErrorKind::PeerRefused(alert) => &self.0.refused[usize::from(alert.code())],
            kind => &self.0.failed[kind.index()],
        }
    }
}

impl fmt::Debug for HandshakeStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeStats")
            .field("completed", &self.completed())
            .field("failed", &self.snapshot())
            .field("withdrawn", &self.withdrawn())
            .field("turned_away", &self.turned_away())
            .field("accept_errors", &self.accept_errors())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_counted_apart() {
        let stats = HandshakeStats::default();
        let refused = |code| HandshakeErrorKind::PeerRefused(Alert(code));
        for kind in [refused(48), refused(44), refused(48), HandshakeErrorKind::Timeout] {
            stats.count_failed(kind);
        }
        let expected = [(HandshakeErrorKind::Timeout, 1), (refused(44), 1), (refused(48), 2)];
        assert_eq!(stats.snapshot(), expected);
    }
}
