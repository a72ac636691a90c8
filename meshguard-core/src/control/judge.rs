//! From a window's score to the incidents that it opens.

use std::sync::Arc;
use std::time::Duration;

use super::case::Case;
use super::event::Event;
use super::incident::{Incident, IncidentId};
use super::run::Cause;
use super::siblings::{COMES_BACK, Standing};
use super::told::only_tells;
use super::{Control, MAX_ALIKE, measure, words};
use crate::baseline::{EdgeKey, Feature, Measure, Score};
use crate::reflex::{ActionKind, Reflex, Signal, Step, Trigger};
use crate::time::Timestamp;

impl Control {
    /// Opens an incident for each reflex whose signal has lasted.
    pub(super) fn judge(&mut self, edge: &EdgeKey, score: &Score, now: Timestamp) {
        let cases = self.cases_of(edge);
        if cases.iter().any(|id| self.cases.get(id).is_some_and(Case::is_acting)) {
            if let Some(known) = self.edges.get_mut(edge) {
                known.holding.clear();
            }
            return;
        }
        for at in 0..self.reflexes.len() {
            let reflex = Arc::clone(&self.reflexes[at]);
            let signal = reflex.on.signal;
            let Some(measure) = measure::reading(&reflex.on, None, score) else { continue };
            let threshold = measure::threshold(&reflex.on, score);
            let feature = measure::about(&reflex.on, score, threshold);
            let planned = self.changes.allowance(edge, feature, now);
            let lasts = self.lasts(edge, at, &measure, planned, score, now);
            let known = self.case_of(edge, &reflex.name).is_some_and(|id| !self.is_shared(id));
            if !lasts || known || self.rests(edge, &reflex, now) {
                continue;
            }
            if only_tells(&reflex) && self.has_told(edge, at, feature, &measure, now) {
                continue;
            }
            if self.is_aftermath(&cases, signal, score, &measure) {
                continue;
            }
            match self.standing_now(edge, feature, now) {
                Standing::Unknown => {
                    self.waiting.insert(edge.clone());
                    if let Some(known) = self.edges.get_mut(edge) {
                        known.wait(score, at, now);
                    }
                }
                standing => self.set_off(edge, at, score, standing, now),
            }
        }
    }

    fn standing_now(&self, edge: &EdgeKey, feature: Option<Feature>, now: Timestamp) -> Standing {
        let moved = self.edges.get(edge).and_then(|known| known.moved.as_ref());
        moved.map_or(Standing::Alone, |moved| self.standing(edge, feature, moved, false, now))
    }

    /// A window sets a reflex off: opens its incident, or joins that of the edge's siblings.
    pub(super) fn set_off(
        &mut self,
        edge: &EdgeKey,
        at: usize,
        score: &Score,
        standing: Standing,
        now: Timestamp,
    ) {
        let reflex = Arc::clone(&self.reflexes[at]);
        if self.rests(edge, &reflex, now) {
            return;
        }
        if let Some(id) = self.case_of(edge, &reflex.name) {
            return self.judge_shared(id, standing, now);
        }
        let on = &reflex.on;
        let feature = measure::about(on, score, measure::threshold(on, score));
        // Of that feature, as its incident will be read.
        let measure = measure::reading(on, feature, score);
        let Some(measure) = measure.or_else(|| measure::reading(on, None, score)) else { return };
        let shared = standing == Standing::Shared;
        if shared {
            self.shares(edge, feature, now + COMES_BACK);
            if self.has_told(edge, at, feature, &measure, now) {
                return;
            }
        }
        let text = words::surprise(on.signal, feature, &measure);
        let cause = Cause { measure, feature, text, score: Some(score), shared };
        self.open(edge, &reflex, cause, now);
    }

    fn is_shared(&self, id: IncidentId) -> bool {
        self.cases.get(&id).is_some_and(|case| case.incident.shared)
    }

    /// The edge of a shared incident departs again: with its siblings, or by itself now.
    fn judge_shared(&mut self, id: IncidentId, standing: Standing, now: Timestamp) {
        let Some(case) = self.cases.get(&id).filter(|case| case.incident.shared) else { return };
        let (edge, feature) = (case.incident.edge.clone(), case.incident.feature);
        match standing {
            Standing::Shared => self.shares(&edge, feature, now + COMES_BACK),
            Standing::Unknown => {}
            Standing::Alone => {
                self.with_case(id, |control, case| {
                    case.unshare();
                    control.advance(case, now);
                });
            }
        }
    }

