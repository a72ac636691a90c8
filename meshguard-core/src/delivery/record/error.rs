//! Why a stream of records is not a body.

use std::fmt;

/// A body failed. Nothing after the failure reaches the application, and what came before it
/// is a verified prefix of what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    kind: RecordErrorKind,
    got: (u64, u64),
    of: Option<(u64, u64)>,
    exceeded: Option<Exceeded>,
}

/// A limit, and what is above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Bytes of the message or record.
    pub size: u64,
    /// Bytes that its receiver takes at most.
    pub limit: u64,
    /// What the limit is called: `message_limit`, or `record` of an HTTP body.
    pub name: &'static str,
}

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordErrorKind {
    /// The stream ended before its FIN.
    Truncated,
    /// A record's tag does not hold: changed, moved, repeated, left out, or of another body.
    BadTag,
    /// A frame is not a record: first byte not zero, or its type unknown.
    NotARecord,
    /// A record's length is below the least.
    Length,
    /// A message or record is longer than its receiver takes.
    TooLarge,
    /// Bytes came behind FIN.
    BytesAfterFin,
    /// FIN's payload is malformed.
    MalformedFin,
    /// FIN states other counts, or another transcript, than what came.
    WrongTotals,
    /// The sender gave up and said so.
    Aborted,
    /// The sender exceeded what one key may protect.
    TooLong,
    /// The cryptography provider failed to seal.
    Provider,
    /// A body is not framed as gRPC although its head says so: it has another flag than 0 or 1,
    /// or ended inside a message.
    Message,
}

impl RecordError {
    pub(in crate::delivery) fn new(kind: RecordErrorKind, got: (u64, u64)) -> Self {
        Self { kind, got, of: None, exceeded: None }
    }

    pub(in crate::delivery) fn above(mut self, exceeded: Option<Exceeded>) -> Self {
        self.exceeded = exceeded;
        self
    }

    pub(in crate::delivery) fn of(mut self, totals: (u64, u64)) -> Self {
        self.of = Some(totals);
        self
    }

    /// What was wrong.
    #[must_use]
    pub fn kind(&self) -> RecordErrorKind {
        self.kind
    }

    /// Verified records (gRPC: messages) and payload bytes before the failure.
    #[must_use]
    pub fn got(&self) -> (u64, u64) {
        self.got
    }

    /// Which limit was exceeded, and by what.
    #[must_use]
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded
    }

    /// Records and payload bytes that there should have been, where that is known.
    #[must_use]
    pub fn expected(&self) -> Option<(u64, u64)> {
        self.of
    }
}

/// Every kind with its name, once: the list and the names cannot disagree.
macro_rules! kinds {
    ($($kind:ident $name:literal),* $(,)?) => {
        impl RecordErrorKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// A short name, for logs and counters.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    Truncated "truncated",
    BadTag "bad-tag",
    NotARecord "not-a-record",
    Length "record-length",
    TooLarge "message-too-large",
    BytesAfterFin "bytes-after-fin",
    MalformedFin "malformed-fin",
    WrongTotals "wrong-totals",
    Aborted "aborted",
    TooLong "too-long",
    Provider "provider",
    Message "message",
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(exceeded) = &self.exceeded {
            return exceeded.fmt(f);
        }
        f.write_str(match self.kind {
            RecordErrorKind::Truncated => "the body was cut before its authenticated end",
            RecordErrorKind::BadTag => "a record was changed, moved, repeated or left out",
            RecordErrorKind::NotARecord => "a frame is not a record",
            RecordErrorKind::Length => "a record is too short to be one",
            RecordErrorKind::TooLarge => "a message is longer than its receiver takes",
            RecordErrorKind::BytesAfterFin => "bytes came behind the authenticated end",
            RecordErrorKind::MalformedFin => "the authenticated end is malformed",
            RecordErrorKind::WrongTotals => "the authenticated end states other totals",
            RecordErrorKind::Aborted => "the sender gave up",
            RecordErrorKind::TooLong => "the body is longer than one key may protect",
            RecordErrorKind::Provider => "the cryptography provider failed",
            RecordErrorKind::Message => "the body is not framed as gRPC, and its head says so",
        })?;
        let (n, len) = self.got;
        match self.of {
            Some((of_n, of_len)) => {
                write!(f, ": got {n} of {of_n} messages ({len} of {of_len} bytes)")
            }
            None => write!(f, ": got {n} messages ({len} bytes), then no more"),
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, limit, name } = self;
        let (size, limit) = (Grouped(*size), Grouped(*limit));
        write!(f, "a message of {size} bytes; its receiver takes at most {limit} (`{name}`)")
    }
}

/// A number with commas: `4,194,304`.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1000, self.0 % 1000) {
            (0, rest) => write!(f, "{rest}"),
            (more, rest) => write!(f, "{},{rest:03}", Grouped(more)),
        }
    }
}

impl std::error::Error for RecordError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_says_both_sizes_and_which_limit() {
        let exceeded = Exceeded { size: 5_000_000, limit: 4_194_304, name: "message_limit" };
        let error = RecordError::new(RecordErrorKind::TooLarge, (0, 0)).above(Some(exceeded));
        let text = "a message of 5,000,000 bytes; its receiver takes at most 4,194,304 \
                    (`message_limit`)";
        assert_eq!(error.to_string(), text);
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_002_003, "1,002,003")] {
            assert_eq!(Grouped(number).to_string(), text);
        }
    }
}
