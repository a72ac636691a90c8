//! Why the shop does not run.

use std::fmt;
use std::io;

use meshguard_axum::ledger::LedgerError;
use meshguard_axum::{BuildError, ChannelError, PolicyError};
use meshguard_testing::{DevCaError, HopError, SvidFilesError};

/// Why the shop does not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShopError {
    /// The policy that comes with the shop cannot be used.
    Policy(PolicyError),
    /// A service's mesh handle was not built.
    Build(BuildError),
    /// A channel was not made.
    Channel(ChannelError),
    /// The bad hop did not start.
    Hop(HopError),
    /// The authority in memory gave nothing.
    Ca(DevCaError),
    /// Credentials could not be written.
    Files(SvidFilesError),
    /// A socket could not be used.
    Io(io::Error),
    /// A ledger could not be opened.
    Ledger(LedgerError),
    /// A stock client could not be made.
    Stock(tonic::transport::Error),
}

impl fmt::Display for ShopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(e) => write!(f, "the policy: {e}"),
            Self::Build(e) => write!(f, "no mesh: {e}"),
            Self::Channel(e) => write!(f, "no channel: {e}"),
            Self::Hop(e) => write!(f, "no hop: {e}"),
            Self::Ca(e) => write!(f, "no authority: {e}"),
            Self::Files(e) => write!(f, "no credentials: {e}"),
            Self::Io(e) => write!(f, "no socket: {e}"),
            Self::Ledger(e) => write!(f, "no ledger: {e}"),
            Self::Stock(e) => write!(f, "no stock client: {e}"),
        }
    }
}

impl std::error::Error for ShopError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Policy(e) => Some(e),
            Self::Build(e) => Some(e),
            Self::Channel(e) => Some(e),
            Self::Hop(e) => Some(e),
            Self::Ca(e) => Some(e),
            Self::Files(e) => Some(e),
            Self::Io(e) => Some(e),
            Self::Ledger(e) => Some(e),
            Self::Stock(e) => Some(e),
        }
    }
}

macro_rules! from {
    ($($kind:ident($error:ty)),* $(,)?) => {$(
        impl From<$error> for ShopError {
            fn from(error: $error) -> Self {
                Self::$kind(error)
            }
        }
    )*};
}

from! {
    Policy(PolicyError),
    Build(BuildError),
    Channel(ChannelError),
    Hop(HopError),
    Ca(DevCaError),
    Files(SvidFilesError),
    Io(io::Error),
    Ledger(LedgerError),
    Stock(tonic::transport::Error),
}