    /// Lists the edge of an incident that nothing will follow from in one of its siblings' for the
    /// same cause, if there is one: one cause is one incident.
    pub(super) fn join(&mut self, joins: &Case) -> bool {
        #[cfg(test)]
        if self.without_siblings {
            return false;
        }
        let Incident { edge, reflex, feature, text, .. } = &joins.incident;
        let same = |case: &&mut Case| {
            let incident = &case.incident;
            case.is_told_only()
                && incident.reflex == *reflex
                && incident.feature == *feature
                && is_sibling(&incident.edge, edge)
        };
        let Some(case) = self.cases.values_mut().find(same) else { return false };
        case.joined(self.now);
        let incident = case.incident.id;
        if let Some(known) = self.edges.get_mut(edge) {
            known.joined = Some(incident);
        }
        let alike = &mut case.incident.alike;
        if alike.len() < MAX_ALIKE && !alike.contains(edge) {
            alike.push(edge.clone());
            let (edge, text) = (edge.clone(), text.clone());
            self.events.push(Event::Joined { incident, edge, text });
        }
        true
    }

    /// Whether a reflex's signal is above its threshold, and has been for as long as it asks.
    fn lasts(
        &mut self,
        edge: &EdgeKey,
        at: usize,
        measure: &Measure,
        planned: f32,
        score: &Score,
        now: Timestamp,
    ) -> bool {
        let on = &self.reflexes[at].on;
        let above = measure.bits >= measure::threshold(on, score) + planned;
        let Some(known) = self.edges.get_mut(edge) else { return false };
        known.holding.resize(self.reflexes.len(), None);
        let since = &mut known.holding[at];
        *since = above.then(|| since.unwrap_or(now));
        since.is_some_and(|since| now.since(since) >= on.lasting)
    }

    /// Whether a departure is what a restriction that has expired leaves behind: a peer that was
    /// cut off comes back slowly, or not at all.
    fn is_aftermath(
        &self,
        cases: &[IncidentId],
        signal: Signal,
        score: &Score,
        measure: &Measure,
    ) -> bool {
        let top = match signal {
            Signal::Feature(feature) => Some(feature),
            _ => score.top,
        };
        let after = |case: &Case| signal == Signal::Silence || case.is_aftermath(top, measure);
        let cases = cases.iter().filter_map(|id| self.cases.get(id));
        cases.filter(|case| case.is_on_probation()).any(after)
    }

    pub(super) fn cases_of(&self, edge: &EdgeKey) -> Vec<IncidentId> {
        self.edges.get(edge).map(|known| known.cases.clone()).unwrap_or_default()
    }

    pub(super) fn case_of(&self, edge: &EdgeKey, reflex: &str) -> Option<IncidentId> {
        let ours = |id: &&IncidentId| {
            self.cases.get(id).is_some_and(|case| *case.incident.reflex == *reflex)
        };
        self.edges.get(edge)?.cases.iter().find(ours).copied()
    }

    pub(super) fn rests(&self, edge: &EdgeKey, reflex: &Reflex, now: Timestamp) -> bool {
        let hard = reflex.on.signal.is_hard();
        self.edges.get(edge).is_some_and(|known| known.rests(&reflex.name, hard, now))
    }
}

/// Whether two edges are callers of this service, or instances of one callee, or addresses.
fn is_sibling(a: &EdgeKey, b: &EdgeKey) -> bool {
    match (a, b) {
        (EdgeKey::Caller(_), EdgeKey::Caller(_)) | (EdgeKey::Address(_), EdgeKey::Address(_)) => {
            true
        }
        (EdgeKey::Callee { id, .. }, EdgeKey::Callee { id: of, .. }) => id == of,
        _ => false,
    }
}

/// What is done about a hard signal that no reflex is on.
pub(super) fn told(signal: Signal) -> Reflex {
    let on = Trigger::new(signal, None);
    let actions = vec![ActionKind::Alert];
    let steps = vec![Step { after: Duration::ZERO, unless_falling: false, actions }];
    Reflex { name: signal.as_str().into(), on, steps, ttl: Reflex::DEFAULT_TTL }
}
