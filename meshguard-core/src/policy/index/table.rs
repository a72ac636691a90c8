//! A hash table that is built once and then only read.

/// Open addressing with linear probing, at most half full: a look-up rarely leaves one cache
/// line. Hashing without a key is safe where only the policy's author puts anything into the
/// table: whoever calls can look up what collides, but cannot make it collide with more.
#[derive(Debug)]
pub(super) struct Table<T>(Box<[Option<T>]>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<T> Table<T> {
    /// Of items and their hashes. Of items that are equal the first is found.
    pub(super) fn new(items: Vec<(u64, T)>) -> Self {
        // A power of two, of which at least one stays empty: that ends a search.
        let mut slots: Vec<Option<T>> = Vec::new();
        slots.resize_with((items.len() * 2).next_power_of_two(), || None);
        for (hash, item) in items {
            let mut at = place(hash, slots.len());
            while slots[at].is_some() {
                at = place(at as u64 + 1, slots.len());
            }
            slots[at] = Some(item);
        }
        Self(slots.into())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == 1
    }

    /// The item of this hash that is it.
    #[inline]
    pub(super) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        let mut at = place(hash, self.0.len());
        loop {
            let item = self.0.get(at)?.as_ref()?;
            if is(item) {
                return Some(item);
            }
            at = place(at as u64 + 1, self.0.len());
        }
    }
}

/// `slots` is a power of two.
fn place(hash: u64, slots: usize) -> usize {
    hash as usize & slots.wrapping_sub(1)
}

/// A hash of two words: multiplied and folded, in the manner of wyhash. The low bits are as good
/// as any.
#[inline]
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9E37_79B9_7F4A_7C15) * u128::from(b ^ 0xD6E8_FEB8_6659_FD93);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_item_is_found_and_no_other_however_they_collide() {
        for count in [0, 1, 2, 3, 100] {
            for hash in [|n: u64| mix(n, 0), |_| 7, |n: u64| n.wrapping_neg()] {
                let table = Table::new((0..count).map(|n| (hash(n), n)).collect());
                assert_eq!(table.is_empty(), count == 0);
                for n in 0..count + 3 {
                    let found = table.find(hash(n), |item| *item == n);
                    assert_eq!(found.copied(), (n < count).then_some(n), "{n} of {count}");
                }
            }
        }
    }

    #[test]
    fn neighbours_spread_over_the_low_bits() {
        let low: HashSet<_> = (0..8192).map(|n| mix(n >> 7 << 32 | n & 127, 0) & 0xFFFF).collect();
        // 8,192 balls into 65,536 bins leave about 7,700 filled.
        assert!(low.len() > 7_400, "{}", low.len());
    }
}
