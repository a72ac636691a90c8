//! A ledger's public key, as an argument.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// An Ed25519 public key (RFC 8032), 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey(pub(crate) [u8; 32]);

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = match text.len() {
            64 => hex(text),
            _ => URL_SAFE_NO_PAD.decode(text).ok(),
        };
        let key = bytes.and_then(|bytes| bytes.try_into().ok()).map(Self);
        key.ok_or_else(|| "neither 64 hexadecimal digits nor 32 bytes in base64url".to_owned())
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).ok();
    digits?.chunks_exact(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_both_forms() {
        let hex = format!("{}ff", "00".repeat(31));
        let mut want = [0; 32];
        want[31] = 255;
        assert_eq!(hex.parse(), Ok(PublicKey(want)));
        assert_eq!(URL_SAFE_NO_PAD.encode(want).parse(), Ok(PublicKey(want)));
        for bad in ["", "00", &"0g".repeat(32), &"é".repeat(32), &"A".repeat(44)] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
    }
}
