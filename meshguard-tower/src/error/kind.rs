//! What can be wrong with a body, and what follows from it.

use meshguard_core::delivery::{Fault, ReceiptStatus, RecordErrorKind, Verdict};

const DEADLINE_EXCEEDED: i32 = 4;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const ABORTED: i32 = 10;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;
const DATA_LOSS: i32 = 15;

/// What was wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeliveryErrorKind {
    /// Its records are not a whole body.
    Records(RecordErrorKind),
    /// It ended short of what its head had promised.
    Short,
    /// It is not the body that its head was proved with: changed on its way, or its trailers were
    /// lost.
    Digest,
    /// It is not what its head's own `content-digest` says. Nothing proves that.
    ContentDigest,
    /// It is longer than its head allows: any at all where there should be none.
    Long,
    /// Trailers that were promised did not come, or others did.
    Trailers,
    /// It did not come in time.
    Timeout,
    /// There is no room to hold it: too many bodies are held already.
    NoRoom,
    /// It came whole, but not the receipt of the request that it answers.
    NoReceipt,
    /// It was cut off: its far end has no right to be here any more.
    Withdrawn,
    /// The application's own body broke off: its stream ended with an error.
    OwnBody,
    /// The connection failed, or the far application's body did, under a body that nothing
    /// proves.
    Transport,
}

impl DeliveryErrorKind {
    /// All that are no [`RecordErrorKind`].
    pub const OTHERS: [Self; 11] = [
        Self::Short,
        Self::Digest,
        Self::ContentDigest,
        Self::Long,
        Self::Trailers,
        Self::Timeout,
        Self::NoRoom,
        Self::NoReceipt,
        Self::Withdrawn,
        Self::OwnBody,
        Self::Transport,
    ];

