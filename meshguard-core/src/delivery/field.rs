//! The `meshguard` header field: its grammar, read without copying, and its writer.
//!
//! ```text
//! sid="…", seq=1842[, att=1], low=1839[, void="1840"], BODY
//!     [, acks="1800-1801,1839", ackh=:16:][, by=<unix s>], p=:16:
//! seq=1842, BODY, rcpt=consumed|received|partial|bad|later
//!     [, n=1, len=4][, t=:16:][, dup], p=:16:
//! BODY = body=none | body=known, d=:32: | body=records[, size=2048]
//! ```
//!
//! Members come in exactly this order. Anything else is refused: there is one way to write a
//! head, so that two readers cannot understand it differently.

mod ranges;
mod reader;
mod request;
mod response;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use ranges::{Range, Ranges, write_pairs, write_ranges};
pub use request::{Acks, RequestField};
pub use response::{Rcpt, ResponseField};

/// The header field's name.
pub const NAME: &str = "meshguard";

/// Bytes that the field may have: `void` and `acks` at their longest, and all the rest.
pub const MAX_FIELD: usize = 16 * 1024;

/// What a head says of the body behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// It goes unchanged; this is its digest ([`known::digest`](super::known::digest)).
    Known([u8; 32]),
    /// It goes as records to an authenticated FIN; so many payload bytes in all, where that is
    /// known with the head.
    Records(Option<u64>),
}

/// Where a field does not follow its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldError {
    /// The member at this place is absent, misplaced or malformed.
    Member(&'static str),
    /// There is something behind the proof, or an unknown or repeated member before it.
    Unknown,
    /// It has more than [`MAX_FIELD`] bytes.
    TooLong,
    /// `acks` or `void` is not ascending and disjoint, or has more ranges or numbers than it may.
    Ranges(&'static str),
    /// `low` is above `seq`.
    LowAboveSeq,
    /// Members that do not go together, as `d` with a body that is not known.
    Combination(&'static str),
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(m) => write!(f, "member `{m}` is absent, misplaced or malformed"),
            Self::Unknown => f.write_str("an unknown or repeated member, or one behind the proof"),
            Self::TooLong => write!(f, "the field has more than {MAX_FIELD} bytes"),
            Self::Ranges(m) => write!(f, "`{m}` must be ascending, disjoint and within its limit"),
            Self::LowAboveSeq => f.write_str("`low` is above `seq`"),
            Self::Combination(m) => write!(f, "`{m}` does not go with the other members"),
        }
    }
}

impl std::error::Error for FieldError {}

/// 16 bytes as base64 with padding (RFC 4648 §4), 24 characters.
#[must_use]
pub fn base64_16(bytes: &[u8; 16]) -> [u8; 24] {
    let mut text = [b'='; 24];
    // 16 bytes always give 24 characters, so the result carries nothing.
    let _ = STANDARD.encode_slice(bytes, &mut text);
    text
}

fn base64_32(bytes: &[u8; 32]) -> [u8; 44] {
    let mut text = [b'='; 44];
    // 32 bytes always give 44 characters, so the result carries nothing.
    let _ = STANDARD.encode_slice(bytes, &mut text);
    text
}

fn put_number(out: &mut Vec<u8>, n: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = n;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8; // below ten
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn put_body(out: &mut Vec<u8>, body: &Body) {
    match body {
        Body::None => out.extend_from_slice(b", body=none"),
        Body::Known(d) => {
            out.extend_from_slice(b", body=known, d=:");
            out.extend_from_slice(&base64_32(d));
            out.push(b':');
        }
        Body::Records(size) => {
            out.extend_from_slice(b", body=records");
            if let Some(size) = size {
                out.extend_from_slice(b", size=");
                put_number(out, *size);
            }
        }
    }
}

/// Completes a field with its proof.
pub fn put_proof(out: &mut Vec<u8>, proof: &super::Proof) {
    out.extend_from_slice(b", p=:");
    out.extend_from_slice(&base64_16(&proof.0));
    out.push(b':');
}
