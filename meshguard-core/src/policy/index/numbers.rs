//! Short lists on the stack.

/// Indexes of patterns.
pub(in crate::policy) type Numbers = Few<u32>;

/// A short list; on the heap only where it is not short.
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

impl<T: Copy + Default> From<&[T]> for Few<T> {
    fn from(items: &[T]) -> Self {
        let mut list = Self::default();
        match list.few.get_mut(..items.len()) {
            Some(few) => {
                few.copy_from_slice(items);
                list.count = items.len();
            }
            None => list.many = items.to_vec(),
        }
        list
    }
}

impl<T: Copy + Default> Few<T> {
    pub(super) fn one(item: T) -> Self {
        let mut list = Self::default();
        list.push(item);
        list
    }

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
        self.as_slice().iter().any(|n| sorted.binary_search(n).is_ok())
    }
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
            assert_eq!(Few::from(numbers.as_slice()).as_slice(), numbers.as_slice());
        }
        assert!(numbers.meet(&[99, 200]) && !numbers.meet(&[100, 200]));
    }
}
