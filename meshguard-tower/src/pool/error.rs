//! Why a request was not sent, or why nobody knows whether it was.

use std::fmt;
use std::io;
use std::sync::Arc;

use http::Request;

use crate::tls::HandshakeErrorKind;

/// Why there is no connection to the callee. Nothing of a request was sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host is neither a DNS name nor an IP address.
    InvalidHost(String),
    /// The host's addresses were not found: the resolver's error, `NotFound` where there are none.
    Resolve(Arc<io::Error>),
    /// No address of the host accepted a connection; the last one's error.
    Connect(Arc<io::Error>),
    /// No address of the host was found or accepted a connection in time.
    Timeout,
    /// The TLS handshake failed, or was not complete in time ([`HandshakeErrorKind::Timeout`]).
    Handshake(HandshakeErrorKind),
    /// The connection was made, but ended before it took the request.
    Http(Arc<hyper::Error>),
    /// The connecting task ended without a result: the runtime is shutting down.
    Interrupted,
}

impl ConnectError {
    /// Whether there was a connection, and it ended before anything was decided.
    pub(crate) fn is_broken_off(&self) -> bool {
        use HandshakeErrorKind::{Disconnected, Network};
        matches!(self, Self::Http(_) | Self::Handshake(Disconnected | Network))
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidHost(host) => write!(f, "not a host name or IP address: {host:?}"),
            Self::Resolve(error) => write!(f, "the host was not found: {error}"),
            Self::Connect(error) => write!(f, "no connection to the host: {error}"),
            Self::Timeout => f.write_str("no connection to the host in time"),
            Self::Handshake(kind) => write!(f, "the TLS handshake failed: {kind}"),
            Self::Http(error) => write!(f, "the connection took no request: {error}"),
            Self::Interrupted => f.write_str("connecting was interrupted"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Resolve(error) | Self::Connect(error) => Some(&**error),
            Self::Handshake(kind) => Some(kind),
            Self::Http(error) => Some(&**error),
            Self::InvalidHost(_) | Self::Timeout | Self::Interrupted => None,
        }
    }
}

/// Why there is no response.
pub(crate) enum SendError<B> {
    /// Not a byte was sent: the request can be sent again, to anyone. Its URI is as it was.
    NotSent {
        error: ConnectError,
        #[cfg_attr(
            not(test),
            expect(dead_code, reason = "handed back for its drop; tests look at it")
        )]
        request: Box<Request<B>>,
    },
    /// The far end has refused this side, and seen nothing of the request.
    Refused { kind: HandshakeErrorKind },
    /// The far end says that it has not acted on the request, of which it may have seen a part.
    Unprocessed { error: hyper::Error },
    /// The callee may have seen the request.
    Lost { error: hyper::Error },
}

impl<B> fmt::Debug for SendError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent { error, .. } => f.debug_tuple("NotSent").field(error).finish(),
            Self::Refused { kind } => f.debug_tuple("Refused").field(kind).finish(),
            Self::Unprocessed { error } => f.debug_tuple("Unprocessed").field(error).finish(),
            Self::Lost { error } => f.debug_tuple("Lost").field(error).finish(),
        }
    }
}

impl<B> fmt::Display for SendError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent { .. } => f.write_str("the request was not sent"),
            Self::Refused { kind } => write!(f, "the far end refused this side: {kind}"),
            Self::Unprocessed { .. } => f.write_str("the far end did not act on the request"),
            Self::Lost { .. } => f.write_str("the connection was lost before the response came"),
        }
    }
}

impl<B> std::error::Error for SendError<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotSent { error, .. } => Some(error),
            Self::Refused { kind } => Some(kind),
            Self::Unprocessed { error } | Self::Lost { error } => Some(error),
        }
    }
}
