//! A product of sets, one for each axis.

use std::sync::Arc;

use super::bits::Bits;

/// Number of an axis in its [`Space`](super::space::Space).
pub(super) type Axis = u16;

/// All accesses that lie, on each axis, in the block's set. What has an empty set on some axis
/// is no block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::policy) struct Block {
    /// By axis. One that is not here is whole.
    sets: Vec<(Axis, Arc<Bits>)>,
}

impl Block {
    /// Of sets that are sorted by axis, none of which is its whole axis. `None`: one is empty.
    pub(super) fn new(sets: Vec<(Axis, Arc<Bits>)>) -> Option<Self> {
        (!sets.iter().any(|(_, set)| set.is_empty())).then_some(Self { sets })
    }

    pub(super) fn set(&self, axis: Axis) -> Option<&Arc<Bits>> {
        let at = self.sets.binary_search_by_key(&axis, |(axis, _)| *axis).ok()?;
        Some(&self.sets[at].1)
    }

    /// Whether the access with these classes, one for each axis, is in it.
    pub(in crate::policy) fn has(&self, cell: &[u32]) -> bool {
        self.sets.iter().all(|(axis, set)| set.has(cell[usize::from(*axis)] as usize))
    }

    pub(in crate::policy) fn meets(&self, other: &Self) -> bool {
        shared(&self.sets, &other.sets).all(|(a, b)| a.meets(b))
    }

    pub(in crate::policy) fn within(&self, other: &Self) -> bool {
        other.sets.iter().all(|(axis, b)| self.set(*axis).is_some_and(|a| a.within(b)))
    }

    pub(in crate::policy) fn meet(&self, other: &Self) -> Option<Self> {
        let mut meet = self.clone();
        for (axis, b) in &other.sets {
            match meet.sets.binary_search_by_key(axis, |(axis, _)| *axis) {
                Ok(at) if meet.sets[at].1.within(b) => {}
                Ok(at) => {
                    let both = meet.sets[at].1.and(b);
                    if both.is_empty() {
                        return None;
                    }
                    meet.sets[at].1 = Arc::new(both);
                }
                Err(at) => meet.sets.insert(at, (*axis, b.clone())),
            }
        }
        Some(meet)
    }

    /// The axes on which it goes beyond `other`: by so many it is not within it.
    pub(super) fn beyond<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Axis> + 'a {
        let goes = |(axis, b): &(Axis, Arc<Bits>)| {
            let inside = self.set(*axis).is_some_and(|a| a.within(b));
            (!inside).then_some(*axis)
        };
        other.sets.iter().filter_map(goes)
    }

    /// The same with another set on one axis, which is not empty.
    pub(super) fn with(&self, axis: Axis, set: Bits) -> Self {
        let mut block = self.clone();
        let set = Arc::new(set);
        match block.sets.binary_search_by_key(&axis, |(axis, _)| *axis) {
            Ok(at) => block.sets[at].1 = set,
            Err(at) => block.sets.insert(at, (axis, set)),
        }
        block
    }
}

/// The sets of the axes that both limit.
fn shared<'a>(
    mut a: &'a [(Axis, Arc<Bits>)],
    mut b: &'a [(Axis, Arc<Bits>)],
) -> impl Iterator<Item = (&'a Bits, &'a Bits)> {
    std::iter::from_fn(move || {
        loop {
            let ([(x, left), a_rest @ ..], [(y, right), b_rest @ ..]) = (a, b) else { return None };
            if x <= y {
                a = a_rest;
            }
            if y <= x {
                b = b_rest;
            }
            if x == y {
                return Some((&**left, &**right));
            }
        }
    })
}
