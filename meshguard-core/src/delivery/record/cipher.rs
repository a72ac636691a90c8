//! How one record is protected, by suite.

use hmac::Mac;

use super::{MAX_SEALED_BYTES, MAX_SEALED_RECORDS, TAG};
use crate::delivery::crypto::{Aead, AeadError, AeadKey};
use crate::delivery::keys::{BodyKey, MacKey, truncate};
use crate::delivery::suite::Suite;

pub(super) enum Cipher {
    Mac(MacKey),
    Seal { key: Box<dyn AeadKey>, nonce: [u8; 12] },
}

impl Cipher {
    pub(super) fn new(suite: Suite, key: &BodyKey, context: &[u8; 32], aead: &dyn Aead) -> Self {
        let okm = key.message(context);
        if !suite.is_sealed() {
            return Self::Mac(MacKey::new(&okm));
        }
        let (mut key, mut nonce) = ([0; 16], [0; 12]);
        key.copy_from_slice(&okm[..16]);
        nonce.copy_from_slice(&okm[16..28]);
        let prepared = aead.key(&key);
        zeroize::Zeroize::zeroize(&mut key);
        Self::Seal { key: prepared, nonce }
    }

    pub(super) fn seals(&self) -> bool {
        matches!(self, Self::Seal { .. })
    }

    /// Encrypts `payload` in place (sealed) and returns the tag. `bound` stands for the
    /// payload in a MAC: the digest of DATA, the payload itself of FIN.
    pub(super) fn protect(
        &self,
        kind: u8,
        index: u64,
        bound: &[u8],
        payload: &mut [u8],
    ) -> Result<[u8; TAG], AeadError> {
        match self {
            Self::Mac(_) => Ok(self.mac(kind, index, bound)),
            Self::Seal { key, nonce } => key.seal(&at(nonce, index), &aad(kind, index), payload),
        }
    }

    /// The tag of a record whose payload stays in clear.
    pub(super) fn mac(&self, kind: u8, index: u64, bound: &[u8]) -> [u8; TAG] {
        match self {
            Self::Mac(key) => {
                let mut mac = key.start();
                mac.update(b"mg1 record");
                mac.update(&aad(kind, index));
                mac.update(bound);
                truncate(mac)
            }
            Self::Seal { .. } => [0; TAG],
        }
    }

    /// Decrypts a sealed record.
    pub(super) fn open(
        &self,
        kind: u8,
        index: u64,
        ciphertext: &[u8],
        tag: &[u8; TAG],
        out: &mut [u8],
    ) -> Result<(), AeadError> {
        match self {
            Self::Mac(_) => Err(AeadError),
            Self::Seal { key, nonce } => {
                key.open(&at(nonce, index), &aad(kind, index), ciphertext, tag, out)
            }
        }
    }

    /// Whether another record of `more` bytes stays within what one key may protect.
    pub(super) fn allows(&self, index: u64, len: u64, more: usize) -> bool {
        !self.seals()
            || (index < MAX_SEALED_RECORDS && len.saturating_add(more as u64) <= MAX_SEALED_BYTES)
    }
}

fn aad(kind: u8, index: u64) -> [u8; 9] {
    let mut aad = [kind; 9];
    aad[1..].copy_from_slice(&index.to_be_bytes());
    aad
}

/// `nonce XOR u96(index)`.
fn at(nonce: &[u8; 12], index: u64) -> [u8; 12] {
    let mut n = *nonce;
    n[4..].iter_mut().zip(index.to_be_bytes()).for_each(|(n, i)| *n ^= i);
    n
}
