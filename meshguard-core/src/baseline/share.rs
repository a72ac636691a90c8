//! A feature that is a share of failures, of which the natural normal is none.

use super::calibrator::{Belief, Calibrator, Spot, cap};
use super::level::SPREADS;

const LEARN: f32 = 0.004;
const FOLLOW: f32 = 0.2;
/// What a kind's first windows are weighed against: the windows that the declared prior stands
/// for. So a service that has seen nothing can give log2(8,192) + 10 = 23 bits.
const DECLARED: f32 = 8_192.0;
/// What the kind's windows count for beside an edge's own.
const POOLED: f32 = 32.0;

/// What a share has learnt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// Failures and all, of the last five windows or so.
    fast: (f32, f32),
    /// The same of the last few hundred: failures are clamped.
    slow: (f32, f32),
    windows: u32,
    calibrators: [Calibrator; 2],
}

/// One window seen against it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    failed: f32,
    all: f32,
    /// The normal share.
    pub(super) normal: f32,
    /// The departure in standard errors, signed.
    pub(super) spreads: f32,
    /// Spike and shift.
    pub(super) distances: [f32; 2],
}

/// What the edges of one kind have shown in one share: each weighs the same in an hour, however
/// much it called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pooled {
    /// The median of what is normal on an edge; 0 where too few have voted.
    normal: f32,
    unit: f32,
    calibrators: [Calibrator; 2],
}

impl Share {
    pub(super) const fn new() -> Self {
        Self { fast: (0.0, 0.0), slow: (0.0, 0.0), windows: 0, calibrators: [Calibrator::new(); 2] }
    }

    /// What was followed of late is forgotten, and what was learnt is not.
    pub(super) const fn resume(&mut self) {
        self.fast = (0.0, 0.0);
    }

    /// Compares `failed` of `all`. Follows, but learns nothing.
    pub(super) fn sight(&mut self, failed: f32, all: f32, floor: f32, kind: &Pooled) -> Sight {
        let normal = if self.windows == 0 { kind.normal } else { self.normal() };
        let normal = normal.clamp(floor, 0.99);
        let clamped = clamp(failed, all, normal);
        self.fast.0 += clamped - FOLLOW * self.fast.0;
        self.fast.1 += all - FOLLOW * self.fast.1;
        let spreads = standard_errors(failed, all, normal);
        // A fading sum varies less than a plain one of the same size would.
        let shift = if self.fast.0 > self.fast.1 * normal {
            standard_errors(self.fast.0, self.fast.1, normal) * (2.0 - FOLLOW).sqrt()
        } else {
            0.0
        };
        let distances = [spreads.max(0.0), shift];
        Sight { failed: clamped, all, normal, spreads, distances }
    }

    /// The surprise of both statistics, in bits without limit.
    pub(super) fn bits(&self, spots: &[Option<Spot>; 3], unit: f32, kind: &Pooled) -> [f32; 3] {
        let mut bits = [0.0; 3];
        for (k, calibrator) in self.calibrators.iter().enumerate() {
            if let Some(spot) = spots[k].filter(|spot| spot.distance() > 0.0) {
                let belief = Belief { windows: POOLED, p: || kind.chance(k, spot) };
                bits[k] = calibrator.bits(spot, unit, SPREADS, belief);
            }
        }
        bits
    }

    /// The most bits that it can give.
    pub(super) fn cap(&self, unit: f32, kind: &Pooled) -> f32 {
        cap(self.calibrators[0].windows(unit) + kind.windows())
    }

    /// The normal share of this edge; 0 where it has shown none.
    pub(super) fn normal(&self) -> f32 {
        if self.slow.1 > 0.0 { self.slow.0 / self.slow.1 } else { 0.0 }
    }

    /// The share in the last windows together.
    pub(super) fn followed(&self) -> f32 {
        if self.fast.1 > 0.0 { self.fast.0 / self.fast.1 } else { 0.0 }
    }

    /// The normal share, of an edge of which there was anything to observe.
    pub(super) fn vote(&self) -> Option<f32> {
        (self.windows > 0).then(|| self.normal())
    }

