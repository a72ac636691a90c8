//! Actions: taken where the governor permits, lifted, merged to what is in force.

use super::action::{Action, ActionId, ActionState, Effect};
use super::case::Case;
use super::event::{Event, Lift};
use super::governor::GovernorRefusal;
use super::incident::Incident;
use super::restriction::{Hold, Restriction, narrowed};
use super::trust::Verdict;
use super::{Control, MAX_ACTIONS};
use crate::baseline::EdgeKey;
use crate::reflex::{ActionKind, Mode, Signal};
use crate::time::Timestamp;

/// Why a restriction ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Undone(Effect),
    Expired,
    Lifted(Lift),
}

impl Control {
    /// Takes one action; whether it restricts the edge, or would.
    pub(super) fn act(&mut self, case: &mut Case, kind: &ActionKind, now: Timestamp) -> bool {
        self.last_action += 1;
        let kind = narrowed(kind, &case.incident.edge).unwrap_or_else(|| kind.clone());
        let mut action = case.action(ActionId(self.last_action), kind, now);
        let mut permit = self.permits(case, &action.kind, now);
        while let Err(why) = permit
            && self.make_room(case, why, now)
        {
            permit = self.permits(case, &action.kind, now);
        }
        let restricts = permit.is_ok() && action.kind.restricts();
        if restricts {
            let shadow = self.plan.governor.mode == Mode::Shadow;
            action.state = if shadow { ActionState::Shadow } else { ActionState::InForce };
            action.expires = now + case.ttl;
        }
        let told = Box::new(action.clone());
        self.events.push(match (permit, action.state) {
            (Err(why), _) => Event::Refused { action: told, why },
            (Ok(()), ActionState::Shadow) => Event::Shadowed(told),
            (Ok(()), _) => Event::Applied(told),
        });
        if restricts {
            self.hold(case, &action, now);
        }
        keep(&mut case.incident, action);
        restricts
    }

    fn hold(&mut self, case: &mut Case, action: &Action, now: Timestamp) {
        let hold = Hold {
            incident: case.incident.id,
            edge: action.edge.clone(),
            kind: action.kind.clone(),
            expires: action.expires,
            shadow: action.state == ActionState::Shadow,
            hard: case.is_hard(),
            weight: case.weight(),
        };
        self.books.take(action.id, hold, now);
        if let Some(known) = self.edges.get_mut(&action.edge) {
            known.failing = true;
        }
        self.merge(&action.edge);
        if action.kind == ActionKind::Quarantine {
            self.charge(case, Verdict::Certain, now);
        }
    }

    /// Lifts another restriction where one that comes before it finds its place taken; whether there
    /// was one.
    fn make_room(&mut self, case: &Case, why: GovernorRefusal, now: Timestamp) -> bool {
        use GovernorRefusal::{LastInstance, Share, TooFewInstances};
        let place = matches!(why, Share { .. } | TooFewInstances { .. } | LastInstance);
        let gives = place.then(|| self.books.gives_way(&self.edges, case)).flatten();
        let Some(id) = gives else { return false };
        let freed = self.books.holds.get(&id).map(|hold| hold.edge.clone());
        self.lift_one(id, Lift::Displaced, now);
        // It is called again, whatever it answers.
        if let Some(known) = freed.and_then(|edge| self.edges.get_mut(&edge)) {
            known.failing = false;
        }
        true
    }

    /// Whether an action may be taken now; an alert may always.
    pub(super) fn permits(
        &self,
        case: &Case,
        kind: &ActionKind,
        now: Timestamp,
    ) -> Result<(), GovernorRefusal> {
        let edge = &case.incident.edge;
        if !kind.restricts() {
            return Ok(());
        }
        if self.frozen {
            return Err(GovernorRefusal::Frozen);
        }
        if matches!(edge, EdgeKey::HopIn(_) | EdgeKey::HopOut(_)) {
            return Err(GovernorRefusal::Hop);
        }
        if narrowed(kind, edge).is_none() {
            return Err(GovernorRefusal::NotApplicable);
        }
        if let Some(why) = case.harmless() {
            return Err(why);
        }
        if self.changes.explain(edge, case.incident.feature, now) {
            return Err(GovernorRefusal::Planned);
        }
        self.books.permit(&self.plan.governor, &self.edges, edge, case.is_hard(), now)
    }

    /// Ends all that an incident holds.
    pub(super) fn lift(&mut self, case: &mut Case, end: End) {
        for action in &mut case.incident.actions {
            let shadow = action.state == ActionState::Shadow;
            if !shadow && action.state != ActionState::InForce {
                continue;
            }
            self.books.holds.remove(&action.id);
            action.state = match end {
                End::Undone(_) => ActionState::Undone,
                End::Expired => ActionState::Expired,
                End::Lifted(_) => ActionState::Lifted,
            };
            if shadow {
                continue; // nothing has ended that ever was
            }
            let action = Box::new(action.clone());
            self.events.push(match end {
                End::Undone(why) => Event::Undone { action, why },
                End::Expired => Event::Expired(action),
                End::Lifted(why) => Event::Lifted { action, why },
            });
        }
        let edge = case.incident.edge.clone();
        self.merge(&edge);
    }

    /// Merges what is in force on an edge.
    fn merge(&mut self, edge: &EdgeKey) {
        let ours = |(_, hold): &(&ActionId, &Hold)| hold.edge == *edge && !hold.shadow;
        let holds = self.books.holds.iter().filter(ours).map(|(id, hold)| (*id, hold));
        let merged = Restriction::merge(holds);
        let old = match merged {
            Some(merged) => self.restrictions.insert(edge.clone(), merged),
            None => self.restrictions.remove(edge),
        };
        self.revision += u64::from(old != merged);
    }

    /// An incident costs trust, but only of `max_share` of the callers at a time, or of one:
    /// else a fault of our own would make everybody untrusted.
    pub(super) fn charge_opening(&mut self, case: &mut Case, now: Timestamp) {
        // A certificate is not its identity: others that have it may be as honest as ever.
        if case.incident.signal == Signal::Revoked {
            return;
        }
        if case.is_hard() {
            return self.charge(case, Verdict::Certain, now);
        }
        if case.harmless().is_some() {
            return;
        }
        let edge = &case.incident.edge;
        let share = f64::from(self.plan.governor.max_share) * self.edges.callers() as f64;
        let caller = matches!(edge, EdgeKey::Caller(_));
        if !caller || self.trust.lowered(edge) < (share as usize).max(1) {
            self.charge(case, Verdict::Surprise(case.over()), now);
        }
    }

    fn charge(&mut self, case: &mut Case, verdict: Verdict, now: Timestamp) {
        if !self.trust.enforced {
            return;
        }
        let amount = self.trust.charge(&case.incident.edge, verdict, now);
        case.incident.charge.add(amount, now);
    }
}

fn keep(incident: &mut Incident, action: Action) {
    if incident.actions.len() >= MAX_ACTIONS {
        let over = |a: &Action| !matches!(a.state, ActionState::InForce | ActionState::Shadow);
        if let Some(at) = incident.actions.iter().position(over) {
            incident.actions.remove(at);
        }
    }
    incident.actions.push(action);
}
