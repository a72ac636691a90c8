//! What one edge has shown, and one window against it.

mod excuse;

use super::calibrator::{Belief, Calibrator, Scale, Spot, Tail};
use super::feature::{FEATURES, Feature};
use super::gap::Gap;
use super::level::{Circumstances, Level, spots};
use super::reading::{Marks, NOWHERE, Reading, bins};
use super::sample;
use super::score::{Departure, Score, Statistic};
use super::season::usual_of;
use super::settings::{Settings, growth};
use super::share::{Pooled, Share};
use super::vote::{Following, Vote};
use super::window::Window;

/// How many features have a level of their own.
pub(super) const LEVELS: usize = LEVELLED.len();
/// How many features are shares.
pub(super) const SHARES: usize = SHARED.len();

pub(super) const LEVELLED: [Feature; 5] =
    [Feature::Rate, Feature::P50, Feature::P99, Feature::RequestBytes, Feature::ResponseBytes];
const SHARED: [Feature; 4] =
    [Feature::Errors, Feature::HandshakeFailures, Feature::MissingReceipts, Feature::Refusals];

/// Of all features together, in bits: its tail falls by 1.2 bits over each, or by half a bit, or by two.
/// By one bit over each, alarms at 18 to 20 bits came half as often as the bits say.
const BITS: Scale = Scale {
    knee: 30.0,
    per_neper: 15.0,
    tail: Tail::Exponential([0.85, 1.4, 0.35]),
    drawn: 32.0,
    caution: 0.0,
};
/// What other features than the first count for.
const OTHERS: f32 = 0.1;
/// Below this a feature does not stand out.
const STANDS_OUT: f32 = 4.0;
/// Seconds of a window that counts as one to its kind.
const LONGEST: f32 = 10.0;
const WEEK: f32 = 604_800.0;
/// What the edges of one kind have shown in each share.
pub(super) type Kind = [Pooled; SHARES];

/// What one edge has shown. Its size is what an edge costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    levels: [Level; LEVELS],
    shares: [Share; SHARES],
    total: Calibrator,
    gap: Gap,
    /// What one window weighs in the calibrators now.
    unit: f32,
    windows: u32,
    /// The mean length of a window, in seconds.
    length: f32,
    /// Seconds watched, up to `Settings::drift_after`.
    watched: f32,
    vote: Vote,
    following: Following,
    seen: u64,
}

impl Model {
    pub(super) const fn new() -> Self {
        Self {
            levels: [Level::new(); LEVELS],
            shares: [Share::new(); SHARES],
            total: Calibrator::new(),
            gap: Gap::new(),
            unit: 1.0,
            windows: 0,
            length: 0.0,
            watched: 0.0,
            vote: Vote::new(),
            following: Following::new(),
            seen: 0,
        }
    }

    /// What was followed of late is forgotten, and what was learnt is not.
    pub(super) fn resume(&mut self) {
        self.levels.iter_mut().for_each(Level::resume);
        self.shares.iter_mut().for_each(Share::resume);
    }

    pub(super) const fn windows(&self) -> u32 {
        self.windows
    }

    /// Compares a window with what it has shown, and with what is usual for its kind at this hour.
    /// Follows, but learns nothing.
    pub(super) fn read(
        &mut self,
        window: &Window,
        season: Option<[f32; LEVELS]>,
        kind: &Kind,
        edges: u32,
        settings: &Settings,
    ) -> Reading {
        self.seen = self.seen.saturating_add(window.events());
        let mut reading = Reading::blank();
        reading.score.edges = edges;
        reading.score.seen = self.seen;
        reading.score.peers = window.peers;
        self.read_levels(window, season, settings, &mut reading);
        self.read_shares(window, kind, settings, &mut reading);
        let seconds = sample::seconds(window);
        let length = if self.windows == 0 { seconds } else { self.length };
        reading.score.windows_per_day = 86_400.0 / length;
        self.sum_up(kind, settings, &mut reading);
        reading
    }

