//! What cannot be simulated.

use std::fmt;
use std::time::Duration;

use meshguard_core::PolicyError;
use meshguard_core::identity::SpiffeIdError;

/// Why a simulation could not be set up, or did not come to where it was to come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SimError {
    /// A name is no SPIFFE ID.
    Id(SpiffeIdError),
    /// A policy document was refused.
    Policy(PolicyError),
    /// An operation is neither `METHOD /path` nor `/package.Service/Method`.
    Operation(String),
    /// What was waited for did not happen within so long.
    NotWithin(Duration),
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Operation(text) => {
                write!(f, "{text:?} is neither `METHOD /path` nor `/package.Service/Method`")
            }
            Self::NotWithin(limit) => write!(f, "it did not happen within {limit:?}"),
        }
    }
}

impl std::error::Error for SimError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Id(error) => Some(error),
            Self::Policy(error) => Some(error),
            Self::Operation(_) | Self::NotWithin(_) => None,
        }
    }
}

impl From<SpiffeIdError> for SimError {
    fn from(error: SpiffeIdError) -> Self {
        Self::Id(error)
    }
}

impl From<PolicyError> for SimError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}
