//! What the scorer is told, and the constants that it is not.

use std::time::Duration;

use super::feature::{FEATURES, Feature};

/// How an edge's normal is learnt. The defaults are the measured ones.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Windows in which a feature was observed before it is scored; the shares (errors, handshake
    /// failures, missing receipts, refusals) are scored from the first on.
    pub warm_up: u32,
    /// How many windows a calibrator remembers: older ones fade.
    pub memory: f32,
    /// Edges kept at most. A further one takes the place of that which was quiet longest and has
    /// no open incident; addresses together have at most half of all places.
    pub max_edges: usize,
    /// Edges kept at most of one peer's instances, of one IPv4 /24, or of one IPv6 /48.
    pub max_of_one: usize,
    /// The smallest effect worth calling one, by [`Feature::index`]: for the shares the least
    /// normal share, for all others a departure in the logarithm (0.05 is 5 %).
    pub floors: [f32; FEATURES],
    /// How far the level of a feature may walk from the week's, in its logarithm (0.7 is ×2),
    /// before it is called drift, however slowly it walked.
    pub drift: f32,
    /// How long an edge is watched before drift is looked for. It is also needed that the
    /// edge was seen to be steady, or to follow what its kind does at each hour; and of the latter
    /// that the present hour of a day of the same sort (weekday or weekend) is known.
    pub drift_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let mut floors = [0.05; FEATURES];
        floors[Feature::Rate.index()] = 0.08;
        floors[Feature::P99.index()] = 0.08;
        floors[Feature::Errors.index()] = 0.002;
        floors[Feature::HandshakeFailures.index()] = 0.02;
        floors[Feature::MissingReceipts.index()] = 0.002;
        floors[Feature::Refusals.index()] = 0.005;
        Self {
            warm_up: 300,
            memory: 40_000.0,
            max_edges: 4_096,
            max_of_one: 64,
            floors,
            drift: 0.7,
            drift_after: Duration::from_secs(24 * 3_600),
        }
    }
}

/// The weight of the newest window against the one before: how calibrators forget.
pub(super) fn growth(settings: &Settings) -> f32 {
    1.0 + 1.0 / settings.memory.max(1_000.0)
}
