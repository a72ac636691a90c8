//! What follows from each fault of the protocol: one table, which docs/protocol.md shows.

use super::field::FieldError;
use super::{RecordErrorKind, Refusal};

/// Whose fault it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// This side's own limit or decision, or nobody's. Counts against nobody.
    Nobody,
    /// The sender's, which says so itself with proof. Counts as an error of the sender, whatever
    /// lies between.
    Sender,
    /// Whoever can end or delay a connection. Counts as an error of the hop, if there is one.
    Path,
    /// An honest peer's mistake can be behind it: another configuration, version or framework.
    /// Counts as an error: of the sender on a direct connection, else of the hop.
    Mistake,
    /// No honest peer could have sent it, of whatever configuration, version or framework. Counts
    /// as a mistake does; on a direct connection it also ends the session, and three such
    /// sessions within ten minutes are *forged* ([`Forgeries`](super::Forgeries)).
    Tampered,
}

/// What follows from a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose it can be.
    pub fault: Fault,
    /// The HTTP status of the answer, where the protocol gives one.
    pub status: u16,
}

/// A request's head is not what its proof was made over. A receiver's session has its keys for
/// as long as its name, so stale keys are not behind it: a forgotten session asks for another.
pub const BAD_PROOF: Verdict = Verdict::new(Fault::Tampered, 401);

impl Verdict {
    /// The verdict on a fault that can be this one's, answered with this status.
    #[must_use]
    pub const fn new(fault: Fault, status: u16) -> Self {
        Self { fault, status }
    }
}

impl Fault {
    /// The word for it in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Sender => "sender",
            Self::Path => "path",
            Self::Mistake => "mistake",
            Self::Tampered => "tampered",
        }
    }
}

impl RecordErrorKind {
    /// What follows from it.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        let (fault, status) = match self {
            Self::Truncated => (Fault::Path, 400),
            Self::BadTag | Self::WrongTotals => (Fault::Tampered, 400),
            // Framing is not authenticated; what FIN may say can grow with a version.
            Self::NotARecord | Self::Length | Self::BytesAfterFin | Self::MalformedFin => {
                (Fault::Mistake, 400)
            }
            Self::TooLarge | Self::TooLong => (Fault::Mistake, 413),
            Self::Message => (Fault::Mistake, 400),
            Self::Aborted => (Fault::Sender, 400),
            Self::Provider => (Fault::Nobody, 500),
        };
        Verdict::new(fault, status)
    }
}

impl Refusal {
    /// One of each.
    pub const ALL: [Self; 8] = [
        Self::Duplicate { settled: true },
        Self::Passed,
        Self::Attempt,
        Self::BeyondWindow,
        Self::LowTooHigh,
        Self::Late,
        Self::Acks,
        Self::Unacknowledged,
    ];

    /// A short name, for logs and counters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate { .. } => "duplicate",
            Self::Passed => "given-up",
            Self::Late => "late",
            Self::Attempt
            | Self::BeyondWindow
            | Self::LowTooHigh
            | Self::Acks
            | Self::Unacknowledged => "not-admitted",
        }
    }

    /// What follows from it.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        let fault = match self {
            // A connection that was lost while it took a request has honest clients repeat it.
            Self::Duplicate { .. } => Fault::Mistake,
            // Late and lost heads and receipts have it come to this.
            Self::Passed
            | Self::Attempt
            | Self::BeyondWindow
            | Self::LowTooHigh
            | Self::Late
            | Self::Acks
            | Self::Unacknowledged => Fault::Nobody,
        };
        Verdict::new(fault, 409)
    }
}

impl FieldError {
    /// What follows from it. Nothing proves who wrote the field.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Member(_)
            | Self::Unknown
            | Self::TooLong
            | Self::Ranges(_)
            | Self::LowAboveSeq
            | Self::Combination(_) => Verdict::new(Fault::Nobody, 401),
        }
    }
}
