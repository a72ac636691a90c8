//! The steps of a reflex: taken, measured, held, undone.

use std::sync::Arc;

use super::act::End;
use super::action::{ActionId, ActionState, Effect};
use super::case::{Case, LEARNT, LONGEST_REPEAT, Phase};
use super::event::{Event, Lift};
use super::incident::{Incident, IncidentId, IncidentState};
use super::siblings::COMES_BACK;
use super::trust::Charge;
use super::{Control, MAX_CLOSED, MAX_OPEN};
use crate::baseline::{EdgeKey, Feature, Measure, Score};
use crate::reflex::{ActionKind, Reflex};
use crate::time::Timestamp;

/// What opens an incident.
pub(super) struct Cause<'s> {
    pub(super) measure: Measure,
    pub(super) feature: Option<Feature>,
    pub(super) text: Box<str>,
    /// Absent for a hard signal.
    pub(super) score: Option<&'s Score>,
    /// Whether most siblings depart alike.
    pub(super) shared: bool,
}

impl Control {
    /// Opens an incident and takes its first step.
    pub(super) fn open(
        &mut self,
        edge: &EdgeKey,
        reflex: &Arc<Reflex>,
        cause: Cause<'_>,
        now: Timestamp,
    ) {
        if !self.has_room(edge) {
            self.miss(edge);
            return;
        }
        self.full = false;
        let id = IncidentId(self.last_incident + 1);
        let incident = Incident {
            id,
            edge: edge.clone(),
            reflex: Arc::from(&*reflex.name),
            signal: reflex.on.signal,
            feature: cause.feature,
            bits: cause.measure.bits,
            first_seen: now,
            last_seen: now,
            state: IncidentState::Open,
            text: cause.text,
            actions: Vec::new(),
            confirmed: false,
            shared: cause.shared,
            alike: Vec::new(),
            charge: Charge::default(),
        };
        let mut case = Case::new(incident, reflex, &cause.measure);
        if let Some(score) = cause.score {
            case.scale(score);
            case.side(&cause.measure);
            case.load(score, now);
            case.weigh(score);
            case.tell(&cause.measure);
        }
        if case.is_told_only() && self.join(&case) {
            return;
        }
        self.last_incident = id.0;
        self.charge_opening(&mut case, now);
        self.events.push(Event::Opened(Box::new(case.incident.clone())));
        if let Some(known) = self.edges.get_mut(edge) {
            known.cases.push(id);
        }
        self.take(&mut case, 0, now);
        self.cases.insert(id, case);
    }

    /// Addresses cost nothing to have, so they get half of the places.
    fn has_room(&self, edge: &EdgeKey) -> bool {
        let address = |edge: &EdgeKey| matches!(edge, EdgeKey::Address(_));
        let addresses = self.cases.values().filter(|case| address(&case.incident.edge));
        self.cases.len() < MAX_OPEN && !(address(edge) && addresses.count() >= MAX_OPEN / 2)
    }

    fn miss(&mut self, edge: &EdgeKey) {
        self.missed += 1;
        if !std::mem::replace(&mut self.full, true) {
            self.events.push(Event::Full { edge: edge.clone(), missed: self.missed });
        }
    }

    /// Does something with an open incident, and puts it away if that ended it.
    pub(super) fn with_case(
        &mut self,
        id: IncidentId,
        act: impl FnOnce(&mut Self, &mut Case),
    ) -> bool {
        let Some(mut case) = self.cases.remove(&id) else { return false };
        act(self, &mut case);
        if !case.state().is_over() {
            self.cases.insert(id, case);
            return true;
        }
        if self.closed.len() >= MAX_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(case.incident);
        true
    }

    /// Goes on as far as time and readings allow.
    pub(super) fn advance(&mut self, case: &mut Case, now: Timestamp) {
        // At most: proved, expired, probation over.
        for _ in 0..4 {
            let moved = match case.phase {
                Phase::Watching { ends } => self.watch_on(case, ends, now),
                Phase::Proving { expires } => self.prove(case, expires, now),
                Phase::Holding { expires } => self.hold_on(case, expires, now),
                Phase::Probation { ends } => self.probe(case, ends, now),
            };
            if !moved || case.state().is_over() {
                return;
            }
        }
    }