    pub(super) fn learn(&mut self, sight: &Sight) {
        let new = 1.0 / (self.windows as f32 + 50.0);
        if self.windows == 0 {
            self.slow = (sight.normal * sight.all, sight.all);
        }
        follow(&mut self.slow, sight, LEARN.max(new));
        self.windows = self.windows.saturating_add(1);
    }

    pub(super) fn calibrators(&mut self) -> &mut [Calibrator] {
        &mut self.calibrators
    }

    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut f32)) {
        for pair in [&mut self.fast, &mut self.slow] {
            visit(&mut pair.0);
            visit(&mut pair.1);
        }
    }

    pub(super) const fn windows_mut(&mut self) -> &mut u32 {
        &mut self.windows
    }
}

impl Pooled {
    pub(super) const fn new() -> Self {
        Self { normal: 0.0, unit: 1.0, calibrators: [Calibrator::new(); 2] }
    }

    /// The normal share of an edge that has shown nothing yet.
    pub(super) const fn set_normal(&mut self, normal: f32) {
        self.normal = normal;
    }

    pub(super) fn windows(&self) -> f32 {
        self.calibrators[0].windows(self.unit) + DECLARED
    }

    /// Learns how rare a window was that counts for so much of one.
    pub(super) fn learn(&mut self, statistic: usize, bin: u8, growth: f32, part: f32) {
        self.calibrators[statistic].learn(bin, part * self.unit);
        if statistic == 0 {
            self.unit *= 1.0 + part * (growth - 1.0);
        }
        if self.unit > 1e6 {
            let (by, normal) = (1.0 / self.unit, self.normal);
            self.each(&mut |x| *x *= by);
            self.normal = normal;
        }
    }

    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut f32)) {
        visit(&mut self.normal);
        visit(&mut self.unit);
        self.calibrators.iter_mut().for_each(|c| c.each(visit));
    }

    /// The probability of such a distance on an edge of this kind.
    fn chance(&self, statistic: usize, spot: Spot) -> f32 {
        let declared = Belief { windows: DECLARED, p: || declared(spot.distance()) };
        (-self.calibrators[statistic].bits(spot, self.unit, SPREADS, declared)).exp2()
    }
}

/// What is declared: failures come in clumps, half as widely again as independent ones would.
fn declared(distance: f32) -> f32 {
    (-distance * distance / 3.0).max(-80.0).exp()
}

fn follow(slow: &mut (f32, f32), sight: &Sight, by: f32) {
    slow.0 += by * (sight.failed - slow.0);
    slow.1 += by * (sight.all - slow.1);
}

/// What one window may move: four standard errors and three failures above the normal.
fn clamp(failed: f32, all: f32, normal: f32) -> f32 {
    let expected = all * normal;
    failed.min(expected + 4.0 * expected.sqrt() + 3.0)
}

/// The signed root of the binomial deviance: as a normal variate's, whatever the counts.
fn standard_errors(failed: f32, all: f32, normal: f32) -> f32 {
    let expected = all * normal;
    let good = all - failed;
    let mut deviance = 0.0;
    if failed > 0.0 {
        deviance += failed * (failed / expected).ln();
    }
    if good > 0.0 {
        deviance += good * (good / (all - expected)).ln();
    }
    (2.0 * deviance.max(0.0)).sqrt().copysign(failed - expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_from_few_calls_is_less_surprising_than_the_same_from_many() {
        let few = standard_errors(1.0, 10.0, 0.002);
        let many = standard_errors(20.0, 200.0, 0.002);
        assert!(few > 1.0 && few < 4.0, "{few}");
        assert!(many > 10.0, "{many}");
    }

    #[test]
    fn standard_errors_are_those_of_a_normal_variate() {
        // 120 of 1,000 where 100 are normal: 20 / sqrt(90) = 2.1.
        assert!((standard_errors(120.0, 1000.0, 0.1) - 2.05).abs() < 0.05);
        assert!((standard_errors(80.0, 1000.0, 0.1) + 2.17).abs() < 0.05);
    }
}
