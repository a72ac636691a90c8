//! Sessions: TLS inside HTTP, from one instance to another, through whatever hops.
//!
//! The handshake travels in the bodies of a few POSTs. Its rustls configurations are their own:
//! nothing is resumed, so every session's certificates are verified now.

mod client;
mod ended;
mod error;
mod handshake;
mod pending;
mod principal;
mod server;
mod store;

#[cfg(test)]
pub(crate) use client::MARGIN;
pub(crate) use client::{ClientSession, Opening};
pub(crate) use ended::NotLive;
pub use error::{SessionError, SessionRefusal};
pub(crate) use server::ServerSession;
pub(crate) use store::{Sessions, Step};

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use meshguard_core::delivery::{PREFIX, Sid};

/// The path under [`PREFIX`] where handshakes are posted.
pub(crate) const HANDSHAKE: &str = "session";
/// The path under [`PREFIX`] where receipts are posted.
pub(crate) const RECEIPTS: &str = "receipts";
/// The media type of a handshake's bodies.
pub(crate) const MEDIA_TYPE: HeaderValue =
    HeaderValue::from_static("application/vnd.meshguard.handshake");
/// The header that names a session during its handshake, or asks for another one.
pub(crate) const SESSION: &str = "meshguard-session";
/// What [`SESSION`] says where policy or the loop refuses the caller, whatever it asks.
pub(crate) const DENIED: &str = "denied";
/// The header that balancers may hash on.
pub(crate) const AFFINITY: &str = "meshguard-affinity";

/// Handshakes under way in this process, at most.
pub(crate) const MAX_PENDING: usize = 256;
/// Handshakes under way from one outer peer, at most. One more takes the place of another one.
pub(crate) const MAX_PENDING_PER_PEER: usize = 32;
/// As [`MAX_PENDING_PER_PEER`], from a hop.
pub(crate) const MAX_PENDING_PER_HOP: usize = MAX_PENDING / 2;
/// Handshakes that one principal begins at once, at most: each of its sessions anew.
pub(crate) const HANDSHAKES_AT_ONCE: u32 = MAX_SESSIONS_PER_PRINCIPAL as u32;
/// Handshakes that one principal begins in a second after that. One costs its callee about 1 ms.
pub(crate) const HANDSHAKES_PER_SECOND: u32 = 64;
/// A hop begins as many handshakes as this number of principals: who is behind it is not known
/// before.
pub(crate) const HOP_WEIGHT: u32 = 32;
/// A handshake takes at most so long.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// A handshake's body has at most so many bytes.
pub(crate) const MAX_HANDSHAKE: usize = 16 * 1024;
/// Live sessions in this process, at most.
pub(crate) const MAX_SESSIONS: usize = 16_384;
/// One principal's share of [`MAX_SESSIONS`].
pub(crate) const MAX_SESSIONS_PER_PRINCIPAL: usize = MAX_SESSIONS / 16;
/// A session takes new exchanges for so long.
pub(crate) const LIFETIME: Duration = Duration::from_secs(3600);
/// A session whose proofs do not cover what policy reads by now goes on for so long, while its
/// caller opens another one. Until then a rule that reads the header does not hold in it.
pub(crate) const RETIRING: Duration = Duration::from_secs(10);
/// One principal's sessions that are not gone, at most: those that have ended go on while something
/// runs in them.
pub(crate) const MAX_LIVE_PER_PRINCIPAL: usize = 2 * MAX_SESSIONS_PER_PRINCIPAL;

/// Bytes of records that have begun and are not whole, in this process: 128 gRPC messages of 4 MiB.
pub(crate) const MAX_GATHERED: usize = 512 * 1024 * 1024;
/// What is shorter than this needs no such room: a record of the usual size is verified with the frame
/// that brings it.
pub(crate) const GATHERED_STEP: usize = 32 * 1024;

/// The whole path of one of the protocol's own requests.
pub(crate) fn path(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// `sid="…"`, the value of [`SESSION`] during a handshake.
pub(crate) fn sid_value(sid: &Sid) -> HeaderValue {
    let text = format!("sid=\"{sid}\"");
    // A sid's text is letters, digits, `-` and `_`.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The sid that [`SESSION`] names.
pub(crate) fn named_sid(headers: &HeaderMap) -> Option<Sid> {
    let value = headers.get(SESSION)?.as_bytes();
    Sid::parse(value.strip_prefix(b"sid=\"")?.strip_suffix(b"\"")?)
}
