//! Seeded randomness: SplitMix64, so that a seed means the same on every machine.

/// A sequence of numbers that its seed determines.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From `low` to below `high`.
    pub(super) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % high.saturating_sub(low).max(1)
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.range(0, last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

/// A number for a text, the same in every run.
pub(super) fn hash(parts: &[&[u8]]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        state = mix(state ^ part.len() as u64);
        for chunk in part.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            state = mix(state ^ u64::from_le_bytes(word));
        }
    }
    state
}

fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_a_stream_others() {
        let mut first = Rng::new(1, 2);
        let numbers: Vec<_> = (0..4).map(|_| first.next()).collect();
        let mut again = Rng::new(1, 2);
        assert_eq!(numbers, (0..4).map(|_| again.next()).collect::<Vec<_>>());
        assert_ne!(numbers[0], Rng::new(1, 3).next());
        assert!((0..100).all(|_| (5..9).contains(&first.range(5, 9))));
    }

    #[test]
    fn every_part_counts_in_a_hash() {
        let whole = hash(&[b"ab", b"c"]);
        for other in [hash(&[b"a", b"bc"]), hash(&[b"abc"]), hash(&[b"ab", b"c", b""])] {
            assert_ne!(whole, other);
        }
    }
}
