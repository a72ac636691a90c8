//! A feature with a level of its own: rate, latencies, bytes. Its scale is the logarithm.

use super::calibrator::{Belief, Calibrator, Scale, Spot, Tail, cap};
use super::feature::Feature;
use super::sample::unscaled;
use super::score::{Departure, Statistic};

/// Of distances in spreads. In the logarithm a tail falls exponentially even where what is
/// measured has one that falls as a power; so nothing heavier is expected.
pub(super) const SPREADS: Scale = Scale {
    knee: 2.0,
    per_neper: 6.5,
    tail: Tail::Exponential([2.0, 12.0, 0.3]),
    drawn: 10.0,
    caution: 0.0,
};
const LEARN_MEAN: f32 = 0.004;
const LEARN_SPREAD: f32 = 0.002;
const FOLLOW: f32 = 0.2;
/// What follows varies so many times less than single windows do: √((2 - 0.2) / 0.2).
const STEADIER: f32 = 3.0;
const FOLLOW_SWING: f32 = 0.05;
const CLAMP: f32 = 4.0;
/// Seconds in which the level of late follows.
const LATE: f32 = 30.0;
/// Spreads: a level that so often departs that far within minutes only bursts.
const BURST: f32 = 3.0;
/// The swing is looked at, and the anchor moved, every so many windows.
const SWING_EVERY: u32 = 20;

/// What a level has learnt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// Follows within five windows.
    fast: f32,
    /// Follows within half a minute.
    late: f32,
    /// The normal.
    mean: f32,
    /// The week's.
    anchor: f32,
    /// The usual departure from the mean, of a window with as many calls as usual.
    spread: f32,
    /// The departure of late.
    swing: f32,
    /// One by the number of calls in a window, usually.
    thin: f32,
    /// Windows in which it was observed.
    windows: u32,
    calibrators: [Calibrator; 3],
}

/// What else matters of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// The calls in it; where it is calls that are `counted`, those expected.
    pub(super) count: f32,
    pub(super) counted: bool,
    pub(super) seconds: f32,
    /// The smallest effect worth calling one.
    pub(super) floor: f32,
}

/// One window seen against it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    x: f32,
    thin: f32,
    widened: f32,
    scale: f32,
    /// The departure, in spreads, signed.
    pub(super) spreads: f32,
    /// Spike, shift, and swing or wandering; NaN where it was not looked at.
    pub(super) distances: [f32; 3],
    /// What each of them compared: what was found, and what is normal, in the logarithm; of a swing
    /// in usual spreads.
    pub(super) compared: [(f32, f32); 3],
    /// Whether the third is that the mean has walked away from the week's.
    pub(super) wanders: bool,
}

impl Sight {
    /// Whether the departure that statistic `k` sees is above normal, and this window too; a swing is
    /// to no side.
    pub(super) fn is_above(&self, k: usize) -> bool {
        let (found, normal) = self.compared[k];
        found > normal && self.spreads > 0.0 && (k < 2 || self.wanders)
    }

    /// What statistic `k` compared, in the feature's unit.
    pub(super) fn told(&self, k: usize, feature: Feature) -> (Statistic, Departure) {
        let (found, normal) = self.compared[k];
        let distance = if self.distances[k].is_finite() { self.distances[k] } else { 0.0 };
        let spreads = distance.copysign(found - normal);
        let statistic = match (k, self.wanders) {
            (0, _) => Statistic::Spike,
            (1, _) => Statistic::Shift,
            (_, true) => Statistic::Wander,
            (_, false) => Statistic::Swing,
        };
        let unit = |x| if statistic == Statistic::Swing { x } else { unscaled(feature, x) };
        (statistic, Departure { value: unit(found), normal: unit(normal), spreads })
    }
}

impl Level {
    pub(super) const fn new() -> Self {
        Self {
            fast: 0.0,
            late: 0.0,
            mean: 0.0,
            anchor: 0.0,
            spread: 0.0,
            swing: 0.0,
            thin: 0.0,
            windows: 0,
            calibrators: [Calibrator::new(); 3],
        }
    }

    pub(super) const fn mean(&self) -> f32 {
        self.mean
    }

    /// The normal; `x` itself where none is learnt.
    pub(super) const fn normal(&self, x: f32) -> f32 {
        if self.windows == 0 { x } else { self.mean }
    }

    /// What was followed of late is forgotten, and what was learnt is not.
    pub(super) const fn resume(&mut self) {
        (self.fast, self.late, self.swing) = (self.mean, self.mean, self.spread);
    }

    pub(super) const fn windows(&self) -> u32 {
        self.windows
    }

    /// What has walked more than `bound` from what is usual at this hour, which lies `usual` from
    /// the week's, and that: the mean, or already the last half minute, if that is no mere burst.
    pub(super) fn drifted(&self, usual: f32, bound: f32) -> Option<(f32, f32)> {
        let (burst, normal) = (BURST * self.spread, self.anchor + usual);
        let walked = |level: f32, bound: f32| (level - normal).abs() > bound;
        let level = match () {
            () if walked(self.mean, bound) => self.mean,
            () if walked(self.late, bound.max(burst)) => self.late,
            () => return None,
        };
        Some((level, normal))
    }

