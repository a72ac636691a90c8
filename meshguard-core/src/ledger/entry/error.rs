//! Why bytes are not an entry.

use std::error::Error;
use std::fmt;

/// Bytes that are not an entry, and where they stop being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryError {
    at: usize,
    kind: EntryErrorKind,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryErrorKind {
    /// The encoding's version is above [`VERSION`](super::VERSION), below
    /// [`OLDEST_VERSION`](super::OLDEST_VERSION), or not the one that such an entry has.
    Version(u8),
    /// No kind of entry has this number.
    Kind(u8),
    /// The entry ends inside a field.
    Short,
    /// Bytes follow the last field.
    Trailing,
    /// A byte that names one of several values names none.
    Tag(u8),
    /// A text is longer than [`MAX_TEXT`](super::MAX_TEXT).
    TextLength,
    /// A text is not UTF-8 (RFC 3629).
    Utf8,
}

impl EntryError {
    pub(super) const fn new(at: usize, kind: EntryErrorKind) -> Self {
        Self { at, kind }
    }

    /// The offset in the entry, in bytes, of the field or byte at fault.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> EntryErrorKind {
        self.kind
    }
}

impl fmt::Display for EntryErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(v) => write!(f, "version {v} is not known, or not this entry's"),
            Self::Kind(k) => write!(f, "no kind of entry has the number {k}"),
            Self::Short => f.write_str("the entry ends inside a field"),
            Self::Trailing => f.write_str("bytes follow the last field"),
            Self::Tag(t) => write!(f, "{t} stands for nothing"),
            Self::TextLength => f.write_str("a text is too long"),
            Self::Utf8 => f.write_str("a text is not UTF-8"),
        }
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an entry, at its byte {}: {}", self.at, self.kind)
    }
}

impl Error for EntryError {}
