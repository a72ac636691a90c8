//! Whether a departure is one edge's own, or what it shares with its siblings.
//!
//! Siblings are the callers of this service, or the instances of one callee. Where most of them
//! depart alike in the same windows, the cause is what they share: this process and its host, or the
//! callee as a whole. That is one incident, and none of them is restricted for it.

use std::time::Duration;

use super::Control;
use super::edges::Edge;
use super::measure::{about, is_share, is_still, threshold};
use crate::baseline::{EdgeKey, FEATURES, Feature, Measure, Score, Statistic};
use crate::reflex::Trigger;
use crate::time::Timestamp;

/// An edge is a sibling while its last window with traffic is no older, or than three of them.
const ALIVE: Duration = Duration::from_secs(15);
/// A window waits for its siblings' for two of its own lengths, between these.
const WAITS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// An edge that has departed with its siblings may come back so much later than they do.
pub(super) const COMES_BACK: Duration = Duration::from_secs(30);
/// In spreads: an edge that departs so much further than its siblings do, or than it did with them,
/// stands out all the same.
const STANDS_OUT: f32 = 6.0;
/// Siblings that depart so much of an edge's way in the mean depart with it, if it does not stand out
/// among them...
const WEAKER: f32 = 0.25;
/// ...and so do they if most of them depart by so many spreads.
const DEPARTS: f32 = 2.0;

/// Whose departure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The edge's own.
    Alone,
    /// Most of its siblings depart alike.
    Shared,
    /// The windows of too many siblings are not closed yet.
    Unknown,
}

/// The last window of an edge, as its siblings are compared with it.
#[derive(Clone, Debug)]
pub(super) struct Move {
    start: Timestamp,
    end: Timestamp,
    still: bool,
    measures: [Seen; FEATURES],
    /// Of which features the last windows together were judged, and not this one.
    shifted: [bool; FEATURES],
}

/// One feature in a window; NaN where it was not observed.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// In this window, and in the last ones together.
    values: [f32; 2],
    normal: f32,
    /// How far each is from normal, in spreads.
    spreads: [f32; 2],
}

impl Seen {
    fn of(m: &Measure) -> Self {
        let [spike, shift] = if m.observed { [m.value, m.followed] } else { [f32::NAN; 2] };
        Self { values: [spike, shift], normal: m.normal, spreads: [m.spreads, m.distances[1]] }
    }
}

impl Move {
    /// How far a feature is from normal: in this window, or in the last ones together.
    fn effect(&self, feature: Feature, shifted: bool) -> Option<f32> {
        let Seen { values, normal, .. } = self.measures[feature.index()];
        let value = values[usize::from(shifted)];
        value.is_finite().then(|| effect(feature, value, normal))
    }

    /// Whether a feature departs to that side by itself: in this window, or in the last ones together.
    fn departs(&self, feature: Feature, shifted: bool, side: f32) -> bool {
        let Seen { values, normal, spreads } = self.measures[feature.index()];
        let at = usize::from(shifted);
        (values[at] - normal) * side > 0.0 && spreads[at].abs() >= DEPARTS
    }

    fn is_shifted(&self, feature: Feature) -> bool {
        self.shifted[feature.index()]
    }

    /// How many spreads it departs further than `usual` does.
    fn beyond(&self, feature: Feature, usual: f32) -> f32 {
        let Seen { values, normal, spreads } = self.measures[feature.index()];
        let at = usize::from(self.is_shifted(feature));
        let (value, spreads) = (values[at], spreads[at]);
        let own = effect(feature, value, normal);
        if own.abs() <= usual.abs() || usual.signum() != own.signum() {
            return if own.signum() == usual.signum() { 0.0 } else { f32::INFINITY };
        }
        if is_share(feature) {
            // By as many calls as give these standard errors.
            let calls = spreads.powi(2) / (2.0 * deviance(value, normal));
            return (2.0 * calls * deviance(value, normal + usual)).sqrt();
        }
        (own - usual).abs() / (own / spreads).abs().max(1e-3)
    }

    fn length(&self) -> Duration {
        self.end.since(self.start)
    }

    /// Whether it shows what happened in `other`: it ends no earlier, for what happened may have begun
    /// shortly before that end; and at least half of it came after that began.
    fn shows(&self, other: &Self) -> bool {
        let after = self.end.since(self.start.max(other.start));
        self.end >= other.end && after >= self.length() / 2
    }

    pub(super) fn is_alive(&self, now: Timestamp) -> bool {
        !self.still && now < self.alive_until()
    }