    fn read_levels(
        &mut self,
        window: &Window,
        season: Option<[f32; LEVELS]>,
        settings: &Settings,
        reading: &mut Reading,
    ) {
        let usual = self.usual(season, settings);
        for (k, feature) in LEVELLED.into_iter().enumerate() {
            let Some(x) = sample::level(window, feature) else { continue };
            let level = &mut self.levels[k];
            let normal = sample::unscaled(feature, level.normal(x));
            let (seconds, floor) = (sample::seconds(window), settings.floors[feature.index()]);
            let counted = feature == Feature::Rate;
            let count = if counted { normal * seconds } else { window.calls as f32 };
            let sight = level.sight(x, &Circumstances { count, counted, seconds, floor });
            let spots = spots(&sight.distances);
            if level.windows() >= settings.warm_up / 4 {
                reading.marks.bins[feature.index()] = bins(&spots);
            }
            let mut bits = [0.0; 3];
            if level.windows() >= settings.warm_up {
                bits = level.bits(&spots, self.unit);
            }
            let cap = level.cap(self.unit) + shared(reading.score.edges);
            let (most, measure) = reading.note(feature, &bits, |k| sight.is_above(k), 3, cap);
            measure.value = sample::unscaled(feature, x);
            measure.normal = normal;
            measure.followed = sample::unscaled(feature, sight.compared[1].0);
            measure.spreads = sight.spreads;
            measure.distances = sight.distances.map(|d| if d.is_finite() { d } else { 0.0 });
            let drifted = usual[k].and_then(|usual| level.drifted(usual, settings.drift));
            (measure.statistic, measure.departure) = match drifted {
                Some((found, normal)) => {
                    measure.bits = cap;
                    measure.harm = if found > normal { cap } else { measure.harm };
                    let [value, normal] = [found, normal].map(|x| sample::unscaled(feature, x));
                    (Statistic::Drift, Departure { value, normal, spreads: 0.0 })
                }
                None => sight.told(most, feature),
            };
            reading.drifted |= drifted.is_some();
            reading.levels[k] = Some(sight);
        }
    }

    fn read_shares(
        &mut self,
        window: &Window,
        kind: &Kind,
        settings: &Settings,
        reading: &mut Reading,
    ) {
        for (k, feature) in SHARED.into_iter().enumerate() {
            let Some((failed, all)) = sample::share(window, feature) else { continue };
            let (share, kind) = (&mut self.shares[k], &kind[k]);
            let sight = share.sight(failed, all, settings.floors[feature.index()], kind);
            let distances = [sight.distances[0], sight.distances[1], f32::NAN];
            let spots = spots(&distances);
            reading.marks.bins[feature.index()] = bins(&spots);
            let bits = share.bits(&spots, self.unit, kind);
            let cap = share.cap(self.unit, kind) + shared(reading.score.edges);
            let above = |k| k == 0 || sight.spreads > 0.0;
            let (most, measure) = reading.note(feature, &bits, above, 2, cap);
            measure.value = failed / all;
            measure.followed = share.followed();
            measure.normal = sight.normal;
            measure.spreads = sight.spreads;
            measure.distances = [distances[0], distances[1], 0.0];
            let (value, spreads) = match most {
                0 => (measure.value, sight.spreads),
                _ => (measure.followed, distances[1]),
            };
            measure.statistic = [Statistic::Spike, Statistic::Shift][most];
            measure.departure = Departure { value, normal: sight.normal, spreads };
            reading.shares[k] = Some(sight);
        }
    }

    /// All features together: the rarest, a little of the others, calibrated once more.
    fn sum_up(&self, kind: &Kind, settings: &Settings, reading: &mut Reading) {
        let observed = reading.score.measures.iter().filter(|m| m.observed).count() as f32;
        let edges = reading.score.edges;
        let together = |raw| self.together(raw, observed, kind, edges);
        let (spot, top, bits) = together(&reading.raw);
        reading.harm[Feature::Refusals.index()] = 0.0;
        let (_, worst, harm) = match reading.harm == reading.raw {
            true => (spot, top, bits),
            false => together(&reading.harm),
        };
        let stands_out = |of: &[f32], top: usize| (of[top] > STANDS_OUT).then(|| Feature::ALL[top]);
        (reading.score.bits, reading.score.harm) = (bits, harm.min(bits));
        reading.score.top = stands_out(&reading.raw, top);
        reading.score.worst = stands_out(&reading.harm, worst);
        if reading.drifted {
            reading.mark_drift();
        }
        if self.windows >= settings.warm_up {
            reading.marks.total = spot.bin();
        }
    }

