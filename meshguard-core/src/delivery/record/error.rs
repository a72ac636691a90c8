//! Why a stream of records is not a body.

use std::fmt;

/// A body failed. Nothing after the failure reaches the application, and what came before it
/// is a verified prefix of what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    kind: RecordErrorKind,
    got: (u64, u64),
    of: Option<(u64, u64)>,
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
    /// A record's length is below the least or above the limit.
    Length,
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
    /// A gRPC body ended inside a message, or one is longer than the limit.
    Message,
}

impl RecordError {
    pub(in crate::delivery) fn new(kind: RecordErrorKind, got: (u64, u64)) -> Self {
        Self { kind, got, of: None }
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
        f.write_str(match self.kind {
            RecordErrorKind::Truncated => "the body was cut before its authenticated end",
            RecordErrorKind::BadTag => "a record was changed, moved, repeated or left out",
            RecordErrorKind::NotARecord => "a frame is not a record",
            RecordErrorKind::Length => "a record's length is out of bounds",
            RecordErrorKind::BytesAfterFin => "bytes came behind the authenticated end",
            RecordErrorKind::MalformedFin => "the authenticated end is malformed",
            RecordErrorKind::WrongTotals => "the authenticated end states other totals",
            RecordErrorKind::Aborted => "the sender gave up",
            RecordErrorKind::TooLong => "the body is longer than one key may protect",
            RecordErrorKind::Provider => "the cryptography provider failed",
            RecordErrorKind::Message => "a gRPC message is incomplete or too long",
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

impl std::error::Error for RecordError {}
