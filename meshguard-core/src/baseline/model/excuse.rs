//! What a false alarm teaches.

use super::super::calibrator::Calibrator;
use super::super::feature::Feature;
use super::super::level::SPREADS;
use super::super::score::{Score, Statistic};
use super::{LEVELLED, LEVELS, Model, SHARED, STANDS_OUT};

impl Model {
    /// A score that was no alarm: gives weight to what stood out in it, enough that its like is
    /// one in a thousand.
    pub(in crate::baseline) fn excuse(&mut self, score: &Score, usual: [Option<f32>; LEVELS]) {
        let weight = |c: &Calibrator, unit: f32| 16.0 * unit + c.windows(unit) * unit / 1_000.0;
        if score.silence > 0.0 {
            let distance = score.measure(Feature::Rate).distances[0];
            let weight = weight(self.gap.calibrator(), self.unit);
            self.gap.learn_distance(distance, weight);
            return;
        }
        for (i, measure) in score.measures.iter().enumerate() {
            let Some(calibrators) = self.calibrators_of(i) else { continue };
            if measure.bits < STANDS_OUT {
                continue;
            }
            for (k, calibrator) in calibrators.0.iter_mut().enumerate() {
                let distance = measure.distances[k];
                if distance.is_finite() && distance > 0.0 {
                    let weight = weight(calibrator, calibrators.1);
                    calibrator.learn(SPREADS.spot(distance).bin(), weight);
                }
            }
        }
        for (k, feature) in LEVELLED.into_iter().enumerate() {
            let drifted = score.measure(feature).statistic == Statistic::Drift;
            if let Some(usual) = usual[k].filter(|_| drifted) {
                self.levels[k].anchor_here(usual);
            }
        }
    }

    fn calibrators_of(&mut self, feature: usize) -> Option<(&mut [Calibrator], f32)> {
        let is = |f: &Feature| f.index() == feature;
        if let Some(k) = LEVELLED.iter().position(is) {
            return Some((self.levels[k].calibrators(), self.unit));
        }
        let k = SHARED.iter().position(is)?;
        Some((self.shares[k].calibrators(), self.unit))
    }
}
