//! Short lists on the stack.

/// Indexes of patterns.
pub(in crate::policy) type Numbers = Few<u32>;

/// The patterns that one end of an access matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Ends<'i> {
    pub(in crate::policy) all: &'i [u32],
    /// So many of them, which stand first, do rules name for this end.
    pub(super) named: usize,
}

impl<'i> Ends<'i> {
    pub(super) fn of(all: &'i [u32]) -> Self {
        Self { all, named: all.len() }
    }

    pub(super) fn named(self) -> &'i [u32] {
        self.all.get(..self.named).unwrap_or(self.all)
    }

    /// Whether one of these is in `sorted`.
    pub(in crate::policy) fn meet(self, sorted: &[u32]) -> bool {
        meet(self.all, sorted)
    }
}

/// A short list; on the heap only where it is not short.
#[derive(Clone)]
pub(in crate::policy) struct Few<T> {
    few: [T; FEW],
    count: usize,
    many: Vec<T>,
}

const FEW: usize = 12;

impl<T: Copy + Default> Default for Few<T> {
    fn default() -> Self {
        Self { few: [T::default(); FEW], count: 0, many: Vec::new() }
    }
}

impl<T: Copy + Default> Few<T> {
    pub(in crate::policy) fn push(&mut self, item: T) {
        if self.many.is_empty() && self.count < FEW {
            self.few[self.count] = item;
            self.count += 1;
            return;
        }
        if self.many.is_empty() {
            self.many.extend_from_slice(&self.few);
        }
        self.many.push(item);
    }

    /// Whether it is on the stack.
    pub(super) fn is_short(&self) -> bool {
        self.many.is_empty()
    }

    pub(in crate::policy) fn as_slice(&self) -> &[T] {
        if self.many.is_empty() { &self.few[..self.count] } else { &self.many }
    }
}

impl Numbers {
    /// Whether one of these is in `sorted`.
    pub(in crate::policy) fn meet(&self, sorted: &[u32]) -> bool {
        meet(self.as_slice(), sorted)
    }

    /// With those first that are `named`.
    pub(super) fn ends(&mut self, named: impl Fn(u32) -> bool) -> Ends<'_> {
        let all =
            if self.many.is_empty() { &mut self.few[..self.count] } else { &mut self.many[..] };
        all.sort_unstable_by_key(|number| !named(*number));
        let named = all.partition_point(|number| named(*number));
        Ends { all, named }
    }
}

fn meet(numbers: &[u32], sorted: &[u32]) -> bool {
    numbers.iter().any(|n| sorted.binary_search(n).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_all_of_its_items_however_many() {
        let mut numbers = Numbers::default();
        for n in 0..100 {
            numbers.push(n);
            assert_eq!(numbers.as_slice(), (0..=n).collect::<Vec<_>>());
        }
        assert!(numbers.meet(&[99, 200]) && !numbers.meet(&[100, 200]));
    }

    #[test]
    fn what_rules_name_comes_first() {
        for count in [0, 1, 7, 40] {
            let mut numbers = Numbers::default();
            (0..count).for_each(|n| numbers.push(n));
            let ends = numbers.ends(|n| n % 3 == 1);
            let named = ends.named().iter();
            assert_eq!(named.filter(|n| *n % 3 == 1).count(), ends.named().len());
            assert_eq!(ends.named().len(), (0..count).filter(|n| n % 3 == 1).count());
            let mut all = ends.all.to_vec();
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }
}
