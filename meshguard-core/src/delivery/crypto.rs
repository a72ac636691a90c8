//! What core asks of a cryptography provider: AES-128-GCM, and nothing else.

use std::fmt;

/// A provider of AES-128-GCM (NIST SP 800-38D), 12-byte nonces, 16-byte tags.
pub trait Aead: Send + Sync {
    /// Prepares a key.
    fn key(&self, key: &[u8; 16]) -> Box<dyn AeadKey>;
}

/// A prepared AES-128-GCM key.
pub trait AeadKey: Send + Sync {
    /// Encrypts `in_out` in place and returns the tag.
    ///
    /// # Errors
    /// Where the provider fails; nothing may then be sent.
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], in_out: &mut [u8]) -> Result<[u8; 16], AeadError>;

    /// Decrypts `ciphertext` into `out`, which has the same length.
    ///
    /// # Errors
    /// Where the tag does not hold; `out` must then not be used.
    fn open(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        out: &mut [u8],
    ) -> Result<(), AeadError>;
}

/// The provider refused: a tag that does not hold, or a failure of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AeadError;

impl fmt::Display for AeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AES-128-GCM refused")
    }
}

impl std::error::Error for AeadError {}