    /// How far `x` is from the week's.
    pub(super) fn off_anchor(&self, sight: &Sight) -> f32 {
        sight.x - self.anchor
    }

    /// Takes the present, less what is usual at this hour, for the week's.
    pub(super) fn anchor_here(&mut self, usual: f32) {
        self.mean = self.late;
        self.anchor = self.late - usual;
    }

    /// Compares `x`. Follows, but learns nothing.
    pub(super) fn sight(&mut self, x: f32, of: &Circumstances) -> Sight {
        let &Circumstances { count, counted, seconds, floor } = of;
        let thin = 1.0 / count.max(1.0);
        if self.windows == 0 {
            (self.fast, self.late, self.mean, self.anchor) = (x, x, x, x);
            (self.spread, self.swing, self.thin) = (floor, floor, thin);
        }
        // Half of the usual variance is taken to be of the sampling, which falls with the calls.
        let widened = (0.5 + 0.5 * thin / self.thin).sqrt().clamp(0.7, 8.0);
        let scale = self.spread * widened + floor;
        let e = if counted { righted(x - self.mean) } else { x - self.mean };
        let trust = 1.0 / widened.max(1.0).powi(2);
        let clamped = e.clamp(-6.0 * scale, 6.0 * scale);
        self.fast += FOLLOW * trust * (self.mean + clamped - self.fast);
        self.late += FOLLOW.min(seconds / LATE) * (self.mean + clamped - self.late);
        self.swing += FOLLOW_SWING * ((e.abs() / widened).min(CLAMP * scale) - self.swing);
        let usual = self.spread + floor;
        let swing = (self.swing + floor) / usual;
        let swings = swing.max(1.0 / swing) - 1.0;
        let walked = (self.mean - self.anchor).abs() / usual;
        let wanders = walked > swings;
        let looked = self.windows % SWING_EVERY == SWING_EVERY - 1;
        Sight {
            x,
            thin,
            widened,
            scale,
            spreads: e / scale,
            distances: [
                e.abs() / scale,
                (self.fast - self.mean).abs() / usual * STEADIER,
                if looked { swings.max(walked) } else { f32::NAN },
            ],
            compared: [
                (x, self.mean),
                (self.fast, self.mean),
                if wanders { (self.mean, self.anchor) } else { (swing, 1.0) },
            ],
            wanders,
        }
    }

    /// The surprise of each statistic, in bits without limit.
    pub(super) fn bits(&self, spots: &[Option<Spot>; 3], unit: f32) -> [f32; 3] {
        let mut bits = [0.0; 3];
        for (k, spot) in spots.iter().enumerate() {
            if let Some(spot) = *spot {
                bits[k] = self.calibrators[k].bits(spot, unit, SPREADS, belief(spot));
            }
        }
        bits
    }

    /// The most bits that it can give.
    pub(super) fn cap(&self, unit: f32) -> f32 {
        cap(self.calibrators[0].windows(unit))
    }

    /// Learns the level: `alpha` is what the week's anchor gives to this window.
    pub(super) fn learn(&mut self, sight: &Sight, alpha: f32) {
        let new = 1.0 / (self.windows as f32 + 1.0);
        let limit = if self.windows < 20 { f32::INFINITY } else { CLAMP * sight.scale };
        let e = (sight.x - self.mean).clamp(-limit, limit);
        let trust = 1.0 / sight.widened.max(1.0).powi(2);
        self.mean += LEARN_MEAN.max(new) * trust * e;
        self.spread += LEARN_SPREAD.max(new) * (e.abs() / sight.widened - self.spread);
        self.thin += LEARN_MEAN.max(new) * (sight.thin - self.thin);
        if self.windows.is_multiple_of(SWING_EVERY) {
            // Less often and further each time: the steps of every window would be lost in f32.
            let by = (alpha * SWING_EVERY as f32).min(1.0);
            self.anchor += by * (self.mean - self.anchor);
        }
        self.windows = self.windows.saturating_add(1);
    }

    pub(super) fn calibrators(&mut self) -> &mut [Calibrator] {
        &mut self.calibrators
    }

    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut f32)) {
        for x in [&mut self.fast, &mut self.late, &mut self.mean, &mut self.anchor] {
            visit(x);
        }
        for x in [&mut self.spread, &mut self.swing, &mut self.thin] {
            visit(x);
        }
    }

    pub(super) const fn windows_mut(&mut self) -> &mut u32 {
        &mut self.windows
    }
}

/// A count that falls short of what is expected does so further in the logarithm than one that
/// exceeds it as rarely: below the mean the root of the way is taken.
fn righted(e: f32) -> f32 {
    if e < 0.0 { 2.0 * (0.5 + 0.5 * e.exp()).ln() } else { e }
}

/// Before anything is seen: three spreads are 1 in 400, ten 1 in 500 million; ten windows' worth.
fn belief(spot: Spot) -> Belief<impl FnOnce() -> f32> {
    Belief { windows: 10.0, p: move || (-2.0 * spot.distance()).exp() }
}

/// Where distances lie; `None` where one was not looked at.
pub(super) fn spots(distances: &[f32; 3]) -> [Option<Spot>; 3] {
    distances.map(|d| d.is_finite().then(|| SPREADS.spot(d)))
}
