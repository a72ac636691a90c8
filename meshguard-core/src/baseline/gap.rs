//! How long an edge is usually still.

use super::calibrator::{Belief, Calibrator, Scale, Tail, cap};

const LEARN: f32 = 0.004;
/// Seconds: gaps well below it are all alike.
const FLOOR: f32 = 0.1;
/// Gaps are not looked at in the logarithm: their tail may fall as a power of which the mean does
/// not exist.
const GAPS: Scale = Scale {
    knee: 1.0,
    per_neper: 2.5,
    tail: Tail::Power([0.8, 12.0, 0.4]),
    drawn: 6.0,
    caution: 2.0,
};

/// The longest gap of each window with traffic, against their usual length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    usual: f32,
    windows: u32,
    calibrator: Calibrator,
}

impl Gap {
    pub(super) const fn new() -> Self {
        Self { usual: 0.0, windows: 0, calibrator: Calibrator::new() }
    }

    pub(super) const fn windows(&self) -> u32 {
        self.windows
    }

    /// Against the usual one.
    pub(super) fn distance(&self, secs: f32) -> f32 {
        secs / (self.usual + FLOOR)
    }

    /// The surprise at a gap of such a distance in one window, in bits: `shared` more at most than
    /// its windows alone could give.
    pub(super) fn bits(&self, distance: f32, unit: f32, shared: f32) -> f32 {
        let belief = Belief { windows: 4.0, p: || (-distance).exp() };
        let bits = self.calibrator.bits(GAPS.spot(distance), unit, GAPS, belief);
        bits.min(cap(self.calibrator.windows(unit)) + shared)
    }

    pub(super) fn learn(&mut self, secs: f32, unit: f32) {
        let new = 1.0 / (self.windows as f32 + 1.0);
        let limit = if self.windows < 20 { f32::INFINITY } else { 4.0 * (self.usual + FLOOR) };
        self.usual += LEARN.max(new) * (secs - self.usual).min(limit);
        if self.windows >= 20 {
            self.learn_distance(self.distance(secs), unit);
        }
        self.windows = self.windows.saturating_add(1);
    }

    pub(super) fn learn_distance(&mut self, distance: f32, weight: f32) {
        self.calibrator.learn(GAPS.spot(distance).bin(), weight);
    }

    pub(super) const fn calibrator(&mut self) -> &mut Calibrator {
        &mut self.calibrator
    }

    pub(super) fn each(&mut self, visit: &mut dyn FnMut(&mut f32)) {
        visit(&mut self.usual);
    }

    pub(super) const fn windows_mut(&mut self) -> &mut u32 {
        &mut self.windows
    }
}
