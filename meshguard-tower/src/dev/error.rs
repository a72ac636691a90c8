//! Why the throw-away authority could not do as it was asked.

use std::fmt;

use meshguard_core::SpiffeId;
use meshguard_core::identity::{SpiffeIdError, TrustDomain};

use super::MAX_SHARED;

/// Why a [`DevCa`](super::DevCa) or one of its certificates could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum DevCaError {
    /// The name of the trust domain is none.
    TrustDomain(SpiffeIdError),
    /// The ID belongs to another trust domain than the authority.
    ForeignId(SpiffeId, TrustDomain),
    /// A subject alternative name has a character outside ASCII.
    SubjectName(String),
    /// The system gave no random bytes for a serial number.
    Random,
    /// This process already has [`MAX_SHARED`] shared authorities.
    TooManyShared,
    /// A key or certificate could not be made or encoded.
    Issue(rcgen::Error),
}

impl fmt::Display for DevCaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrustDomain(_) => f.write_str("the trust domain's name is malformed"),
            Self::ForeignId(id, domain) => write!(f, "{id} is not in trust domain {domain}"),
            Self::SubjectName(name) => write!(f, "subject name {name:?} is not ASCII"),
            Self::Random => f.write_str("no random bytes for a serial number"),
            Self::TooManyShared => write!(f, "already {MAX_SHARED} shared authorities"),
            Self::Issue(_) => f.write_str("a key or certificate could not be made"),
        }
    }
}

impl std::error::Error for DevCaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TrustDomain(e) => Some(e),
            Self::Issue(e) => Some(e),
            _ => None,
        }
    }
}
