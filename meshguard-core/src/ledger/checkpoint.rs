//! Checkpoints: a tree's size and root, signed (c2sp.org/tlog-checkpoint).

use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::note::{self, Note, NoteError, Signer, Verifier, VerifierKey};
use super::tree::{Tree, TreeHash};

/// Lines of one checkpoint in a file: origin, size, root, an empty line, the signature, and an
/// empty line before the next.
const RECORD_LINES: usize = 6;
/// Bytes of one checkpoint in a file, at most.
pub const RECORD_LIMIT: usize = 1024;

/// The head of a ledger at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose: see [`origin`].
    pub origin: String,
    /// How many entries there were.
    pub size: u64,
    /// The Merkle tree hash over them.
    pub root: TreeHash,
}

/// Why a note is not a checkpoint of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It is no note, or not signed by the key.
    Note(NoteError),
    /// It does not have exactly the lines origin, size and root.
    Lines,
    /// It is another ledger's.
    Origin,
    /// The size is no canonical decimal number below 2^64.
    Size,
    /// The root is not 32 bytes in canonical base64 (RFC 4648 §4).
    Root,
    /// In a ledger's own file: more signatures than the ledger's, or no empty line behind it.
    Record,
}

/// The origin of the ledger with this key: no two ledgers have the same.
#[must_use]
pub fn origin(public_key: &[u8; 32]) -> String {
    format!("meshguard.ledger/{}", note::hex(&Sha256::digest(public_key)[..16]))
}

impl Checkpoint {
    /// The tree's head.
    #[must_use]
    pub fn of(tree: &Tree, origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), size: tree.size(), root: tree.root() }
    }

    /// The signed note, under the name that is the origin.
    #[must_use]
    pub fn sign(&self, signer: &dyn Signer) -> String {
        note::sign(&self.to_string(), &self.origin, signer)
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// Whatever is not exactly a checkpoint's three lines. Extension lines, which the standard
    /// knows, are refused: these ledgers have none.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let body = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Lines);
        };
        if origin.is_empty() {
            return Err(CheckpointError::Origin);
        }
        let canonical = |n: &u64| n.to_string() == size;
        let size = size.parse().ok().filter(canonical).ok_or(CheckpointError::Size)?;
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok());
        Ok(Self { origin: origin.into(), size, root: root.ok_or(CheckpointError::Root)? })
    }

    /// Reads a signed note and verifies that it is a checkpoint by `key`, whose name is the
    /// ledger's origin. Signatures of others, as witnesses' are, may stand beside.
    ///
    /// # Errors
    /// Whatever is not that.
    pub fn open(
        note: &[u8],
        key: &VerifierKey,
        verifier: &dyn Verifier,
    ) -> Result<Self, CheckpointError> {
        let note = Note::parse(note).map_err(CheckpointError::Note)?;
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin);
        }
        note.verify(key, verifier).map_err(CheckpointError::Note)?;
        Ok(checkpoint)
    }
}

/// One record of a ledger's own file: a note with one signature, and an empty line.
pub(super) struct Record<'a> {
    note: Note<'a>,
    pub(super) checkpoint: Checkpoint,
}

impl<'a> Record<'a> {
    pub(super) fn parse(record: &'a [u8]) -> Result<Self, CheckpointError> {
        if record.len() > RECORD_LIMIT {
            return Err(CheckpointError::Record);
        }
        let note = record.strip_suffix(b"\n").ok_or(CheckpointError::Record)?;
        let note = Note::parse(note).map_err(CheckpointError::Note)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        match note.signatures() {
            [_] => Ok(Self { note, checkpoint }),
            _ => Err(CheckpointError::Record),
        }
    }

    /// Whether it says to be of the ledger with this key.
    pub(super) fn check_origin(&self, key: &VerifierKey) -> Result<(), CheckpointError> {
        let own = self.checkpoint.origin == key.name();
        if own { Ok(()) } else { Err(CheckpointError::Origin) }
    }

    pub(super) fn verify(
        &self,
        key: &VerifierKey,
        verifier: &dyn Verifier,
    ) -> Result<(), CheckpointError> {
        self.note.verify(key, verifier).map_err(CheckpointError::Note)
    }
}

/// The length of the checkpoint with which a ledger's file `checkpoints` goes on, and of the
/// empty line behind it; `None` where that is not all there. A whole one is at most
/// [`RECORD_LIMIT`] bytes long.
#[must_use]
pub fn next_record(bytes: &[u8]) -> Option<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n');
    ends.map(|(at, _)| at + 1).nth(RECORD_LINES - 1)
}

impl fmt::Display for Checkpoint {
    /// The text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root))
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(error) => error.fmt(f),
            Self::Lines => f.write_str("a checkpoint has three lines"),
            Self::Origin => f.write_str("the checkpoint is another ledger's"),
            Self::Size => f.write_str("the size is not a number"),
            Self::Root => f.write_str("the root is not 32 bytes in base64"),
            Self::Record => f.write_str("the file holds more than checkpoints by the ledger"),
        }
    }
}

impl Error for CheckpointError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Note(error) => Some(error),
            _ => None,
        }
    }
}