    /// Where the bits of all features together lie, which feature has most, and how rare they are.
    fn together(
        &self,
        raw: &[f32; FEATURES],
        observed: f32,
        kind: &Kind,
        edges: u32,
    ) -> (Spot, usize, f32) {
        let others = |bits: f32| (bits - STANDS_OUT).max(0.0);
        let (mut top, mut sum) = (0, 0.0);
        for (i, &bits) in raw.iter().enumerate() {
            sum += others(bits);
            if bits > raw[top] {
                top = i;
            }
        }
        let most = raw[top];
        let all = most + OTHERS * (sum - others(most));
        let spot = BITS.spot(all);
        let belief = Belief { windows: 64.0, p: || (observed * (-all).exp2()).min(1.0) };
        let bits = self.total.bits(spot, self.unit, BITS, belief);
        (spot, top, bits.min(self.cap_of(top, kind) + shared(edges)))
    }

    fn cap_of(&self, feature: usize, kind: &Kind) -> f32 {
        let is = |f: &Feature| f.index() == feature;
        match (LEVELLED.iter().position(is), SHARED.iter().position(is)) {
            (Some(k), _) => self.levels[k].cap(self.unit),
            (_, Some(k)) => self.shares[k].cap(self.unit, &kind[k]),
            _ => 0.0,
        }
    }

    /// What is usual of each level at this hour; `None`: it is not known whether it has drifted.
    pub(super) fn usual(
        &self,
        season: Option<[f32; LEVELS]>,
        settings: &Settings,
    ) -> [Option<f32>; LEVELS] {
        if !self.is_known(settings) {
            return [None; LEVELS];
        }
        usual_of(&self.following, season, settings.drift)
    }

    /// Learns the levels of a window that was read, but not how rare it is: see
    /// [`learn_marks`](Self::learn_marks). It votes on `hour`, if that is given.
    pub(super) fn learn(
        &mut self,
        window: &Window,
        reading: &Reading,
        hour: Option<u64>,
        settings: &Settings,
    ) {
        let seconds = sample::seconds(window);
        let day = settings.drift_after.as_secs_f32();
        let alpha = if self.is_known(settings) {
            seconds / WEEK
        } else {
            seconds / (self.watched + seconds)
        };
        for (k, sight) in reading.levels.iter().enumerate() {
            let Some(sight) = sight else { continue };
            if let Some(hour) = hour {
                self.vote.add(hour, k, self.levels[k].off_anchor(sight), seconds);
            }
            self.levels[k].learn(sight, alpha.min(1.0));
        }
        for (k, sight) in reading.shares.iter().enumerate() {
            let Some(sight) = sight else { continue };
            self.shares[k].learn(sight);
        }
        if window.events() > 0 {
            self.gap.learn(window.longest_gap.as_secs_f32(), self.unit);
        }
        let new = 1.0 / (self.windows as f32 + 1.0);
        self.length += new.max(0.004) * (seconds - self.length);
        self.watched = (self.watched + seconds).min(day);
        self.windows = self.windows.saturating_add(1);
    }

    /// Learns how rare a window was. To the kind an edge of short windows says no more in an hour
    /// than one of long ones.
    pub(super) fn learn_marks(&mut self, marks: &Marks, kind: &mut Kind, settings: &Settings) {
        let (growth, part) = (growth(settings), (self.length / LONGEST).min(1.0));
        for (k, feature) in LEVELLED.into_iter().enumerate() {
            teach(self.levels[k].calibrators(), marks.bins[feature.index()], self.unit);
        }
        for (k, feature) in SHARED.into_iter().enumerate() {
            let bins = marks.bins[feature.index()];
            teach(self.shares[k].calibrators(), bins, self.unit);
            for (statistic, bin) in bins.into_iter().enumerate().filter(|(_, b)| *b != NOWHERE) {
                kind[k].learn(statistic, bin, growth, part);
            }
        }
        if marks.total != NOWHERE {
            self.total.learn(marks.total, self.unit);
        }
        self.unit *= growth;
        if self.unit > 1e6 {
            let by = 1.0 / self.unit;
            self.each_calibrator(&mut |c| c.each(&mut |x| *x *= by));
            self.unit = 1.0;
        }
    }

