//! How a hop is set up.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use meshguard_core::SpiffeId;
use meshguard_tower::dev::{DevCa, DevCaError, DevSvid};
use rustls::pki_types::pem;

use super::FaultHop;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS, with prior knowledge (RFC 9113, section 3.3).
    Http2,
}

/// How a hop speaks to both sides.
#[derive(Debug)]
#[non_exhaustive]
pub enum Transport {
    /// TLS with a client certificate on both sides. ALPN decides on the protocol with the caller,
    /// and the callee is spoken to in the same.
    Tls {
        /// What the hop shows on both sides.
        svid: DevSvid,
        /// The roots of both sides, PEM.
        bundle_pem: String,
    },
    /// TCP alone, for stock stacks.
    Plain(Protocol),
}

/// Sets up a [`FaultHop`].
#[derive(Debug)]
#[must_use]
pub struct Builder {
    upstream: SocketAddr,
    transport: Transport,
}

impl Builder {
    pub(super) fn new(upstream: SocketAddr) -> Self {
        Self { upstream, transport: Transport::Plain(Protocol::Http1) }
    }

    /// Over this transport. Without one: plain HTTP/1.1.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Over TLS on both sides, as `id`, with an SVID of `ca`.
    ///
    /// # Errors
    /// [`HopError::Ca`] where the authority refuses.
    pub fn tls(self, ca: &DevCa, id: &SpiffeId) -> Result<Self, HopError> {
        let svid = ca.svid(id)?;
        Ok(self.transport(Transport::Tls { svid, bundle_pem: ca.bundle_pem().to_owned() }))
    }

    /// Over TCP alone on both sides.
    pub fn plain(self, protocol: Protocol) -> Self {
        self.transport(Transport::Plain(protocol))
    }

    /// Listens on 127.0.0.1, on a port of the system's choice, and forwards from then on.
    ///
    /// # Errors
    /// [`HopError::Listen`] where no port is to be had; [`HopError::Pem`] and [`HopError::Tls`]
    /// where SVID or bundle are unusable.
    pub async fn start(self) -> Result<FaultHop, HopError> {
        FaultHop::start(self.upstream, self.transport).await
    }
}

/// Why a hop did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum HopError {
    /// No address to listen on.
    Listen(io::Error),
    /// The authority gave no SVID.
    Ca(DevCaError),
    /// SVID, key or bundle is not PEM.
    Pem(pem::Error),
    /// SVID, key or bundle is not good for TLS.
    Tls(rustls::Error),
}

impl fmt::Display for HopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listen(_) => "no address to listen on",
            Self::Ca(_) => "the authority gave no SVID",
            Self::Pem(_) => "SVID, key or bundle is not PEM",
            Self::Tls(_) => "SVID, key or bundle is not good for TLS",
        })
    }
}

impl std::error::Error for HopError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen(e) => Some(e),
            Self::Ca(e) => Some(e),
            Self::Pem(e) => Some(e),
            Self::Tls(e) => Some(e),
        }
    }
}

impl From<DevCaError> for HopError {
    fn from(error: DevCaError) -> Self {
        Self::Ca(error)
    }
}
