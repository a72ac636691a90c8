//! Why a session was not opened.

use std::fmt;

use http::StatusCode;
use meshguard_core::delivery::SettingsError;

use crate::tls::HandshakeErrorKind;

/// Why a channel could not open a session with its callee.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// The inner handshake failed; `WrongPeer` where somebody else answered it.
    Handshake(HandshakeErrorKind),
    /// What answered does not speak the protocol.
    NotSpoken(StatusCode),
    /// The callee refused the handshake, or somebody on the path did.
    Refused(StatusCode),
    /// The second part of the handshake met another instance than the first: what balances
    /// between must keep requests of one `meshguard-affinity` together.
    Split,
    /// The callee's settings are not acceptable.
    Settings(SettingsError),
    /// The far side did not follow the protocol, here.
    Protocol(&'static str),
    /// The handshake took too long.
    Timeout,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(kind) => write!(f, "the session's handshake failed: {kind}"),
            Self::NotSpoken(s) => {
                write!(f, "the callee does not speak the delivery protocol (it answered {s})")
            }
            Self::Refused(s) => write!(f, "the session was refused with {s}"),
            Self::Split => f.write_str(
                "the session's handshake met two instances: balance on meshguard-affinity",
            ),
            Self::Settings(error) => write!(f, "the session's settings: {error}"),
            Self::Protocol(what) => write!(f, "the session's handshake went wrong: {what}"),
            Self::Timeout => f.write_str("the session's handshake took too long"),
        }
    }
}

impl std::error::Error for SessionError {}

/// Why this service refused to open a session. Counted by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionRefusal {
    /// Too many handshakes are under way, in all or from this peer.
    TooMany,
    /// No handshake of that sid is under way here.
    Unknown,
    /// It is another connection's peer that began this handshake.
    OtherPeer,
    /// The inner handshake failed.
    Handshake(HandshakeErrorKind),
    /// The caller's settings are not acceptable.
    Settings(SettingsError),
    /// The connection's peer is not the caller, and policy does not name it as a hop.
    HopNotNamed,
    /// The caller did not follow the protocol, here.
    Protocol(&'static str),
    /// A body is above 16 KiB.
    TooLarge,
}

impl SessionRefusal {
    /// The status that says so: a hint, since nothing proves it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Unknown => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Protocol(_) | Self::Settings(_) => StatusCode::BAD_REQUEST,
            Self::OtherPeer | Self::Handshake(_) | Self::HopNotNamed => StatusCode::FORBIDDEN,
        }
    }

    /// A short name, for logs and counters.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooMany => "too-many",
            Self::Unknown => "unknown-sid",
            Self::OtherPeer => "other-peer",
            Self::Handshake(kind) => kind.as_str(),
            Self::Settings(_) => "settings",
            Self::HopNotNamed => "hop-not-named",
            Self::Protocol(_) => "protocol",
            Self::TooLarge => "too-large",
        }
    }
}

impl fmt::Display for SessionRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(kind) => write!(f, "session handshake: {kind}"),
            Self::Settings(error) => error.fmt(f),
            Self::Protocol(what) => write!(f, "session handshake: {what}"),
            other => f.write_str(other.as_str()),
        }
    }
}

impl std::error::Error for SessionRefusal {}
