//! Seqs that may never arrive.

use super::super::MAX_RANGES;
use super::super::field::Range;

/// Seqs that their sender has given up before their answer had a proven head, as ascending ranges
/// with neighbours joined. Each is kept until the receiver is known to have been told.
#[derive(Debug, Default)]
pub(super) struct Void(Vec<Range>);

impl Void {
    pub(super) fn add(&mut self, seq: u64) {
        let at = self.0.partition_point(|(_, last)| *last < seq);
        let joins_left = at > 0 && self.0[at - 1].1 + 1 == seq;
        let joins_right = self.0.get(at).is_some_and(|(first, _)| *first == seq + 1);
        match (joins_left, joins_right) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = seq,
            (false, true) => self.0[at].0 = seq,
            (false, false) => self.0.insert(at, (seq, seq)),
        }
    }

    /// The `low` that a head may tell: all that is void below it fits into that head.
    pub(super) fn low(&self, low: u64) -> u64 {
        self.0.get(MAX_RANGES).map_or(low, |(first, _)| low.min(*first))
    }

    /// What is void below `low`. Nothing is ever void from `low` on and joined to it: the range
    /// that holds `low - 1` ends there.
    pub(super) fn below(&self, low: u64) -> Vec<Range> {
        let ranges = self.0.iter().take_while(|(first, _)| *first < low);
        ranges.map(|(first, last)| (*first, (*last).min(low - 1))).collect()
    }

    pub(super) fn is_any_below(&self, low: u64) -> bool {
        self.0.first().is_some_and(|(first, _)| *first < low)
    }

    /// The receiver has been told of all below `low`.
    pub(super) fn told(&mut self, low: u64) {
        self.0.retain_mut(|(first, last)| {
            *first = (*first).max(low);
            first <= last
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_joined_in_whatever_order_they_come() {
        for seqs in [[1, 2, 3, 7], [3, 1, 2, 7], [7, 2, 1, 3], [2, 3, 7, 1]] {
            let mut void = Void::default();
            seqs.into_iter().for_each(|seq| void.add(seq));
            assert_eq!(void.0, [(1, 3), (7, 7)], "{seqs:?}");
            assert_eq!(void.below(3), [(1, 2)]);
            void.told(3);
            assert_eq!(void.0, [(3, 3), (7, 7)]);
            assert!(void.is_any_below(4) && !void.is_any_below(3));
        }
    }

    #[test]
    fn low_stops_where_a_head_is_full() {
        let mut void = Void::default();
        (0..=MAX_RANGES as u64).for_each(|i| void.add(2 * i + 1));
        let beyond = 2 * MAX_RANGES as u64 + 1;
        assert_eq!(void.low(beyond + 10), beyond);
        assert_eq!(void.below(beyond).len(), MAX_RANGES);
        void.told(beyond);
        assert_eq!(
            (void.low(beyond + 10), void.below(beyond + 10)),
            (beyond + 10, vec![(beyond, beyond)])
        );
    }
}
