//! A fast hash without a key.

use std::hash::{BuildHasherDefault, Hasher};

/// Hashing without a key is safe where only the policy's author puts anything into the map:
/// whoever calls can look up what collides, but cannot make it collide with more.
pub(super) type Unkeyed = BuildHasherDefault<Mixer>;

/// Multiplies and folds, sixteen bytes at a time, in the manner of wyhash.
#[derive(Default)]
pub(super) struct Mixer(u64);

impl Mixer {
    fn fold(&mut self, a: u64, b: u64) {
        let a = a ^ self.0 ^ 0x9E37_79B9_7F4A_7C15;
        let product = u128::from(a) * u128::from(b ^ 0xD6E8_FEB8_6659_FD93);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<16>();
        for block in blocks {
            let [a, b] = halves(block);
            self.fold(a, b);
        }
        // What is left, and its length; two reads that overlap say as much as one of each length.
        let length = rest.len() as u64;
        if let (Some(first), Some(last)) = (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
            self.fold(u64::from_le_bytes(*first), u64::from_le_bytes(*last) ^ length);
        } else if let (Some(first), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>())
        {
            let [first, last] = [first, last].map(|word| u64::from(u32::from_le_bytes(*word)));
            self.fold(first << 32 | last, length);
        } else {
            let word = rest.iter().fold(length, |word, byte| word << 8 | u64::from(*byte));
            self.fold(word, 0);
        }
    }

    /// The mark behind a text: it only has to be there.
    fn write_u8(&mut self, byte: u8) {
        self.0 ^= u64::from(byte);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.fold(word, 0);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn halves(block: &[u8; 16]) -> [u64; 2] {
    let whole = u128::from_le_bytes(*block);
    [whole as u64, (whole >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, Hash};

    use super::*;

    fn hash(value: impl Hash) -> u64 {
        Unkeyed::default().hash_one(value)
    }

    #[test]
    fn neighbours_spread_over_all_bits() {
        let mut low = HashSet::new();
        let mut high = HashSet::new();
        for i in 0..4096_u32 {
            for hash in [hash((i, 1_u32)), hash(format!("svc-{i}"))] {
                low.insert(hash & 0xFFFF);
                high.insert(hash >> 48);
            }
        }
        // 8,192 balls into 65,536 bins leave about 7,700 filled.
        assert!(low.len() > 7_400 && high.len() > 7_400, "{} {}", low.len(), high.len());
    }
}
