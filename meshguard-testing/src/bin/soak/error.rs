//! Why a soak could not run.

use std::fmt;
use std::io;
use std::sync::Arc;

use meshguard_axum::{BuildError, ChannelError, PolicyError, ReloadError};
use meshguard_testing::{DevCaError, HopError, SvidFilesError};
use rustls::pki_types::pem;
use rustls::server::VerifierBuilderError;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident($cause:ty),)*) => {
        /// Why a soak could not run.
        #[derive(Debug)]
        pub(crate) enum SoakError {
            $($(#[$doc])* $name($cause),)*
        }

        $(impl From<$cause> for SoakError {
            fn from(error: $cause) -> Self {
                Self::$name(error)
            }
        })*

        impl fmt::Display for SoakError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name(error) => error.fmt(f),)*
                }
            }
        }
    };
}

errors! {
    /// The system refused.
    Io(io::Error),
    /// The authority refused.
    Ca(DevCaError),
    /// Credentials could not be written.
    Files(SvidFilesError),
    /// A mesh could not be built.
    Build(BuildError),
    /// A channel could not be made.
    Channel(ChannelError),
    /// The policy is not one.
    Policy(PolicyError),
    /// Credentials were not taken.
    Reload(Arc<ReloadError>),
    /// A hop did not start.
    Hop(HopError),
    /// Credentials are not PEM.
    Pem(pem::Error),
    /// Credentials are not good for TLS.
    Tls(rustls::Error),
    /// Roots are not good for TLS.
    Roots(VerifierBuilderError),
}

impl std::error::Error for SoakError {}
