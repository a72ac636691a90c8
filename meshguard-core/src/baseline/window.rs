//! One stretch of an edge's traffic.

use std::time::Duration;

use crate::time::Timestamp;

/// What happened on an edge from `start` to `end`. A window without traffic is one, too; what was
/// not observed is not 0 but absent, by a denominator of 0 or `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// When it was opened.
    pub start: Timestamp,
    /// When it was closed.
    pub end: Timestamp,
    /// Calls let in, or made, that ended in it, however they ended.
    pub calls: u64,
    /// Of them, those that the far end failed.
    pub errors: u64,
    /// Of them, those that have no answer although the far end did not fail them: their maker gave
    /// them up, or they were never sent. They are no part of the share of errors.
    pub unanswered: u64,
    /// Of those of them that have an answer.
    pub latency: Option<Latency>,
    /// Bytes of their requests' bodies, in all.
    pub request_bytes: u64,
    /// Bytes of their answers' bodies, in all.
    pub response_bytes: u64,
    /// Calls that policy judged, whatever came of it.
    pub asked: u64,
    /// Of them, those that policy refused. Refusals by the loop itself do not count.
    pub refused: u64,
    /// Handshakes that ended, of an address.
    pub handshakes: u64,
    /// Of them, those that failed.
    pub handshake_failures: u64,
    /// Receipts that were due.
    pub receipts: u64,
    /// Of them, those that never came, or came short or late.
    pub missing_receipts: u64,
    /// Answers that nobody will confirm, because their caller has left. Not compared with what
    /// is normal: nobody is at fault.
    pub unconfirmed: u64,
    /// The longest time without a call that ended in it, at the resolution of the clock that
    /// closes windows; it may have begun before the window.
    pub longest_gap: Duration,
    /// How many authenticated peers were seen behind an address: whom an action on it concerns.
    /// `u32::MAX` where a hop is among them, as nobody knows how many stand behind that.
    pub peers: u32,
}

/// Until the answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

impl Window {
    /// How long it was.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.end.since(self.start)
    }

    /// What there was to observe in it: calls judged, and handshakes.
    #[must_use]
    pub const fn events(&self) -> u64 {
        let calls = if self.calls > self.asked { self.calls } else { self.asked };
        calls.saturating_add(self.handshakes)
    }
}
