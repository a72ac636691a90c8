//! Session identifiers.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The name of a session: 16 random bytes chosen by the receiver; on the wire base64url
/// without padding (RFC 4648 §5), 22 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid([u8; 16]);

impl Sid {
    /// Length of the text form, in bytes.
    pub const TEXT_LEN: usize = 22;

    /// A session identifier of these bytes, which must come from a secure random source.
    #[must_use]
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the text form; `None` unless it is exactly 22 canonical base64url characters.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 16];
        if text.len() != Self::TEXT_LEN {
            return None;
        }
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(16) => Some(Self(bytes)),
            _ => None,
        }
    }

    /// The text form.
    #[must_use]
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        let mut text = [b'A'; Self::TEXT_LEN];
        // 16 bytes always give 22 characters, so the result carries nothing.
        let _ = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
        text
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_text().iter().try_for_each(|c| write!(f, "{}", char::from(*c)))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_text_is_read() {
        let sid = Sid::from_random([0xa5; 16]);
        let text = sid.to_text();
        assert_eq!(Sid::parse(&text), Some(sid));
        assert_eq!(Sid::parse(&text[..21]), None);
        let mut other = text;
        other[21] = b'V'; // leaves bits behind the last byte set
        assert_eq!(Sid::parse(&other), None);
        other[21] = b'=';
        assert_eq!(Sid::parse(&other), None);
    }
}
