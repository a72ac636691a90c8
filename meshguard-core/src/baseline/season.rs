//! What hour of what sort of day it is, and what that does to the edges of one kind.

use super::baselines::KINDS;
use super::edge::EdgeKey;
use super::model::{Kind, LEVELS};
use super::places::{Place, Places};
use super::settings::Settings;
use super::vote::Following;
use crate::time::Timestamp;

const HOURS: usize = 48;
/// What a later visit of the same hour gives to what is known of it.
const LEARN: f32 = 0.3;
/// Edges of a kind that vote on an hour, at least; where fewer are known for a day, all of them.
pub(super) const ENOUGH: usize = 5;

/// How far, at each hour of a weekday and of a day of the weekend (UTC), the levels of the edges
/// of one kind lie from the week's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Season {
    hours: [[f32; LEVELS]; HOURS],
    known: u64,
}

/// The seasons of all kinds of edges but addresses: those are anybody's.
///
/// An hour counts when it is over: a level that climbs all day does not excuse itself. Each edge
/// then has one vote, however much it called, and the hour takes the median.
#[derive(Clone, Debug)]
pub(super) struct Seasons {
    of: [Season; KINDS],
    /// Hours since the epoch, of the one that is being learnt.
    present: u64,
    /// Room for the votes of all edges.
    votes: Vec<f32>,
}

impl Season {
    pub(super) const fn new() -> Self {
        Self { hours: [[0.0; LEVELS]; HOURS], known: 0 }
    }

    /// What is usual at `now`; `None` where the hour is not known yet.
    fn at(&self, now: Timestamp) -> Option<[f32; LEVELS]> {
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

    /// One level of a bucket, by the median of the votes.
    fn learn(&mut self, at: usize, level: usize, median: f32) {
        let by = if self.known & (1 << at) == 0 { 1.0 } else { LEARN };
        let known = &mut self.hours[at][level];
        *known += by * (median - *known);
    }

    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut f32)) {
        self.hours.iter_mut().flatten().for_each(visit);
    }

    pub(super) const fn known_mut(&mut self) -> &mut u64 {
        &mut self.known
    }
}

impl Seasons {
    /// Nothing known; with room for the votes of this number of edges.
    pub(super) fn new(edges: usize) -> Self {
        Self { of: [Season::new(); KINDS], present: 0, votes: Vec::with_capacity(edges) }
    }

    /// What is usual at `now` on edges of this one's kind; `None` where that is not known, and of
    /// addresses.
    pub(super) fn at(&self, edge: &EdgeKey, now: Timestamp) -> Option<[f32; LEVELS]> {
        self.of[edge.place_of_kind()].at(now)
    }

    /// The hour that is being learnt; `None` of an edge that has no vote.
    pub(super) fn hour_for(&self, edge: &EdgeKey) -> Option<u64> {
        has_vote(edge).then_some(self.present)
    }

    /// Goes over to the hour of `now`, if that is a later one: counts the votes on the one that
    /// is over, and has each edge compare its own with what came of them.
    pub(super) fn turn(
        &mut self,
        now: Timestamp,
        places: &mut Places,
        kinds: &mut [Kind; KINDS],
        settings: &Settings,
    ) {
        let hour = now.as_unix_secs() / 3_600;
        if hour <= self.present {
            return;
        }
        let (over, at) = (self.present, bucket(self.present));
        self.present = hour;
        for (kind, pooled) in kinds.iter_mut().enumerate() {
            self.count_shares(pooled, kind, over, places);
            if !self.count(kind, over, places, settings) {
                continue;
            }
            let usual = self.of[kind].hours[at];
            let voters = places.iter_mut().filter(|p| p.key.place_of_kind() == kind);
            for place in voters.filter(|place| place.before.is_none()) {
                place.model.compare_vote(over, &usual);
            }
        }
    }

    /// Returns to the hour of `now`, if that is an earlier one: the clock was set back. What was voted
    /// on the later hour does not count.
    pub(super) fn go_back(&mut self, now: Timestamp) {
        self.present = self.present.min(now.as_unix_secs() / 3_600);
    }

    /// Takes the medians of one kind; `false` where too few have voted.
    fn count(&mut self, kind: usize, over: u64, places: &Places, settings: &Settings) -> bool {
        let (season, at) = (&mut self.of[kind], bucket(over));
        let voters = of_kind(places, kind).filter(|p| p.model.is_voter(over, settings)).count();
        let mut all = 0;
        for level in 0..LEVELS {
            self.votes.clear();
            let votes = calm(places, kind).filter_map(|p| p.model.vote(over, level, settings));
            self.votes.extend(votes);
            if level == 0 {
                all = self.votes.len();
                if all == 0 || all < voters.min(ENOUGH) {
                    return false;
                }
            }
            if self.votes.len() >= all.min(ENOUGH) {
                season.learn(at, level, median(&mut self.votes));
            }
        }
        season.known |= 1 << at;
        true
    }

    /// Takes the medians of what share is normal on the edges of one kind, where enough have voted.
    fn count_shares(&mut self, pooled: &mut Kind, kind: usize, over: u64, places: &Places) {
        for (share, pooled) in pooled.iter_mut().enumerate() {
            self.votes.clear();
            let votes = calm(places, kind).filter_map(|p| p.model.vote_on_share(over, share));
            self.votes.extend(votes);
            if self.votes.len() >= ENOUGH {
                pooled.set_normal(median(&mut self.votes));
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Season> {
        self.of.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Season> {
        self.of.iter_mut()
    }
}

fn of_kind(places: &Places, kind: usize) -> impl Iterator<Item = &Place> {
    places.iter().filter(move |p| has_vote(&p.key) && p.key.place_of_kind() == kind)
}

/// Those with an open incident may be under attack, or attack.
fn calm(places: &Places, kind: usize) -> impl Iterator<Item = &Place> {
    of_kind(places, kind).filter(|place| place.before.is_none())
}

/// Who has an address can have it do anything: what it does says nothing of anybody.
pub(super) const fn has_vote(edge: &EdgeKey) -> bool {
    !matches!(edge, EdgeKey::Address(_))
}

/// What is usual of each level on one edge at an hour: the season's where the edge has been seen
/// to follow it, the week's where it is steady, and nothing where it does neither.
pub(super) fn usual_of(
    following: &Following,
    season: Option<[f32; LEVELS]>,
    drift: f32,
) -> [Option<f32>; LEVELS] {
    std::array::from_fn(|k| following.usual(k, season.map(|season| season[k]), drift / 2.0))
}

/// Of at least one; of an even number the mean of the two in the middle.
fn median(votes: &mut [f32]) -> f32 {
    votes.sort_unstable_by(f32::total_cmp);
    let n = votes.len();
    0.5 * (votes[(n - 1) / 2] + votes[n / 2])
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
    fn a_median_is_not_moved_by_the_few() {
        assert_eq!(median(&mut [0.2]), 0.2);
        assert_eq!(median(&mut [9.0, 0.1, 0.2, -9.0]), 0.15);
        assert_eq!(median(&mut [0.1, 9.0, 0.2, 9.0, 0.3]), 0.3);
    }
}
