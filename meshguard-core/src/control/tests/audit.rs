//! What holds at every step, told from the events and from what is in force alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::edges::KNOWN_FOR;
use super::super::{Action, ActionId, ActionState, Control, Event, IncidentId, IncidentState};
use crate::baseline::EdgeKey;
use crate::reflex::{Governor, Mode, Plan};
use crate::time::Timestamp;

const HOUR: Duration = Duration::from_secs(3_600);

/// Breaks of a rule are `Err`, so that a seeded defect can be seen to break one.
pub(super) type Audit = Result<(), String>;

/// What an onlooker remembers.
#[derive(Default)]
pub(super) struct Auditor {
    incidents: BTreeMap<IncidentId, IncidentState>,
    in_force: BTreeMap<ActionId, Action>,
    /// By what has a count of its own: an address or a peer, and a hard signal or none.
    taken: BTreeMap<(bool, bool), Vec<Timestamp>>,
    last_action: u64,
    pub(super) scored: BTreeMap<EdgeKey, Timestamp>,
    /// Callers behind an address, as of its last score.
    pub(super) peers: BTreeMap<EdgeKey, (u32, Timestamp)>,
    /// How many events there were of a kind, so that nothing holds because nothing happens.
    pub(super) met: BTreeMap<&'static str, usize>,
}

