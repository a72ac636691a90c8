//! How far a window departs from its edge's normal.

use std::time::Duration;

use super::feature::{FEATURES, Feature};

/// What one window's comparison came to.
///
/// `b` bits mean: as rare as one window in `2^b`, by what the edge has shown so far. So an edge
/// whose windows number `W` a day has a nominal `W·2⁻ᵇ` false alarms a day above `b` bits:
/// [`bits_for`].
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Of all features together.
    pub bits: f32,
    /// Of all features together, of what departs to the [harmful side](Measure::harm) alone, and
    /// without [`Feature::Refusals`]: what is refused does no harm.
    pub harm: f32,
    /// Of the silence, in bits: how unlikely so long a time without a call is.
    pub silence: f32,
    /// Windows of this length a day.
    pub windows_per_day: f32,
    /// By how many edges the false alarms of this service are divided: those that had traffic in the
    /// last hour; of an address the addresses, else all others. 0 is read as 1.
    pub edges: u32,
    /// Calls, or handshakes, that the edge has shown so far, this window's included.
    pub seen: u64,
    /// Whom an action on an address concerns: [`Window::peers`](super::Window::peers).
    pub peers: u32,
    /// Each feature by itself, by [`Feature::index`].
    pub measures: [Measure; FEATURES],
    /// The feature that stands out most, if any does.
    pub top: Option<Feature>,
    /// The feature that stands out most in `harm`, if any does.
    pub worst: Option<Feature>,
}

/// One feature in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measure {
    /// Whether it was observed. Else all else is 0.
    pub observed: bool,
    /// How rare, in bits.
    pub bits: f32,
    /// How rare to the harmful side, in bits: of every feature more of it. That it varies more or
    /// less than usual is to no side, nor is what the windows before came to where this one is back
    /// at normal. At most `bits`.
    pub harm: f32,
    /// What it was: a rate, a share, seconds, or bytes.
    pub value: f32,
    /// What is normal, in the same unit.
    pub normal: f32,
    /// What the last windows together came to, some five of them, in the same unit.
    pub followed: f32,
    /// The departure in the feature's own scale (logarithms, but for shares), in usual spreads:
    /// negative below normal. Of a share: in standard errors.
    pub spreads: f32,
    /// What about it is rare.
    pub statistic: Statistic,
    /// What that statistic compared.
    pub departure: Departure,
    /// The distances of spike, shift, and swing or wandering, in usual spreads; 0 where one was not
    /// looked at. Of a score of silence the first is the stillness against the usual one.
    pub distances: [f32; 3],
}

/// What a statistic compared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Departure {
    /// What was found, in the feature's unit; of [`Statistic::Swing`] in usual spreads.
    pub value: f32,
    /// What is normal, in the same unit.
    pub normal: f32,
    /// How far that is from normal, in usual spreads: negative below. 0 for
    /// [`Statistic::Drift`], which is compared with a bound.
    pub spreads: f32,
}

/// What about a feature can be rare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Statistic {
    /// This window's departure from normal.
    #[default]
    Spike,
    /// The departure of the last windows together.
    Shift,
    /// That it varies more, or less, than usual. Not for shares.
    Swing,
    /// That the normal has walked away from the week's. Not for shares.
    Wander,
    /// That the normal itself has walked too far from the week's. No rarity: a bound.
    Drift,
}

impl Default for Score {
    /// Of a window that nothing is known about.
    fn default() -> Self {
        Self::blank()
    }
}

impl Score {
    /// Of a window that nothing is known about.
    pub(super) const fn blank() -> Self {
        const NONE: Measure = Measure {
            observed: false,
            bits: 0.0,
            harm: 0.0,
            value: 0.0,
            normal: 0.0,
            followed: 0.0,
            spreads: 0.0,
            statistic: Statistic::Spike,
            departure: Departure { value: 0.0, normal: 0.0, spreads: 0.0 },
            distances: [0.0; 3],
        };
        Self {
            bits: 0.0,
            harm: 0.0,
            silence: 0.0,
            windows_per_day: 0.0,
            edges: 0,
            seen: 0,
            peers: 0,
            measures: [NONE; FEATURES],
            top: None,
            worst: None,
        }
    }

    /// The bits above which a service has one false alarm in `one_in` of a signal, if each of the
    /// [`edges`](Self::edges) is judged so. At least 1.
    #[must_use]
    pub fn bits_for(&self, one_in: Duration) -> f32 {
        let per_day = if self.windows_per_day.is_finite() { self.windows_per_day } else { 1.0 };
        let edges = self.edges.max(1) as f32;
        bits_for(one_in, per_day.max(1.0) * edges).max(1.0)
    }

    /// One feature.
    #[must_use]
    pub fn measure(&self, feature: Feature) -> Measure {
        self.measures[feature.index()]
    }
}

/// The bits above which an edge with so many windows a day has one false alarm in `one_in`.
///
/// ```
/// # use std::time::Duration;
/// # use meshguard_core::baseline::bits_for;
/// // One in 30 days, of windows of a second.
/// let bits = bits_for(Duration::from_secs(30 * 86_400), 86_400.0);
/// assert!((bits - 21.3).abs() < 0.1);
/// ```
#[must_use]
pub fn bits_for(one_in: Duration, windows_per_day: f32) -> f32 {
    (one_in.as_secs_f32() / 86_400.0 * windows_per_day).max(1.0).log2()
}