    fn watch_on(&mut self, case: &mut Case, ends: Timestamp, now: Timestamp) -> bool {
        if case.is_calm(now) {
            self.finish(case, IncidentState::Resolved);
        } else if self.is_permitted_now(case, now) {
            self.take_restricting(case, now);
        } else if case.room.is_some_and(|room| now >= room) {
            // Others were before it.
            case.wait_for(self.room_for(case, now));
        } else if now >= ends {
            let on = case.is_on(now);
            let end = if on { IncidentState::Escalated } else { IncidentState::Resolved };
            self.finish(case, end);
            if on {
                self.rest(case, false, now);
            }
        } else if !case.is_due(now) {
            return false;
        } else if case.has_improved() || case.waits_for_falling() {
            case.postpone(now);
        } else {
            self.take(case, case.step + 1, now);
        }
        true
    }

    fn prove(&mut self, case: &mut Case, expires: Timestamp, now: Timestamp) -> bool {
        let expired = self.is_expired(expires, now);
        let Some(effect) = case.effect(expired, now) else { return false };
        if effect != Effect::Effective && case.waits_for_falling() && !expired {
            case.postpone(now);
            return false;
        }
        self.tell_effect(case, effect);
        if effect == Effect::Effective {
            case.phase = Phase::Holding { expires };
            self.set_state(case, IncidentState::Measuring);
        } else {
            self.go_on(case, effect, now);
        }
        true
    }

    /// It did not help: undone, and the next step taken.
    fn go_on(&mut self, case: &mut Case, effect: Effect, now: Timestamp) {
        self.lift(case, End::Undone(effect));
        if case.next_step().is_some() {
            self.take(case, case.step + 1, now);
        } else {
            self.finish(case, IncidentState::Reverted);
            self.rest(case, false, now);
        }
    }

    fn hold_on(&mut self, case: &mut Case, expires: Timestamp, now: Timestamp) -> bool {
        if self.is_expired(expires, now) {
            self.lift(case, End::Expired);
            case.begin_probation(expires + case.probation());
            return true;
        }
        if !case.has_relapsed() {
            return false;
        }
        self.tell_effect(case, Effect::NoEffect);
        self.go_on(case, Effect::NoEffect, now);
        true
    }

    fn probe(&mut self, case: &mut Case, ends: Timestamp, now: Timestamp) -> bool {
        if now >= ends {
            self.finish(case, IncidentState::Resolved);
        } else if case.is_back() && self.is_lasting(case, now) {
            self.finish(case, IncidentState::Escalated);
            self.rest_until(case, false, now + LEARNT);
        } else if case.is_back() {
            case.ttl = (case.ttl * 2).min(LONGEST_REPEAT.max(case.reflex.ttl));
            self.take(case, case.step, now);
        } else {
            return false;
        }
        true
    }

    /// Whether a departure is a change that lasts, and is to become normal. A hard signal on the edge
    /// speaks against it, and so does that most of what it does fails.
    fn is_lasting(&self, case: &Case, now: Timestamp) -> bool {
        let hard = |id: &IncidentId| self.cases.get(id).is_some_and(Case::is_hard);
        let known = self.edges.get(&case.incident.edge);
        case.lasts(now) && known.is_some_and(|e| !e.failing && !e.cases.iter().any(hard))
    }

    #[cfg(not(test))]
    fn is_expired(&self, expires: Timestamp, now: Timestamp) -> bool {
        now >= expires
    }

    #[cfg(test)]
    fn is_expired(&self, expires: Timestamp, now: Timestamp) -> bool {
        now >= expires && !self.forgets_expiry
    }

    fn tell_effect(&mut self, case: &mut Case, effect: Effect) {
        let after = case.after();
        for action in &mut case.incident.actions {
            if action.state == ActionState::InForce {
                action.effect = Some(effect);
                let (action, before) = (Box::new(action.clone()), case.before);
                self.events.push(Event::Measured { action, effect, before, after });
            }
        }
    }

    /// Takes a step: all its actions at once.
    fn take(&mut self, case: &mut Case, step: usize, now: Timestamp) {
        case.begin(step, now);
        let actions = actions(&case.reflex, step);
        self.take_all(case, actions.iter(), now);
        let restricts = actions.iter().any(ActionKind::restricts);
        case.refused = restricts && matches!(case.phase, Phase::Watching { .. });
        if case.refused {
            case.wait_for(self.room_for(case, now));
        }
    }

    /// When `max_actions` permits another action, where it permits none now.
    fn room_for(&self, case: &Case, now: Timestamp) -> Option<Timestamp> {
        self.books.room_at(&self.plan.governor, &case.incident.edge, case.is_hard(), now)
    }

