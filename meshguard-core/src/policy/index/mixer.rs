//! A fast hash without a key.

use std::hash::{BuildHasherDefault, Hasher};

/// Hashing without a key is safe where only the policy's author puts anything into the map:
/// whoever calls can look up what collides, but cannot make it collide with more.
pub(super) type Unkeyed = BuildHasherDefault<Mixer>;

/// Multiplies and folds, eight bytes at a time.
#[derive(Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.write_u64(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
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
