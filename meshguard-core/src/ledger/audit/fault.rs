//! What is wrong with a ledger, and where.

use std::error::Error;
use std::fmt;

use crate::ledger::checkpoint::CheckpointError;
use crate::ledger::entry::EntryError;
use crate::ledger::frame::FrameError;

/// The first fault of a ledger. What comes before it is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(super) place: Place,
    pub(super) offset: u64,
    pub(super) seq: u64,
    pub(super) kind: FaultKind,
}

/// In which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// The segment whose name says that it begins with this seq.
    Segment(u64),
    /// The ledger's checkpoints.
    Checkpoints,
    /// The earlier checkpoint that the ledger was held against.
    Earlier,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// A segment does not begin where the one before ended: some are missing, or doubled.
    SegmentOrder {
        /// The seq that comes next.
        expected: u64,
    },
    /// The segment ends inside a frame.
    Torn {
        /// Bytes of the frame that are there.
        left: u64,
    },
    /// The bytes are not a frame.
    Frame(FrameError),
    /// The bytes are not an entry.
    Entry(EntryError),
    /// The entry is another than the next: some are missing, doubled, or moved.
    Seq {
        /// Its number.
        found: u64,
    },
    /// The bytes are not a checkpoint of this ledger.
    Checkpoint(CheckpointError),
    /// A checkpoint is not of more entries than the one before.
    CheckpointOrder {
        /// Its size.
        size: u64,
    },
    /// The entries are not those that the checkpoint was made of.
    Root {
        /// The checkpoint's size.
        size: u64,
    },
    /// There are fewer entries than the checkpoint is of.
    Short {
        /// The checkpoint's size.
        size: u64,
        /// The entries that there are.
        entries: u64,
    },
    /// There is no checkpoint whose signature was verified, so that nobody vouches for
    /// anything; or not all were read.
    NoCheckpoint,
    /// The ledger is not the one that gave the earlier checkpoint: it was rewritten, and
    /// signed again.
    Rewritten {
        /// The earlier checkpoint's size.
        size: u64,
    },
    /// The earlier checkpoint is of entries that are not kept any more.
    NotKept {
        /// The earlier checkpoint's size.
        size: u64,
    },
}

impl Fault {
    /// In which file.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Where the frame or the checkpoint at fault begins, in bytes from the file's beginning.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The seq that comes next there: so many entries are in order.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        self.kind
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(first) => write!(f, "segment {first:020}"),
            Self::Checkpoints => f.write_str("checkpoints"),
            Self::Earlier => f.write_str("earlier checkpoint"),
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SegmentOrder { expected } => {
                write!(f, "the segment should begin with entry {expected}")
            }
            Self::Torn { left } => write!(f, "the file ends inside a frame, {left} bytes of it"),
            Self::Frame(error) => error.fmt(f),
            Self::Entry(error) => error.fmt(f),
            Self::Seq { found } => write!(f, "here stands entry {found}"),
            Self::Checkpoint(error) => error.fmt(f),
            Self::CheckpointOrder { size } => {
                write!(f, "a checkpoint of {size} entries has no place here")
            }
            Self::Root { size } => {
                write!(f, "the {size} entries are not those that were signed")
            }
            Self::Short { size, entries } => {
                write!(f, "a checkpoint is of {size} entries, and there are {entries}")
            }
            Self::NoCheckpoint => f.write_str("there is no checkpoint"),
            Self::Rewritten { size } => {
                write!(f, "the first {size} entries are not those of the earlier checkpoint")
            }
            Self::NotKept { size } => {
                write!(f, "the first {size} entries are not all kept any more")
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, offset, seq, kind } = self;
        write!(f, "{place}, byte {offset}, entry {seq}: {kind}")
    }
}

impl Error for Fault {}