    /// Whether what the governor has refused is permitted by now, and still called for.
    fn is_permitted_now(&self, case: &Case, now: Timestamp) -> bool {
        let restricting = |kind: &&ActionKind| kind.restricts();
        let permitted = |kind: &ActionKind| self.permits(case, kind, now).is_ok();
        let step = &case.reflex.steps.get(case.step);
        // For room alone no further window is waited for.
        let called_for = case.is_loud() || (case.room.is_some() && case.is_loud_still(now));
        case.refused
            && called_for
            && !self.is_shared_now(case, now)
            && step.is_some_and(|s| s.actions.iter().filter(restricting).any(permitted))
    }

    /// Whether most siblings depart as an incident's edge does by now: when it was opened, theirs may
    /// not have been known.
    fn is_shared_now(&self, case: &Case, now: Timestamp) -> bool {
        let Incident { edge, feature, .. } = &case.incident;
        !case.is_hard() && feature.is_some_and(|feature| self.most_depart(edge, feature, now))
    }

    /// Takes those actions of a step that the governor had refused.
    fn take_restricting(&mut self, case: &mut Case, now: Timestamp) {
        case.begin(case.step, now);
        let actions = actions(&case.reflex, case.step);
        self.take_all(case, actions.iter().filter(|kind| kind.restricts()), now);
    }

    fn take_all<'a>(
        &mut self,
        case: &mut Case,
        kinds: impl Iterator<Item = &'a ActionKind>,
        now: Timestamp,
    ) {
        let mut restricted = false;
        for kind in kinds {
            restricted |= self.act(case, kind, now);
        }
        if restricted {
            case.phase = Phase::Proving { expires: now + case.ttl };
            self.set_state(case, IncidentState::Acting);
        } else {
            case.phase = Phase::Watching { ends: now + case.ttl.max(case.reflex.ttl) };
            self.set_state(case, IncidentState::Open);
        }
    }

    /// Lifts what an incident holds, and only watches it from now on.
    pub(super) fn stand_down(&mut self, case: &mut Case, why: Lift, now: Timestamp) {
        if case.in_force().next().is_some() {
            self.lift(case, End::Lifted(why));
        } else if matches!(case.phase, Phase::Watching { .. }) {
            return;
        }
        case.begin(case.step, now);
        case.phase = Phase::Watching { ends: now + case.ttl.max(case.reflex.ttl) };
        self.set_state(case, IncidentState::Open);
    }

    /// Lifts what breaks a cap now.
    pub(super) fn review(&mut self, now: Timestamp) {
        while let Some((id, why)) = self.books.broken(&self.plan.governor, &self.edges, now) {
            self.lift_one(id, Lift::Governor(why), now);
        }
    }

    /// Lifts a restriction and the others of its incident, which is only watched from now on.
    pub(super) fn lift_one(&mut self, id: ActionId, why: Lift, now: Timestamp) {
        let incident = self.books.holds.get(&id).map(|hold| hold.incident);
        if let Some(incident) = incident {
            self.with_case(incident, |control, case| control.stand_down(case, why, now));
        }
        self.books.holds.remove(&id);
    }

    /// Ends an incident that holds nothing any more.
    pub(super) fn finish(&mut self, case: &mut Case, state: IncidentState) {
        self.set_state(case, state);
        self.remember_told(case, state);
        if let Some(known) = self.edges.get_mut(&case.incident.edge) {
            known.cases.retain(|id| *id != case.incident.id);
        }
        if case.incident.shared {
            let until = self.now + COMES_BACK;
            for edge in std::iter::once(&case.incident.edge).chain(&case.incident.alike) {
                self.shares(edge, case.incident.feature, until);
            }
        }
    }

    /// Keeps the reflex from acting on the edge again so soon.
    pub(super) fn rest(&mut self, case: &Case, firm: bool, now: Timestamp) {
        self.rest_until(case, firm, now + case.reflex.ttl.min(LONGEST_REPEAT));
    }

    fn rest_until(&mut self, case: &Case, firm: bool, until: Timestamp) {
        if let Some(known) = self.edges.get_mut(&case.incident.edge) {
            known.rest(&case.incident.reflex, until, firm);
        }
    }

    fn set_state(&mut self, case: &mut Case, to: IncidentState) {
        let from = std::mem::replace(&mut case.incident.state, to);
        if from != to {
            debug_assert!(from.may_become(to), "{from} to {to}");
            let (incident, edge) = (case.incident.id, case.incident.edge.clone());
            self.events.push(Event::State { incident, edge, from, to });
        }
    }
}

fn actions(reflex: &Reflex, step: usize) -> Vec<ActionKind> {
    reflex.steps.get(step).map(|step| step.actions.clone()).unwrap_or_default()
}
