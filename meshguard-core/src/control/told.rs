//! What was told of an edge already: a departure is told again only where it is half as large again, or
//! after a day.

use std::sync::Arc;
use std::time::Duration;

use super::Control;
use super::case::Case;
use super::edges::Edge;
use super::incident::IncidentState;
use super::siblings::effect;
use crate::baseline::{EdgeKey, Feature, Measure};
use crate::reflex::{ActionKind, Reflex, Step};
use crate::time::Timestamp;

/// A departure that was over is told again after so long, after twice as long the next time...
const AGAIN: Duration = Duration::from_secs(1_800);
/// ...and at most after so long, as is one that went on.
const DAY: Duration = Duration::from_secs(86_400);
/// Unless it is so many times as large as it was.
const LARGER: f32 = 1.5;

/// A departure that an incident told of, and that nothing but telling followed.
#[derive(Debug)]
pub(super) struct Told {
    reflex: Arc<str>,
    feature: Feature,
    /// The largest effect that was told.
    effect: f32,
    length: Duration,
    until: Timestamp,
}

impl Told {
    fn is_of(&self, reflex: &str, feature: Feature) -> bool {
        *self.reflex == *reflex && self.feature == feature
    }

    /// Whether it says anything of how long the next one is to be silent.
    pub(super) fn is_remembered(&self, now: Timestamp) -> bool {
        now < self.until + self.length
    }
}

/// How far what was judged lies from normal, in the feature's own scale.
pub(super) fn told_effect(feature: Feature, measure: &Measure) -> f32 {
    let effect = effect(feature, measure.departure.value, measure.departure.normal);
    if effect.is_finite() { effect } else { 0.0 }
}

impl Edge {
    /// Whether such a departure was told and is not much larger now.
    pub(super) fn is_told(
        &self,
        reflex: &str,
        feature: Feature,
        measure: &Measure,
        now: Timestamp,
    ) -> bool {
        let now_is = told_effect(feature, measure);
        let known = |told: &Told| {
            let alike = now_is * told.effect.signum() <= told.effect.abs() * LARGER;
            let same_side = now_is * told.effect >= 0.0;
            told.is_of(reflex, feature) && now < told.until && alike && same_side
        };
        self.told.iter().any(known)
    }

    fn tell(
        &mut self,
        reflex: &Arc<str>,
        feature: Feature,
        effect: f32,
        over: bool,
        now: Timestamp,
    ) {
        let before = self.told.iter().find(|told| told.is_of(reflex, feature));
        let before = before.filter(|told| told.is_remembered(now)).map(|told| told.length);
        let length = match before {
            _ if !over => DAY,
            Some(length) => (length * 2).min(DAY),
            None => AGAIN,
        };
        self.told.retain(|told| told.is_remembered(now) && !told.is_of(reflex, feature));
        let reflex = Arc::clone(reflex);
        self.told.push(Told { reflex, feature, effect, length, until: now + length });
    }
}

/// Whether a reflex restricts nothing.
pub(super) fn only_tells(reflex: &Reflex) -> bool {
    let restricts = |step: &Step| step.actions.iter().any(ActionKind::restricts);
    !reflex.steps.iter().any(restricts)
}

impl Control {
    /// Remembers what an incident told that is over, where nothing else is done about such a departure.
    pub(super) fn remember_told(&mut self, case: &Case, state: IncidentState) {
        let over = state != IncidentState::Escalated;
        let Some((feature, effect)) = case.told(over) else { return };
        let Self { edges, now, .. } = self;
        let incident = &case.incident;
        let of_it = std::iter::once(&incident.edge).chain(&incident.alike);
        for edge in of_it {
            if let Some(known) = edges.get_mut(edge) {
                known.tell(&incident.reflex, feature, effect, over, *now);
            }
        }
    }

    /// Whether a reflex has told of this, which is all that it does about it.
    pub(super) fn has_told(
        &self,
        edge: &EdgeKey,
        at: usize,
        feature: Option<Feature>,
        measure: &Measure,
        now: Timestamp,
    ) -> bool {
        let reflex = &self.reflexes[at];
        let (Some(feature), Some(known)) = (feature, self.edges.get(edge)) else { return false };
        known.is_told(&reflex.name, feature, measure, now)
    }
}
