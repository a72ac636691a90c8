//! Rules under their keys.

use std::collections::HashMap;
use std::hash::Hasher;
use std::ops::Range;

use super::Unkeyed;

/// Caller, callee, template.
pub(in crate::policy) type Key = [u32; 3];

/// Numbers filed under keys, ascending under each.
#[derive(Debug, Default)]
pub(super) struct Filed {
    places: HashMap<Packed, Range<u32>, Unkeyed>,
    numbers: Box<[u32]>,
}

impl Filed {
    pub(super) fn new(mut entries: Vec<(Key, u32)>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let mut places: HashMap<Packed, Range<u32>, _> = HashMap::default();
        // `MAX_ENTRIES` is far below `u32::MAX`.
        for (i, (key, _)) in (0_u32..).zip(&entries) {
            places.entry(Packed(*key)).or_insert(i..i).end = i + 1;
        }
        Self { places, numbers: entries.into_iter().map(|(_, number)| number).collect() }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.places.keys().map(|packed| packed.0)
    }

    pub(super) fn get(&self, key: Key) -> &[u32] {
        if self.places.is_empty() {
            return &[];
        }
        match self.places.get(&Packed(key)) {
            Some(place) => &self.numbers[place.start as usize..place.end as usize],
            None => &[],
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Packed(Key);

impl std::hash::Hash for Packed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [from, to, template] = self.0;
        state.write_u64(u64::from(from) << 32 | u64::from(to));
        state.write_u64(u64::from(template));
    }
}
