//! One window seen against a model.

use super::calibrator::Spot;
use super::feature::{FEATURES, Feature};
use super::level;
use super::model::{LEVELLED, LEVELS, SHARES};
use super::score::{Measure, Score, Statistic};
use super::share;

/// Where no bin is to be taught.
pub(super) const NOWHERE: u8 = u8::MAX;

/// Which bins a window belongs to: three of each feature, and that of all together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub(super) bins: [[u8; 3]; FEATURES],
    pub(super) total: u8,
}

/// One window seen against a model.
pub(super) struct Reading {
    pub(super) score: Score,
    pub(super) marks: Marks,
    pub(super) levels: [Option<level::Sight>; LEVELS],
    pub(super) shares: [Option<share::Sight>; SHARES],
    /// By index of feature, without limit.
    pub(super) raw: [f32; FEATURES],
    pub(super) drifted: bool,
}

impl Reading {
    pub(super) const fn blank() -> Self {
        Self {
            score: Score::blank(),
            marks: Marks { bins: [[NOWHERE; 3]; FEATURES], total: NOWHERE },
            levels: [None; LEVELS],
            shares: [None; SHARES],
            raw: [0.0; FEATURES],
            drifted: false,
        }
    }

    /// Notes the rarest of a feature's statistics, at the price of having looked at several.
    pub(super) fn note(
        &mut self,
        feature: Feature,
        bits: &[f32; 3],
        looks: u8,
        cap: f32,
    ) -> &mut Measure {
        let mut most = 0;
        for k in 1..3 {
            if bits[k] > bits[most] {
                most = k;
            }
        }
        let raw = (bits[most] - f32::from(looks).log2()).max(0.0);
        self.raw[feature.index()] = raw;
        let measure = &mut self.score.measures[feature.index()];
        measure.observed = true;
        measure.bits = raw.min(cap);
        measure.statistic = [Statistic::Spike, Statistic::Shift, Statistic::Swing][most];
        measure
    }

    pub(super) fn mark_drift(&mut self) {
        for feature in LEVELLED {
            let measure = &self.score.measures[feature.index()];
            if measure.statistic == Statistic::Drift && measure.bits >= self.score.bits {
                self.score.bits = measure.bits;
                self.score.top = Some(feature);
            }
        }
    }
}

/// The bins of what was looked at.
pub(super) fn bins(spots: &[Option<Spot>; 3]) -> [u8; 3] {
    spots.map(|spot| spot.map_or(NOWHERE, Spot::bin))
}