    /// A short name, for logs and counters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Records(kind) => kind.as_str(),
            Self::Short => "short",
            Self::Digest => "digest",
            Self::ContentDigest => "content-digest",
            Self::Long => "long",
            Self::Trailers => "trailers",
            Self::Timeout => "timeout",
            Self::NoRoom => "no-room",
            Self::NoReceipt => "no-receipt",
            Self::Withdrawn => "withdrawn",
            Self::OwnBody => "own-body",
            Self::Transport => "transport",
        }
    }

    /// What follows from it. The table in docs/protocol.md shows it.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        let (fault, status) = match self {
            Self::Records(kind) => return kind.verdict(),
            Self::Short | Self::Transport => (Fault::Path, 400),
            Self::Timeout => (Fault::Path, 408),
            // Trailers are lost over HTTP/1.1, and what is not read whole has another digest.
            Self::Digest | Self::ContentDigest | Self::Long | Self::Trailers => {
                (Fault::Mistake, 400)
            }
            Self::NoReceipt => (Fault::Mistake, 400),
            Self::NoRoom => (Fault::Nobody, 503),
            Self::Withdrawn => (Fault::Nobody, 403),
            Self::OwnBody => (Fault::Nobody, 500),
        };
        Verdict::new(fault, status)
    }

    /// The code of gRPC that says it (<https://grpc.io/docs/guides/status-codes/>).
    #[must_use]
    pub const fn grpc_code(self) -> i32 {
        match self {
            Self::Records(kind) => match kind {
                RecordErrorKind::Truncated => UNAVAILABLE,
                RecordErrorKind::TooLarge | RecordErrorKind::TooLong => RESOURCE_EXHAUSTED,
                RecordErrorKind::Aborted => ABORTED,
                RecordErrorKind::Message | RecordErrorKind::Provider => INTERNAL,
                _ => DATA_LOSS,
            },
            Self::Short | Self::Transport => UNAVAILABLE,
            Self::Digest | Self::ContentDigest | Self::Long | Self::Trailers | Self::NoReceipt => {
                DATA_LOSS
            }
            Self::Timeout => DEADLINE_EXCEEDED,
            Self::NoRoom => RESOURCE_EXHAUSTED,
            Self::Withdrawn => PERMISSION_DENIED,
            Self::OwnBody => INTERNAL,
        }
    }

    /// Whether its source is shown. Never the transport's error: code that looks for one would
    /// judge by it, and tonic takes a stream that fails with h2's CANCEL for complete. It stands
    /// in the text.
    pub(super) const fn shows_source(self) -> bool {
        !matches!(self, Self::Records(_) | Self::Transport)
    }

    /// How the receipt of a body that failed so states it: what was not taken, for want of room
    /// or of time or for its length, was not bad.
    pub(crate) const fn receipt(self) -> ReceiptStatus {
        match self {
            Self::Records(RecordErrorKind::TooLarge | RecordErrorKind::TooLong)
            | Self::NoRoom
            | Self::Timeout
            | Self::Withdrawn => ReceiptStatus::Partial,
            Self::Records(_)
            | Self::Short
            | Self::Digest
            | Self::ContentDigest
            | Self::Long
            | Self::Trailers
            | Self::NoReceipt
            | Self::OwnBody
            | Self::Transport => ReceiptStatus::Bad,
        }
    }

    /// What is wrong, in a sentence's first half.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Records(_) => "the records are not a whole body",
            Self::Short => "the body was cut before its end",
            Self::Digest => "the body is not what its head was proved with",
            Self::ContentDigest => "the body is not what its `content-digest` says",
            Self::Long => "there is more body than the head allows",
            Self::Trailers => "the trailers are not those that were promised",
            Self::Timeout => "the body did not come in the 10 s that it has",
            Self::NoRoom => "too many bodies are held already",
            Self::NoReceipt => "the callee did not confirm the request",
            Self::Withdrawn => "it was cut off, since its caller may not make this call any more",
            Self::OwnBody => "the application's own body broke off",
            Self::Transport => "the body failed on its way",
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use meshguard_core::delivery::field::FieldError;
    use meshguard_core::delivery::{BAD_PROOF, Refusal};

    use super::*;
    use crate::inbound::grpc_code;

    const TABLE: &str = include_str!("../../../docs/protocol.md");

    /// What the code says: the beginning of each row of the table.
    fn rows() -> Vec<String> {
        let records = RecordErrorKind::ALL.iter().copied().map(DeliveryErrorKind::Records);
        let bodies = records.chain(DeliveryErrorKind::OTHERS);
        let bodies = bodies.map(|kind| (kind.as_str(), kind.verdict()));
        let refusals = Refusal::ALL.map(|refusal| (refusal.as_str(), refusal.verdict()));
        let heads = [("bad-proof", BAD_PROOF), ("field", FieldError::Unknown.verdict())];
        let all = bodies.chain(refusals).chain(heads);
        all.map(|(name, Verdict { fault, status })| {
            let code = grpc_code(StatusCode::from_u16(status).unwrap());
            format!("| `{name}` | {} | {status}, {code} |", fault.as_str())
        })
        .collect()
    }

    #[test]
    fn the_table_in_the_docs_is_the_one_in_the_code() {
        let rows = rows();
        for row in &rows {
            assert!(TABLE.lines().any(|line| line.starts_with(row.as_str())), "not there: {row}");
        }
        let section = TABLE.split("### Whose fault").nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        for line in section.lines().filter(|line| line.starts_with("| `")) {
            let known = rows.iter().any(|row| line.starts_with(row.as_str()));
            assert!(known || line.starts_with("| `too-many`"), "not in the code: {line}");
        }
    }

    #[test]
    fn what_was_not_taken_for_its_length_or_for_want_of_room_was_not_bad() {
        let records = RecordErrorKind::ALL.iter().copied().map(DeliveryErrorKind::Records);
        for kind in records.chain(DeliveryErrorKind::OTHERS) {
            let taken = kind.verdict().status == 400 || kind.verdict().status == 500;
            let bad = kind.receipt() == ReceiptStatus::Bad;
            assert_eq!(bad, taken, "{kind:?}");
        }
    }
}
