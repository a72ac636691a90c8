//! What several integration tests of core share: AES-128-GCM by aws-lc-rs, and seeds.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)] // each test uses its part

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use meshguard_core::delivery::{Aead, AeadError, AeadKey};

pub struct AwsLc;

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
        Ok(tag.map_err(|_| AeadError)?.as_ref().try_into().unwrap())
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
        self.0
            .open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out)
            .map_err(|_| AeadError)
    }
}

/// SplitMix64: small, seedable, and the same everywhere.
pub struct Rng(u64);

impl Rng {
    /// A seed from `MESHGUARD_SEED`, else from the clock; printed, so that a failure can be
    /// run again.
    #[allow(clippy::disallowed_methods)] // tests may look at the clock
    pub fn seeded(test: &str) -> Self {
        let seed = std::env::var("MESHGUARD_SEED").ok().and_then(|s| s.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = seed.unwrap_or_else(|| now.map_or(1, |d| d.as_nanos() as u64));
        println!("{test}: MESHGUARD_SEED={seed}");
        Self(seed)
    }

    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which must not be zero.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}
