//! What of a window is compared.

use std::fmt;

/// A feature of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Feature {
    /// Calls, or handshakes, a second.
    Rate,
    /// The share of calls that the far end failed.
    Errors,
    /// The median latency.
    P50,
    /// The 99th percentile of latency.
    P99,
    /// Bytes of request body a call.
    RequestBytes,
    /// Bytes of response body a call.
    ResponseBytes,
    /// The share of handshakes that failed.
    HandshakeFailures,
    /// The share of receipts that never came, or came short or late.
    MissingReceipts,
    /// The share of calls that policy refused: outside of intent.
    Refusals,
}

/// How many features there are.
pub const FEATURES: usize = 9;

impl Feature {
    /// All of them, by their index.
    pub const ALL: [Self; FEATURES] = [
        Self::Rate,
        Self::Errors,
        Self::P50,
        Self::P99,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::HandshakeFailures,
        Self::MissingReceipts,
        Self::Refusals,
    ];

    /// Its place in an array of all.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name used in policy documents, logs and the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Errors => "errors",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::RequestBytes => "request_bytes",
            Self::ResponseBytes => "response_bytes",
            Self::HandshakeFailures => "handshake_failures",
            Self::MissingReceipts => "missing_receipts",
            Self::Refusals => "refusals",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