    /// Whether the edge was there in that hour, and has or would have a vote on it.
    pub(super) fn is_voter(&self, hour: u64, settings: &Settings) -> bool {
        self.is_known(settings) && self.vote.is_voter(hour)
    }

    /// Its vote on an hour that is over: how far a level lay from the week's.
    pub(super) fn vote(&self, hour: u64, level: usize, settings: &Settings) -> Option<f32> {
        self.vote.of(hour, level).filter(|_| self.is_known(settings))
    }

    /// Its vote on what share is normal, if it was there in that hour.
    pub(super) fn vote_on_share(&self, hour: u64, share: usize) -> Option<f32> {
        self.vote.of(hour, 0).and_then(|_| self.shares[share].vote())
    }

    /// Whether the week's levels are known.
    fn is_known(&self, settings: &Settings) -> bool {
        self.watched >= settings.drift_after.as_secs_f32()
    }

    /// It has no vote on this hour.
    pub(super) fn spoil_vote(&mut self, hour: u64) {
        self.vote.spoil(hour);
    }

    /// Compares its vote with what came of the voting.
    pub(super) fn compare_vote(&mut self, hour: u64, season: &[f32; LEVELS]) {
        self.following.note(&self.vote, hour, season);
    }

    /// The silence of an edge that has been still for `secs`: its distance and its bits.
    pub(super) fn silence(&self, secs: f32, edges: u32, settings: &Settings) -> Option<Score> {
        if self.gap.windows() < settings.warm_up {
            return None;
        }
        let distance = self.gap.distance(secs);
        let mut score = Score::blank();
        score.silence = self.gap.bits(distance, self.unit, shared(edges));
        score.edges = edges;
        score.windows_per_day = 86_400.0 / self.length.max(1e-3);
        score.seen = self.seen;
        let rate = &mut score.measures[Feature::Rate.index()];
        rate.observed = true;
        rate.normal = sample::unscaled(Feature::Rate, self.levels[0].mean());
        rate.distances[0] = distance;
        Some(score)
    }

    fn each_calibrator(&mut self, visit: &mut dyn FnMut(&mut Calibrator)) {
        self.levels.iter_mut().flat_map(Level::calibrators).for_each(&mut *visit);
        self.shares.iter_mut().flat_map(Share::calibrators).for_each(&mut *visit);
        visit(&mut self.total);
        visit(self.gap.calibrator());
    }

    /// Every number of it but the counts, for snapshots.
    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut f32)) {
        self.each_calibrator(&mut |c| c.each(visit));
        self.levels.iter_mut().for_each(|l| l.each(visit));
        self.shares.iter_mut().for_each(|s| s.each(visit));
        self.gap.each(visit);
        for x in [&mut self.unit, &mut self.length, &mut self.watched] {
            visit(x);
        }
        self.following.each(visit);
    }

    /// Every count of windows, for snapshots.
    pub(super) fn each_count(&mut self, visit: &mut dyn FnMut(&mut u32)) {
        self.levels.iter_mut().for_each(|l| visit(l.windows_mut()));
        self.shares.iter_mut().for_each(|s| visit(s.windows_mut()));
        visit(self.gap.windows_mut());
        visit(&mut self.windows);
    }

    pub(super) const fn seen_mut(&mut self) -> &mut u64 {
        &mut self.seen
    }
}

/// What one edge may give beyond what its windows say, in bits: as much as its threshold is higher
/// because the service's false alarms are shared out. So it takes as long as that of a single edge
/// until it can alarm.
fn shared(edges: u32) -> f32 {
    (edges.max(1) as f32).log2()
}

fn teach(calibrators: &mut [Calibrator], bins: [u8; 3], unit: f32) {
    for (calibrator, bin) in calibrators.iter_mut().zip(bins).filter(|(_, bin)| *bin != NOWHERE) {
        calibrator.learn(bin, unit);
    }
}
