//! The running hash of a body.

use sha2::{Digest, Sha256};

use super::suite::Hash;

const LABEL: &[u8] = b"mg1 transcript";

/// The running hash of one body: `H(label ‖ context ‖ for each DATA record: type ‖ u32 length
/// ‖ H(plaintext))`. Payloads are hashed on their own, aligned, so that SIMD can be used.
#[derive(Clone)]
pub struct Transcript(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    // BLAKE3's state is 1.9 KiB.
    Blake3(Box<blake3::Hasher>),
}

impl Transcript {
    /// The transcript of a body that has no records yet.
    #[must_use]
    pub fn new(hash: Hash, context: &[u8; 32]) -> Self {
        let mut new = Self(match hash {
            Hash::Sha256 => State::Sha256(Sha256::new()),
            Hash::Blake3 => State::Blake3(Box::default()),
        });
        new.update(LABEL);
        new.update(context);
        new
    }

    /// Absorbs a DATA record. `digest` is the payload's, by [`Transcript::digest`].
    pub fn data(&mut self, kind: u8, length: u32, digest: &[u8; 32]) {
        let mut entry = [0; 37];
        entry[0] = kind;
        entry[1..5].copy_from_slice(&length.to_be_bytes());
        entry[5..].copy_from_slice(digest);
        self.update(&entry);
    }

    /// The hash of all records so far.
    #[must_use]
    pub fn value(&self) -> [u8; 32] {
        match &self.0 {
            State::Sha256(h) => h.clone().finalize().into(),
            State::Blake3(h) => *h.finalize().as_bytes(),
        }
    }

    /// A payload's own digest.
    #[must_use]
    pub fn digest(hash: Hash, payload: &[u8]) -> [u8; 32] {
        match hash {
            Hash::Sha256 => Sha256::digest(payload).into(),
            Hash::Blake3 => *blake3::hash(payload).as_bytes(),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(h) => h.update(bytes),
            State::Blake3(h) => {
                h.update(bytes);
            }
        }
    }
}