    pub(super) fn alive_until(&self) -> Timestamp {
        self.end + ALIVE.max(self.length() * 3)
    }
}

/// Of one call, how much less likely a share is where another one is usual (the Kullback-Leibler
/// divergence).
fn deviance(share: f32, usual: f32) -> f32 {
    let (share, usual) = (share.clamp(1e-6, 1.0 - 1e-6), usual.clamp(1e-6, 1.0 - 1e-6));
    share * (share / usual).ln() + (1.0 - share) * ((1.0 - share) / (1.0 - usual)).ln()
}

/// How far a feature is from normal, in its own scale: logarithms, but for shares.
pub(super) fn effect(feature: Feature, value: f32, normal: f32) -> f32 {
    let more = match feature {
        Feature::Rate => 0.1,
        Feature::P50 | Feature::P99 => 1e-6,
        Feature::RequestBytes | Feature::ResponseBytes => 16.0,
        _ => return value - normal,
    };
    ((value + more) / (normal + more)).ln()
}

/// A departure that an edge shares with its siblings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub(super) feature: Feature,
    pub(super) effect: f32,
    pub(super) until: Timestamp,
}

/// A window whose judgement waits for its siblings'.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) score: Box<Score>,
    moved: Move,
    /// The reflexes that it sets off.
    pub(super) reflexes: Vec<usize>,
    pub(super) until: Timestamp,
}

impl Edge {
    /// Notes the last window.
    pub(super) fn moves(&mut self, score: &Score, now: Timestamp) {
        let start = self.moved.as_ref().map_or(now, |before| before.end);
        let length = super::measure::window(score.windows_per_day);
        let start = start.max(now - length * 2).min(now);
        let still = is_still(score);
        // A silence that is measured is no window.
        if still && score.measures.iter().all(|m| !m.observed || m.bits == 0.0) {
            return;
        }
        let measures = std::array::from_fn(|i| Seen::of(&score.measures[i]));
        let shifted = score.measures.map(|m| m.statistic == Statistic::Shift);
        self.moved = Some(Move { start, end: now, still, measures, shifted });
    }

    /// Has it wait for its siblings' windows; an earlier window that waits goes first.
    pub(super) fn wait(&mut self, score: &Score, at: usize, now: Timestamp) {
        let Some(moved) = &self.moved else { return };
        match &mut self.waiting {
            Some(waiting) if waiting.moved.end < moved.end => {}
            Some(waiting) => waiting.reflexes.push(at),
            waiting => {
                let length = moved.length() * 2;
                *waiting = Some(Waiting {
                    score: Box::new(score.clone()),
                    moved: moved.clone(),
                    reflexes: vec![at],
                    until: now + length.clamp(WAITS[0], WAITS[1]),
                });
            }
        }
    }

    /// Whether it departs no further than it did with its siblings, who may be back by now.
    fn still_shares(&self, feature: Feature, moved: &Move, now: Timestamp) -> bool {
        let shares = |s: &Shares| {
            let same = s.feature == feature && now <= s.until;
            same && moved.beyond(feature, s.effect) < STANDS_OUT
        };
        self.shares.as_ref().is_some_and(shares)
    }
}

impl Control {
    /// Whose departure a window is. `last`: what is not known now counts for nothing.
    pub(super) fn standing(
        &self,
        edge: &EdgeKey,
        feature: Option<Feature>,
        moved: &Move,
        last: bool,
        now: Timestamp,
    ) -> Standing {
        #[cfg(test)]
        if self.without_siblings {
            return Standing::Alone;
        }
        let own = |f: Feature| Some((f, moved.effect(f, moved.is_shifted(f))?));
        let Some((feature, own)) = feature.and_then(own) else { return Standing::Alone };
        let shifted = moved.is_shifted(feature);
        if self.edges.get(edge).is_some_and(|known| known.still_shares(feature, moved, now)) {
            return Standing::Shared;
        }
        let (mut effects, mut departing, mut pending) = (Vec::new(), 0, 0);
        for theirs in self.live_siblings(edge, now) {
            match theirs.effect(feature, shifted).filter(|_| theirs.shows(moved)) {
                Some(effect) => {
                    effects.push(effect * own.signum());
                    departing += usize::from(theirs.departs(feature, shifted, own.signum()));
                }
                None => pending += 1,
            }
        }
        let (known, all) = (effects.len(), effects.len() + pending);
        let half = effects.iter().filter(|e| **e >= own.abs() / 2.0).count();
        if 2 * half > all {
            return Standing::Shared;
        }
        // Even if those that are not known yet depart as far.
        let sum = effects.iter().sum::<f32>();
        let most = 2 * (departing + pending) > all;
        if !most && sum + pending as f32 * own.abs() <= WEAKER * own.abs() * all as f32 {
            return Standing::Alone;
        }
        if pending > 0 && !last {
            return Standing::Unknown;
        }
        effects.sort_unstable_by(f32::total_cmp);
        let usual = effects.get(known / 2).copied().unwrap_or_default() * own.signum();
        let weaker = sum >= WEAKER * own.abs() * known as f32 || 2 * departing > known;
        let departs = 2 * half > known || (weaker && moved.beyond(feature, usual) < STANDS_OUT);
        if departs && known > 0 { Standing::Shared } else { Standing::Alone }
    }

