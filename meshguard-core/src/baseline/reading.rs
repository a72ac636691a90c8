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
    /// The same of what departs to the harmful side.
    pub(super) harm: [f32; FEATURES],
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
            harm: [0.0; FEATURES],
            drifted: false,
        }
    }

    /// Notes the rarest of a feature's statistics, and the rarest of those that see it `above`
    /// normal, at the price of having looked at several; gives the place of the former.
    pub(super) fn note(
        &mut self,
        feature: Feature,
        bits: &[f32; 3],
        above: impl Fn(usize) -> bool,
        looks: u8,
        cap: f32,
    ) -> (usize, &mut Measure) {
        let (mut most, mut harm) = (0, 0.0);
        for k in 0..3 {
            if bits[k] > bits[most] {
                most = k;
            }
            if bits[k] > harm && above(k) {
                harm = bits[k];
            }
        }
        let price = f32::from(looks).log2();
        let (raw, harm) = ((bits[most] - price).max(0.0), (harm - price).max(0.0));
        (self.raw[feature.index()], self.harm[feature.index()]) = (raw, harm);
        let measure = &mut self.score.measures[feature.index()];
        measure.observed = true;
        (measure.bits, measure.harm) = (raw.min(cap), harm.min(cap));
        (most, measure)
    }

    pub(super) fn mark_drift(&mut self) {
        let score = &mut self.score;
        for feature in LEVELLED {
            let measure = &score.measures[feature.index()];
            if measure.statistic != Statistic::Drift {
                continue;
            }
            if measure.bits >= score.bits {
                (score.bits, score.top) = (measure.bits, Some(feature));
            }
            if measure.harm >= score.harm && measure.harm > 0.0 {
                (score.harm, score.worst) = (measure.harm, Some(feature));
            }
        }
    }
}

/// The bins of what was looked at.
pub(super) fn bins(spots: &[Option<Spot>; 3]) -> [u8; 3] {
    spots.map(|spot| spot.map_or(NOWHERE, Spot::bin))
}
