//! What hour of what sort of day it is, and what that does to a service.

use super::model::LEVELS;
use crate::time::Timestamp;

const HOURS: usize = 48;
/// What a later visit of the same hour gives to what is known of it.
const LEARN: f32 = 0.3;
/// What one window may say, in the logarithm.
const CLAMP: f32 = 2.0;

/// How far, at each hour of a weekday and of a day of the weekend (UTC), the levels of a
/// service's edges lie from the week's; shared by its edges, addresses aside: those are anybody's.
///
/// An hour counts when it is over: a level that climbs all day does not excuse itself.
#[derive(Clone, Debug)]
pub(super) struct Season {
    hours: [[f32; LEVELS]; HOURS],
    known: u64,
    /// Hours since the epoch, of the one that is being learnt.
    present: u64,
    sums: [(f32, f32); LEVELS],
}

impl Season {
    pub(super) const fn new() -> Self {
        Self { hours: [[0.0; LEVELS]; HOURS], known: 0, present: 0, sums: [(0.0, 0.0); LEVELS] }
    }

    /// What is usual at `now`; `None` where the hour is not known yet.
    pub(super) fn at(&self, now: Timestamp) -> Option<[f32; LEVELS]> {
        // Between the middles of two hours, so that there is no step at the full one.
        let half = now.as_unix_secs().saturating_sub(1_800);
        let (before, after) = (bucket(half / 3_600), bucket(half / 3_600 + 1));
        let both = (1 << before) | (1 << after);
        if self.known & both != both {
            return None;
        }
        let part = (half % 3_600) as f32 / 3_600.0;
        let (from, to) = (&self.hours[before], &self.hours[after]);
        Some(std::array::from_fn(|k| from[k] + part * (to[k] - from[k])))
    }

    /// Goes over to the hour of `now`, if that is a later one.
    pub(super) fn turn(&mut self, now: Timestamp) {
        let hour = now.as_unix_secs() / 3_600;
        if hour <= self.present {
            return;
        }
        let at = bucket(self.present);
        if self.sums.iter().any(|sum| sum.1 > 0.0) {
            let by = if self.known & (1 << at) == 0 { 1.0 } else { LEARN };
            for (level, (sum, n)) in self.hours[at].iter_mut().zip(self.sums) {
                *level += by * (sum / n.max(1.0) - *level);
            }
            self.known |= 1 << at;
        }
        self.sums = [(0.0, 0.0); LEVELS];
        self.present = hour;
    }

    /// One window's level lay so far from the week's.
    pub(super) fn learn(&mut self, level: usize, from_anchor: f32) {
        self.sums[level].0 += from_anchor.clamp(-CLAMP, CLAMP);
        self.sums[level].1 += 1.0;
    }

    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut f32)) {
        self.hours.iter_mut().flatten().for_each(visit);
    }

    pub(super) const fn known_mut(&mut self) -> &mut u64 {
        &mut self.known
    }
}

/// Of an hour since the epoch, which was a Thursday.
fn bucket(hour: u64) -> usize {
    let weekend = (hour / 24 + 3) % 7 >= 5;
    (hour % 24) as usize + if weekend { 24 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekends_are_told_from_weekdays() {
        // 2024-03-01 was a Friday.
        let friday = 1_709_251_200 / 3_600;
        assert_eq!(bucket(friday + 23), 23);
        assert_eq!(bucket(friday + 24), 24);
        assert_eq!(bucket(friday + 71), 47);
        assert_eq!(bucket(friday + 72), 0);
    }

    #[test]
    fn an_hour_counts_only_when_it_is_over() {
        let (mut season, start) = (Season::new(), Timestamp::from_unix_secs(1_709_251_200));
        let at = |hours: u64| start + std::time::Duration::from_secs(3_600 * hours);
        for hour in 0..49 {
            season.turn(at(hour));
            assert_eq!(season.at(at(hour)).is_some(), hour == 48 || hour == 25 + 24, "{hour}");
            season.learn(0, if hour % 24 < 12 { 0.5 } else { -0.5 });
        }
    }
}