fn rule(holds: bool, broken: impl FnOnce() -> String) -> Audit {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Auditor {
    /// Takes up what happened, and looks at what is in force.
    pub(super) fn look(&mut self, control: &mut Control, plan: &Plan, now: Timestamp) -> Audit {
        while let Some(event) = control.poll_event() {
            self.event(&event, plan, now)?;
        }
        self.restrictions(control, plan, now)?;
        self.known(control, now)?;
        self.peers.retain(|_, (_, at)| now.since(*at) <= KNOWN_FOR);
        caps(control, &plan.governor, &self.peers)?;
        incidents(control)?;
        for (edge, trust) in control.trusted() {
            rule((0.0..=1.0).contains(&trust), || format!("{edge}: trust {trust}"))?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event, plan: &Plan, now: Timestamp) -> Audit {
        *self.met.entry(name(event)).or_default() += 1;
        match event {
            Event::Opened(incident) => {
                let newest = self.incidents.keys().next_back().is_none_or(|id| *id < incident.id);
                rule(newest, || format!("{} is not new", incident.id))?;
                self.incidents.insert(incident.id, incident.state);
            }
            Event::Joined { incident, edge, .. } => {
                let known = self.incidents.contains_key(incident);
                rule(known, || format!("{edge} joined {incident}, which is not known"))?;
            }
            Event::State { incident, from, to, .. } => {
                let was = self.incidents.insert(*incident, *to);
                rule(was == Some(*from), || format!("{incident} was {was:?}, not {from}"))?;
                rule(from.may_become(*to), || format!("{incident} went from {from} to {to}"))?;
            }
            Event::Applied(action) => return self.applied(action, plan, now),
            Event::Shadowed(action) | Event::Refused { action, .. } => self.number(action)?,
            Event::Measured { action, .. } => {
                let held = self.in_force.contains_key(&action.id);
                rule(held, || format!("{} was measured, and is not in force", action.id))?;
            }
            Event::Undone { action, .. }
            | Event::Expired(action)
            | Event::Lifted { action, .. } => {
                let held = self.in_force.remove(&action.id);
                rule(held.is_some(), || format!("{} ended, and was not in force", action.id))?;
            }
            Event::Full { .. } | Event::Gap { .. } => {}
        }
        Ok(())
    }

    fn number(&mut self, action: &Action) -> Audit {
        let last = std::mem::replace(&mut self.last_action, action.id.0);
        rule(action.id.0 > last, || format!("{} is not new", action.id))
    }

    fn applied(&mut self, action: &Action, plan: &Plan, now: Timestamp) -> Audit {
        self.number(action)?;
        if action.state == ActionState::Told {
            return Ok(());
        }
        self.in_force.insert(action.id, action.clone());
        let cap = plan.governor.max_actions;
        let address = matches!(action.edge, EdgeKey::Address(_));
        let taken = self.taken.entry((address, !address && action.moves.is_hard())).or_default();
        taken.push(now);
        let recent = taken.iter().filter(|at| now.since(**at) < cap.per).count();
        rule(recent <= cap.count as usize, || format!("{recent} actions within {:?}", cap.per))
    }

    fn restrictions(&self, control: &Control, plan: &Plan, now: Timestamp) -> Audit {
        let longest = plan.reflexes.iter().map(|r| r.ttl).max().unwrap_or_default().max(HOUR);
        for action in self.in_force.values() {
            let length = action.expires.since(action.since);
            rule(length <= longest, || format!("{} holds for {length:?}", action.id))?;
            rule(action.expires > now, || format!("{} outlives its expiry", action.id))?;
        }
        let held: BTreeSet<_> = self.in_force.values().map(|action| &action.edge).collect();
        let restricted: BTreeSet<_> = control.restrictions().map(|(edge, _)| edge).collect();
        rule(held == restricted, || format!("{held:?} is held, {restricted:?} restricted"))?;
        let idle = control.is_frozen() || plan.governor.mode == Mode::Shadow;
        rule(!idle || restricted.is_empty(), || "frozen or in shadow, and it acts".to_owned())
    }

    /// An edge counts as known only where it was scored, or had an open incident, of late.
    fn known(&mut self, control: &Control, now: Timestamp) -> Audit {
        let late = KNOWN_FOR + Duration::from_secs(61);
        for (edge, at) in &mut self.scored {
            if control.is_open(edge) {
                *at = (*at).max(now - KNOWN_FOR);
            }
            let known = control.edges.is_scored(edge);
            rule(!known || now.since(*at) <= late, || format!("{edge} is still known"))?;
        }
        Ok(())
    }
}

/// The caps, counted without the governor.
fn caps(control: &Control, caps: &Governor, peers: &BTreeMap<EdgeKey, (u32, Timestamp)>) -> Audit {
    let scored = |edge: &EdgeKey| control.edges.is_scored(edge);
    let is_caller = |edge: &EdgeKey| matches!(edge, EdgeKey::Caller(_));
    let restricted: Vec<&EdgeKey> = control.restrictions().map(|(edge, _)| edge).collect();
    let callers = restricted.iter().filter(|edge| is_caller(edge)).count();
    let behind = restricted.iter().filter_map(|edge| peers.get(*edge));
    let behind: u32 = behind.map(|(peers, _)| peers).sum();
    let unscored = restricted.iter().filter(|edge| is_caller(edge) && !scored(edge)).count();
    let known = control.edges.callers() as usize + unscored;
    let concerned = callers + behind as usize;
    if concerned > 0 {
        let share = concerned as f64 / known as f64;
        let enough = control.edges.callers() >= u64::from(caps.min_peers);
        let within = share <= f64::from(caps.max_share) + 1e-5 && enough;
        rule(within, || format!("{concerned} of {known} callers are restricted"))?;
    }
    for edge in restricted {
        match edge {
            EdgeKey::Callee { id, .. } => {
                let free = |edge: &&EdgeKey| control.restriction(edge).is_none();
                let left = control.edges.healthy(id, control.now).filter(free).count();
                let ours =
                    |edge: &EdgeKey| matches!(edge, EdgeKey::Callee { id: of, .. } if of == id);
                let known = left + control.restrictions().filter(|(edge, _)| ours(edge)).count();
                let enough = left as f64 / known as f64 >= f64::from(caps.min_healthy) - 1e-5;
                rule(left > 0 && enough, || format!("{left} of {known} instances are left"))?;
            }
            EdgeKey::HopIn(_) | EdgeKey::HopOut(_) => return Err(format!("{edge} is restricted")),
            _ => {}
        }
    }
    Ok(())
}

fn incidents(control: &Control) -> Audit {
    let mut open = BTreeSet::new();
    for incident in control.incidents() {
        let over = incident.state.is_over();
        let first = over || open.insert((incident.edge.clone(), incident.reflex.clone()));
        rule(first, || format!("{} is a second one", incident.id))?;
        rule(over || control.is_open(&incident.edge), || format!("{} is lost", incident.id))?;
    }
    Ok(())
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Opened(_) => "opened",
        Event::Joined { .. } => "joined",
        Event::State { to, .. } => to.as_str(),
        Event::Applied(action) if action.state == ActionState::Told => "told",
        Event::Applied(_) => "applied",
        Event::Shadowed(_) => "shadowed",
        Event::Refused { why, .. } => why.as_str(),
        Event::Measured { effect, .. } => effect.as_str(),
        Event::Undone { .. } => "undone",
        Event::Expired(_) => "expired",
        Event::Lifted { .. } => "lifted",
        Event::Full { .. } => "full",
        Event::Gap { .. } => "gap",
    }
}
