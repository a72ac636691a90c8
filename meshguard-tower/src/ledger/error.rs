//! Why a ledger cannot be used, or does not verify.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshguard_core::ledger::{CheckpointError, Fault};

/// A ledger that cannot be opened, or not be written any more. Cloning is cheap.
#[derive(Clone)]
pub struct LedgerError(Arc<Inner>);

struct Inner {
    kind: LedgerErrorKind,
    path: Option<PathBuf>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LedgerErrorKind {
    /// A file or directory could not be read, written or flushed.
    Io,
    /// Another process, or another handle, has it open.
    Locked,
    /// The key file is no Ed25519 key in PKCS#8 (RFC 8410).
    Key,
    /// There are entries but no key: a new one would sign for what it has not seen.
    NoKey,
    /// The cryptography provider gave no key.
    Provider,
    /// What is there does not verify, beyond a torn tail.
    Damaged,
    /// The writer's thread could not be started.
    Thread,
    /// A write or a flush fails at present. It is tried again by itself.
    Off,
    /// The writer has failed for good: by a bug, or when it was closed while nothing could be
    /// written. The ledger must be opened again.
    Poisoned,
    /// It was closed.
    Closed,
}

impl LedgerError {
    pub(super) fn new(kind: LedgerErrorKind) -> Self {
        Self(Arc::new(Inner { kind, path: None, source: None }))
    }

    pub(super) fn caused(
        kind: LedgerErrorKind,
        path: Option<&Path>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let (path, source) = (path.map(Into::into), Some(source.into()));
        Self(Arc::new(Inner { kind, path, source }))
    }

    /// For `map_err`.
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::caused(LedgerErrorKind::Io, Some(path), error)
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> LedgerErrorKind {
        self.0.kind
    }

    /// With which file or directory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }
}

impl From<VerifyError> for LedgerError {
    fn from(error: VerifyError) -> Self {
        match error.0 {
            Why::Io(path, error) => Self::io(&path)(error),
            _ => Self::caused(LedgerErrorKind::Damaged, None, error),
        }
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, path, source } = &*self.0;
        f.write_str(match kind {
            LedgerErrorKind::Io => "the ledger's file failed",
            LedgerErrorKind::Locked => "the ledger is open elsewhere",
            LedgerErrorKind::Key => "the ledger's key file is no Ed25519 key",
            LedgerErrorKind::NoKey => "the ledger has entries but no key",
            LedgerErrorKind::Provider => "no key could be made",
            LedgerErrorKind::Damaged => "the ledger is damaged",
            LedgerErrorKind::Thread => "the ledger's writer could not be started",
            LedgerErrorKind::Off => "the ledger cannot be written at present",
            LedgerErrorKind::Poisoned => "the ledger's writer has failed",
            LedgerErrorKind::Closed => "the ledger is closed",
        })?;
        if let Some(path) = path {
            write!(f, ": {}", path.display())?;
        }
        match source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerError({:?}: {self})", self.0.kind)
    }
}

impl Error for LedgerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|e| &**e as _)
    }
}

/// A ledger that does not verify, or could not be read.
#[derive(Debug)]
pub struct VerifyError(pub(super) Why);

#[derive(Debug)]
pub(super) enum Why {
    Io(PathBuf, io::Error),
    Fault(Fault),
    Name(PathBuf),
    Entry { path: PathBuf, offset: u64, why: String },
    Frontier(PathBuf),
    Cut { first: u64, told: u64 },
    Earlier(CheckpointError),
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyErrorKind {
    /// A file could not be read.
    Io,
    /// The ledger is not as it was written: [`VerifyError::fault`] says what and where.
    Fault,
    /// A segment's file name is not 20 digits and `.seg`.
    Name,
    /// What a reader met is no entry; [`verify`](super::verify) says where.
    Entry,
    /// The file `frontier` is none.
    Frontier,
    /// Older entries are missing than those that the ledger itself says it dropped.
    Cut,
    /// The earlier checkpoint is not one, or not of this ledger.
    Earlier,
}

impl VerifyError {
    /// For `map_err`.
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self(Why::Io(path.into(), error))
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> VerifyErrorKind {
        match self.0 {
            Why::Io(..) => VerifyErrorKind::Io,
            Why::Fault(_) => VerifyErrorKind::Fault,
            Why::Name(_) => VerifyErrorKind::Name,
            Why::Entry { .. } => VerifyErrorKind::Entry,
            Why::Frontier(_) => VerifyErrorKind::Frontier,
            Why::Cut { .. } => VerifyErrorKind::Cut,
            Why::Earlier(_) => VerifyErrorKind::Earlier,
        }
    }

    /// The fault and its place.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match &self.0 {
            Why::Fault(fault) => Some(fault),
            _ => None,
        }
    }
}

impl From<Fault> for VerifyError {
    fn from(fault: Fault) -> Self {
        Self(Why::Fault(fault))
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Why::Fault(fault) => fault.fmt(f),
            Why::Name(path) => write!(f, "{}: no segment is called so", path.display()),
            Why::Entry { path, offset, why } => {
                write!(f, "{}, byte {offset}: {why}", path.display())
            }
            Why::Frontier(path) => write!(f, "{}: no frontier of a tree", path.display()),
            Why::Cut { first, told } => write!(
                f,
                "entries before {first} are missing, and the ledger says that it dropped those \
                 before {told}"
            ),
            Why::Earlier(error) => write!(f, "the earlier checkpoint: {error}"),
        }
    }
}

impl Error for VerifyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Why::Io(_, error) => Some(error),
            Why::Fault(fault) => Some(fault),
            Why::Earlier(error) => Some(error),
            Why::Name(_) | Why::Entry { .. } | Why::Frontier(_) | Why::Cut { .. } => None,
        }
    }
}
