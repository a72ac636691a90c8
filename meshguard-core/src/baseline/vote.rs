//! One edge's vote on what an hour does to edges of its kind, and whether it does as they do.

use super::model::LEVELS;

/// What one window may say, in the logarithm.
const CLAMP: f32 = 2.0;
/// Seconds of an hour that an edge must have been watched for a vote on it.
const WATCHED: f32 = 300.0;
/// Hours that an edge has voted on before it can be seen to follow a season, or to be steady.
const SEEN: u8 = 12;
/// Hours in which that is forgotten: a week.
const REMEMBERED: u8 = 168;
/// The unit in which distances are kept: up to 4 in the logarithm.
const UNIT: f32 = 1.0 / 16_384.0;

/// How far the levels of an edge lay from its week's in the present hour: each second counts the
/// same, whatever the traffic in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    /// Since the epoch.
    hour: u32,
    sums: [f32; LEVELS],
    /// Below 0 where the vote is void.
    seconds: [f32; LEVELS],
}

/// How far an edge's votes were from what came of the voting, and from its own week's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Following {
    from_season: [u16; LEVELS],
    from_week: [u16; LEVELS],
    hours: u8,
}

impl Vote {
    pub(super) const fn new() -> Self {
        Self { hour: 0, sums: [0.0; LEVELS], seconds: [0.0; LEVELS] }
    }

    /// One window's level lay so far from the week's.
    pub(super) fn add(&mut self, hour: u64, level: usize, from_anchor: f32, seconds: f32) {
        self.begin(hour);
        self.sums[level] += seconds * from_anchor.clamp(-CLAMP, CLAMP);
        self.seconds[level] += seconds;
    }

    /// The edge has no vote on this hour.
    pub(super) fn spoil(&mut self, hour: u64) {
        self.begin(hour);
        self.seconds = [f32::NEG_INFINITY; LEVELS];
    }

    fn begin(&mut self, hour: u64) {
        let hour = hour as u32;
        if self.hour != hour {
            *self = Self { hour, ..Self::new() };
        }
    }

    /// Whether the edge was there in that hour, for long enough to vote on it.
    pub(super) fn is_voter(&self, hour: u64) -> bool {
        self.hour == hour as u32 && (self.seconds[0] >= WATCHED || self.seconds[0] < 0.0)
    }

    /// The vote on that hour.
    pub(super) fn of(&self, hour: u64, level: usize) -> Option<f32> {
        let seconds = self.seconds[level];
        let valid = self.hour == hour as u32 && seconds >= WATCHED;
        valid.then(|| self.sums[level] / seconds)
    }
}

impl Following {
    pub(super) const fn new() -> Self {
        Self { from_season: [0; LEVELS], from_week: [0; LEVELS], hours: 0 }
    }

    /// Compares the vote on an hour with what came of the voting.
    pub(super) fn note(&mut self, vote: &Vote, hour: u64, season: &[f32; LEVELS]) {
        if vote.of(hour, 0).is_none() {
            return;
        }
        self.hours = (self.hours + 1).min(REMEMBERED);
        let by = 1.0 / f32::from(self.hours);
        for (k, season) in season.iter().enumerate() {
            let Some(vote) = vote.of(hour, k) else { continue };
            follow(&mut self.from_season[k], (vote - season).abs(), by);
            follow(&mut self.from_week[k], vote.abs(), by);
        }
    }

    /// What is usual of a level, where it lies within `near` of that in the mean.
    pub(super) fn usual(&self, level: usize, season: Option<f32>, near: f32) -> Option<f32> {
        if self.hours < SEEN {
            return None;
        }
        let from = |kept: u16| f32::from(kept) * UNIT;
        let (season_is, week_is) = (from(self.from_season[level]), from(self.from_week[level]));
        let (usual, is) =
            if season_is <= week_is { (season, season_is) } else { (Some(0.0), week_is) };
        usual.filter(|_| is <= near)
    }

    /// Every number of it, for snapshots.
    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut f32)) {
        for kept in self.from_season.iter_mut().chain(&mut self.from_week) {
            let mut x = f32::from(*kept);
            visit(&mut x);
            *kept = x as u16;
        }
        let mut hours = f32::from(self.hours);
        visit(&mut hours);
        self.hours = (hours as u8).min(REMEMBERED);
    }
}

fn follow(kept: &mut u16, distance: f32, by: f32) {
    let x = f32::from(*kept);
    // Rounded by the nearest; what lies beyond its range is as far as can be.
    *kept = (x + by * (distance / UNIT - x)).round() as u16;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An edge that voted so on `hours` hours of which the season is `season`.
    fn followed(hours: u64, season: f32, vote: impl Fn(u64) -> f32) -> Following {
        let mut following = Following::new();
        for hour in 1..=hours {
            let mut cast = Vote::new();
            (0..LEVELS).for_each(|k| cast.add(hour, k, vote(hour), WATCHED));
            following.note(&cast, hour, &[season; LEVELS]);
        }
        following
    }

    #[test]
    fn an_edge_has_a_vote_on_hours_in_which_it_was_watched_and_nothing_was_open() {
        let mut vote = Vote::new();
        vote.add(7, 0, 0.5, WATCHED - 1.0);
        assert_eq!((vote.is_voter(7), vote.of(7, 0)), (false, None));
        vote.add(7, 0, 9.0, 1.0);
        assert!(vote.is_voter(7) && vote.of(7, 0).is_some_and(|v| (v - 0.505).abs() < 1e-3));
        assert_eq!((vote.is_voter(8), vote.of(8, 0), vote.of(7, 1)), (false, None, None));
        vote.spoil(7);
        vote.add(7, 0, 0.5, WATCHED);
        assert_eq!((vote.is_voter(7), vote.of(7, 0)), (true, None));
        vote.add(8, 0, 0.5, WATCHED);
        assert_eq!(vote.of(8, 0), Some(0.5));
    }

    #[test]
    fn a_season_is_for_edges_that_follow_it_and_the_week_for_those_that_are_steady() {
        let usual = |f: &Following, season| f.usual(0, season, 0.35);
        assert_eq!(usual(&followed(11, -0.8, |_| -0.8), Some(-0.8)), None);
        let follows = followed(12, -0.8, |_| -0.8);
        assert_eq!((usual(&follows, Some(-0.8)), usual(&follows, None)), (Some(-0.8), None));
        let steady = followed(12, -0.8, |_| 0.05);
        assert_eq!((usual(&steady, Some(-0.8)), usual(&steady, None)), (Some(0.0), Some(0.0)));
        let neither = followed(200, -0.8, |hour| if hour % 2 == 0 { 1.0 } else { -2.0 });
        assert_eq!((usual(&neither, Some(-0.8)), usual(&neither, None)), (None, None));
    }
}