    /// Returns the last windows of the siblings that are alive and not restricted.
    fn live_siblings<'a>(
        &'a self,
        edge: &'a EdgeKey,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Move> {
        self.edges.siblings(edge).filter_map(move |(key, sibling)| {
            let free = !self.restrictions.contains_key(key);
            sibling.moved.as_ref().filter(|moved| free && moved.is_alive(now))
        })
    }

    /// Whether most siblings depart by at least half as far as the edge does, each in its last window,
    /// whenever that was closed.
    pub(super) fn most_depart(&self, edge: &EdgeKey, feature: Feature, now: Timestamp) -> bool {
        #[cfg(test)]
        if self.without_siblings {
            return false;
        }
        let moved = self.edges.get(edge).and_then(|known| known.moved.as_ref());
        let Some(moved) = moved else { return false };
        let shifted = moved.is_shifted(feature);
        let Some(own) = moved.effect(feature, shifted) else { return false };
        let (mut all, mut half) = (0, 0);
        let theirs = self.live_siblings(edge, now);
        for effect in theirs.filter_map(|moved| moved.effect(feature, shifted)) {
            all += 1;
            half += usize::from(effect * own.signum() >= own.abs() / 2.0);
        }
        2 * half > all
    }

    /// Judges the windows that wait and can be judged now.
    pub(super) fn settle(&mut self, now: Timestamp) {
        for edge in std::mem::take(&mut self.waiting) {
            let Some(known) = self.edges.get_mut(&edge) else { continue };
            let Some(waiting) = known.waiting.take() else { continue };
            let last = now >= waiting.until;
            let mut left = Vec::new();
            for &at in &waiting.reflexes {
                let Some(on) = self.reflexes.get(at).map(|reflex| reflex.on.clone()) else {
                    continue;
                };
                let standing = self.standing_of(&edge, &on, &waiting, last, now);
                match standing {
                    Standing::Unknown => left.push(at),
                    standing => self.set_off(&edge, at, &waiting.score, standing, now),
                }
            }
            if left.is_empty() {
                continue;
            }
            if let Some(known) = self.edges.get_mut(&edge) {
                known.waiting = Some(Waiting { reflexes: left, ..waiting });
                self.waiting.insert(edge);
            }
        }
    }

    fn standing_of(
        &self,
        edge: &EdgeKey,
        on: &Trigger,
        waiting: &Waiting,
        last: bool,
        now: Timestamp,
    ) -> Standing {
        let threshold = threshold(on, &waiting.score);
        let feature = about(on, &waiting.score, threshold);
        self.standing(edge, feature, &waiting.moved, last, now)
    }

    /// The edge departs with its siblings: for a while it may do so longer than they do, and no further.
    pub(super) fn shares(&mut self, edge: &EdgeKey, feature: Option<Feature>, until: Timestamp) {
        let moved = self.edges.get(edge).and_then(|known| known.moved.as_ref());
        let Some((moved, feature)) = moved.zip(feature) else { return };
        let shifted = moved.is_shifted(feature);
        let theirs = |(_, sibling): (_, &Edge)| sibling.moved.as_ref()?.effect(feature, shifted);
        let mut effects: Vec<_> = self.edges.siblings(edge).filter_map(theirs).collect();
        effects.sort_unstable_by(f32::total_cmp);
        let usual = effects.get(effects.len() / 2).copied();
        let Some(effect) = usual.or_else(|| moved.effect(feature, shifted)) else { return };
        let Some(known) = self.edges.get_mut(edge) else { return };
        match &mut known.shares {
            Some(before) if before.feature == feature => before.until = until,
            before => *before = Some(Shares { feature, effect, until }),
        }
    }
}
