//! What operators say.

use super::Control;
use super::act::End;
use super::case::Case;
use super::event::{Event, Lift};
use super::incident::{Incident, IncidentId, IncidentState};
use crate::baseline::EdgeKey;
use crate::identity::SpiffeId;
use crate::time::Timestamp;

impl Control {
    /// The incidents: those that are open, by their numbers, and then the last
    /// [`MAX_CLOSED`](super::MAX_CLOSED) that are over, the newest first.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.cases.values().map(|case| &case.incident).chain(self.closed.iter().rev())
    }

    /// One incident; `None` where it is not, or no longer, known.
    #[must_use]
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        let open = self.cases.get(&id).map(|case| &case.incident);
        open.or_else(|| self.closed.iter().find(|incident| incident.id == id))
    }

    /// It was a true one. `false`: no such incident is known.
    pub fn confirm(&mut self, id: IncidentId, now: Timestamp) -> bool {
        self.tick(now);
        let closed = self.closed.iter_mut().find(|incident| incident.id == id);
        let open = self.cases.get_mut(&id).map(|case| &mut case.incident);
        let Some(incident) = open.or(closed) else { return false };
        incident.confirmed = true;
        true
    }

    /// It was none: what was done is lifted, what it cost in trust is given back, and its reflex
    /// rests on that edge for its `ttl`, an hour at most. `false`: no such incident is known.
    pub fn false_alarm(&mut self, id: IncidentId, now: Timestamp) -> bool {
        let now = self.tick(now);
        if self.cases.contains_key(&id) {
            return self.with_case(id, |control, case| {
                control.trust.give_back(&case.incident.edge, case.incident.charge, now);
                control.acquit(case, Lift::FalseAlarm, IncidentState::FalseAlarm, now);
            });
        }
        let Some(incident) = self.closed.iter_mut().find(|incident| incident.id == id) else {
            return false;
        };
        let (from, to) = (incident.state, IncidentState::FalseAlarm);
        if from != to {
            incident.state = to;
            incident.confirmed = false;
            self.trust.give_back(&incident.edge, incident.charge, now);
            let edge = incident.edge.clone();
            self.events.push(Event::State { incident: id, edge, from, to });
        }
        true
    }

    /// Lifts all that is in force on an edge, and ends its incidents. Their reflexes rest there
    /// for their `ttl`, an hour at most. Gives how many incidents that were.
    pub fn release(&mut self, edge: &EdgeKey, now: Timestamp) -> usize {
        self.release_where(|key| key == edge, now)
    }

    /// As [`release`](Self::release), of all edges to one workload.
    pub fn release_peer(&mut self, peer: &SpiffeId, now: Timestamp) -> usize {
        self.release_where(|key| key.peer() == Some(peer), now)
    }

    fn release_where(&mut self, which: impl Fn(&EdgeKey) -> bool, now: Timestamp) -> usize {
        let now = self.tick(now);
        let ours = self.cases.iter().filter(|(_, case)| which(&case.incident.edge));
        let ids: Vec<_> = ours.map(|(id, _)| *id).collect();
        for id in &ids {
            self.with_case(*id, |control, case| {
                control.acquit(case, Lift::Released, IncidentState::Resolved, now);
            });
        }
        ids.len()
    }

    fn acquit(&mut self, case: &mut Case, why: Lift, state: IncidentState, now: Timestamp) {
        self.lift(case, End::Lifted(why));
        self.finish(case, state);
        self.rest(case, true, now);
    }

    /// The kill switch: lifts everything, and nothing new takes effect, what verdicts took of
    /// trust included. Alerts go on.
    pub fn freeze(&mut self, now: Timestamp) {
        let now = self.tick(now);
        self.frozen = true;
        self.enforce_trust();
        self.stand_all_down(Lift::Frozen, now);
    }

    /// Ends [`freeze`](Self::freeze). What was lifted stays so; the next verdict acts.
    pub fn thaw(&mut self, now: Timestamp) {
        self.tick(now);
        self.frozen = false;
        self.enforce_trust();
    }

    /// Whether the kill switch is on.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    pub(super) fn stand_all_down(&mut self, why: Lift, now: Timestamp) {
        let ids: Vec<_> = self.cases.keys().copied().collect();
        for id in ids {
            self.with_case(id, |control, case| control.stand_down(case, why, now));
        }
    }
}
