//! AES-128-GCM by aws-lc-rs, as the mesh gives it to core.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use meshguard_core::delivery::{Aead, AeadError, AeadKey};

pub(crate) struct AwsLc;

struct Key(LessSafeKey);

impl Aead for AwsLc {
    fn key(&self, key: &[u8; 16]) -> Box<dyn AeadKey> {
        Box::new(Key(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).unwrap())))
    }
}

impl AeadKey for Key {
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], in_out: &mut [u8]) -> Result<[u8; 16], AeadError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), in_out);
        tag.map_err(|_| AeadError)?.as_ref().try_into().map_err(|_| AeadError)
    }

    fn open(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        out: &mut [u8],
    ) -> Result<(), AeadError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out);
        opened.map_err(|_| AeadError)
    }
}
