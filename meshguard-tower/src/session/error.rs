//! Why a session was not opened.

use std::fmt;

use http::{HeaderValue, StatusCode};
use meshguard_core::control::IncidentId;
use meshguard_core::delivery::SettingsError;

use super::DENIED;
use crate::decision::DecisionId;
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
    /// The callee's policy allows this side nothing, or its loop has cut this side off; the number
    /// of that decision. Through a hop it is the hop's word.
    Denied(Option<DecisionId>),
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
            Self::Denied(None) => f.write_str("the callee's policy refuses this side"),
            Self::Denied(Some(id)) => {
                write!(f, "the callee's policy refuses this side (decision {id})")
            }
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
    /// Policy allows the caller nothing here, whatever it asks.
    Denied,
    /// The loop has cut the caller off, for this incident.
    Quarantined(IncidentId),
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
            Self::Denied | Self::Quarantined(_) => StatusCode::FORBIDDEN,
        }
    }

    /// What the session's header says of it.
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Denied | Self::Quarantined(_) => DENIED,
            _ => "refused",
        })
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
            Self::Denied => "denied",
            Self::Quarantined(_) => "quarantined",
        }
    }
}

impl fmt::Display for SessionRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(kind) => write!(f, "session handshake: {kind}"),
            Self::Settings(error) => error.fmt(f),
            Self::Protocol(what) => write!(f, "session handshake: {what}"),
            Self::Denied => f.write_str("policy allows the caller nothing here"),
            Self::Quarantined(incident) => write!(f, "it is cut off ({incident})"),
            other => f.write_str(other.as_str()),
        }
    }
}

impl std::error::Error for SessionRefusal {}
