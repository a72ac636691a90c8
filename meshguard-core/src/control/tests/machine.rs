//! Whatever comes, in whatever order: caps hold, actions end, states follow one another.
//!
//! Each case is a seed; a failure prints it, and `run(seed, Defect::None)` repeats it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Control, IncidentId};
use super::audit::{Audit, Auditor};
use super::world::*;
use crate::baseline::{EdgeKey, Feature, Score};
use crate::identity::SpiffeId;
use crate::reflex::{Mode, Plan, Rate, Signal};
use crate::time::Timestamp;

const SEEDS: u64 = 300;
const STEPS: usize = 250;

/// A fault that is seeded, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    None,
    /// The governor counts before the action.
    CountsBefore,
    /// Actions do not expire.
    ForgetsExpiry,
}

fn edges() -> Vec<EdgeKey> {
    let mut edges: Vec<EdgeKey> = (0..14).map(caller).collect();
    for (id, count) in [("x", 4), ("y", 2)] {
        edges.extend((0..count).map(|n| callee(id, &n.to_string())));
    }
    edges.extend((0..6).map(address));
    for n in 0..2 {
        let id = SpiffeId::try_from(format!("spiffe://a/h{n}")).unwrap();
        edges.extend([EdgeKey::HopIn(id.clone()), EdgeKey::HopOut(id)]);
    }
    edges
}

const REFLEXES: &str = "
    [[reflex]]
    name = 'ladder'
    on = { signal = 'errors', false_alarms = '1 in 30 days' }
    do = ['alert', { tighten = { rate = '10/s', direct = true } }]
    then = [{ after = '5s', unless = 'falling', do = 'quarantine' }, { after = '7s', do = 'alert' }]
    ttl = '40s'
    [[reflex]]
    name = 'any'
    on = { signal = 'any', false_alarms = '1 in 1h', for = '2s' }
    do = 'quarantine'
    ttl = '2m'
    [[reflex]]
    name = 'still'
    on = { signal = 'silence', false_alarms = '1 in 1 day' }
    do = 'alert'
    then = { after = '3s', do = { tighten = { rate = '1/s' } } }
    ttl = '20s'
    [[reflex]]
    name = 'revoked'
    on = { signal = 'revoked' }
    do = 'quarantine'
    ttl = '30m'
    [[reflex]]
    name = 'forged'
    on = { signal = 'forged' }
    do = { tighten = { trust = 0.6 } }
    then = { after = '4s', do = ['alert', 'quarantine'] }
    ttl = '1m'
";

fn random_plan(random: &mut Seeded) -> Plan {
    let mut plan = plan(REFLEXES);
    let governor = &mut plan.governor;
    governor.max_share = random.pick(&[0.0, 0.1, 0.25, 0.5, 1.0]);
    governor.min_healthy = random.pick(&[0.0, 0.3, 0.5, 1.0]);
    governor.min_peers = random.pick(&[0, 3, 12]);
    governor.min_calls = random.pick(&[0, 100, 5_000]);
    let per = Duration::from_secs(random.pick(&[1, 60]));
    governor.max_actions = Rate { count: random.pick(&[1, 6, 1_000]), per };
    governor.mode = if random.chance(10) { Mode::Shadow } else { Mode::Enforce };
    plan.reflexes.retain(|_| random.chance(90));
    plan
}

fn random_score(random: &mut Seeded) -> Score {
    let bits = random.pick(&[0.0, 1.0, 5.0, 9.0, 16.0, 22.0, 30.0, 60.0, f32::NAN, f32::INFINITY]);
    let score = match random.below(10) {
        0 | 1 => nothing(),
        2 => silence(bits),
        _ => errors(bits),
    };
    let seen = random.pick(&[0, 99, 100, 4_000, 100_000]);
    let windows_per_day = random.pick(&[864_000.0, 86_400.0, 86_400.0, 8_640.0, 0.0, f32::NAN]);
    let mut score = Score { seen, windows_per_day, peers: 0, ..score };
    if random.chance(5) {
        score.measures[Feature::Errors.index()].spreads = f32::NAN;
    }
    score
}

struct Run {
    control: Control,
    plan: Plan,
    random: Seeded,
    edges: Vec<EdgeKey>,
    now: Timestamp,
    auditor: Auditor,
}

impl Run {
    fn new(seed: u64, defect: Defect) -> Self {
        let mut random = Seeded(seed);
        let plan = random_plan(&mut random);
        let mut control = Control::new(plan.clone());
        control.books.counts_before = defect == Defect::CountsBefore;
        control.forgets_expiry = defect == Defect::ForgetsExpiry;
        Self { control, plan, random, edges: edges(), now: T0, auditor: Auditor::default() }
    }

    fn edge(&mut self) -> EdgeKey {
        // A few edges meet most of what comes, so that incidents go on.
        let bound = if self.random.chance(60) { 4 } else { self.edges.len() };
        let at = self.random.below(bound);
        self.edges[(at * 7) % self.edges.len()].clone()
    }

    fn step(&mut self) -> Audit {
        let edge = self.edge();
        match self.random.below(100) {
            0..60 => self.score(&edge),
            60..64 => {
                let signals = [Signal::Revoked, Signal::Forged, Signal::Contradiction, Signal::Any];
                let signal = self.random.pick(&signals);
                self.control.handle_signal(&edge, signal, "random", self.now);
            }
            64..66 => self.control.handle_deliveries(&edge, 1_000, self.now),
            66..68 => {
                self.control.forget(&edge);
                self.auditor.scored.remove(&edge);
                self.auditor.peers.remove(&edge);
            }
            68..92 => self.pass()?,
            _ => self.operate(&edge),
        }
        self.auditor.look(&mut self.control, &self.plan, self.now)
    }

    fn score(&mut self, edge: &EdgeKey) {
        let mut score = random_score(&mut self.random);
        if matches!(edge, EdgeKey::Address(_)) {
            score.peers = self.random.pick(&[0, 0, 0, 1, 3]);
            self.auditor.peers.insert(edge.clone(), (score.peers, self.now));
        }
        self.auditor.scored.insert(edge.clone(), self.now);
        self.control.handle_score(edge, &score, self.now);
    }

    fn operate(&mut self, edge: &EdgeKey) {
        let newest = self.control.incidents().map(|i| i.id.0).max().unwrap_or(0);
        let id = IncidentId(newest.saturating_sub(self.random.below(5) as u64));
        let now = self.now;
        match self.random.below(9) {
            0 => _ = self.control.false_alarm(id, now),
            1 => _ = self.control.confirm(id, now),
            2 => _ = self.control.release(edge, now),
            3 => _ = edge.peer().map(|id| self.control.release_peer(id, now)),
            4 if self.random.chance(30) => self.control.freeze(now),
            5 => {
                self.plan = random_plan(&mut self.random);
                self.control.set_plan(self.plan.clone(), now);
            }
            _ => self.control.thaw(now),
        }
    }

    /// Lets time pass. Timers fire when they say.
    fn pass(&mut self) -> Audit {
        let secs = self.random.pick(&[0, 1, 1, 1, 2, 5, 10, 40, 130, 4_000]);
        self.pass_to(self.now + Duration::from_secs(secs))
    }

    fn pass_to(&mut self, until: Timestamp) -> Audit {
        while let Some(at) = self.control.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.control.handle_timeout(self.now);
            self.auditor.look(&mut self.control, &self.plan, self.now)?;
            if self.control.poll_timeout().is_some_and(|next| next <= self.now) {
                return Err("a timer does not go on".to_owned());
            }
        }
        self.now = until;
        Ok(())
    }

    /// Nothing comes any more: all that is open ends, and all that is in force.
    fn end(&mut self) -> Audit {
        // An hour at most in force, and another one on probation.
        self.pass_to(self.now + Duration::from_secs(3 * 3_600))?;
        let open = self.control.incidents().filter(|i| !i.state.is_over()).count();
        if open > 0 || self.control.restrictions().next().is_some() {
            return Err(format!("{open} incidents never end"));
        }
        Ok(())
    }
}

fn run(seed: u64, defect: Defect) -> Result<BTreeMap<&'static str, usize>, String> {
    let mut run = Run::new(seed, defect);
    (0..STEPS).try_for_each(|_| run.step())?;
    run.end()?;
    Ok(run.auditor.met)
}

#[test]
fn whatever_comes_caps_hold_actions_end_and_states_follow_one_another() {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..SEEDS {
        let ran = run(seed, Defect::None).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        ran.iter().for_each(|(name, count)| *met.entry(name).or_default() += count);
    }
    for name in [
        "opened",
        "told",
        "applied",
        "shadowed",
        "undone",
        "expired",
        "lifted",
        "effective",
        "no effect",
        "worse",
        "open",
        "acting",
        "measuring",
        "resolved",
        "escalated",
        "reverted",
        "false alarm",
        "frozen",
        "hop",
        "not applicable",
        "min_calls",
        "min_peers",
        "max_share",
        "last instance",
        "min_healthy",
        "max_actions",
    ] {
        assert!(met.get(name).is_some_and(|count| *count >= 20), "{name}: {met:?}");
    }
}

#[test]
fn a_governor_that_counts_before_the_action_is_found() {
    let found = (0..50).filter(|seed| run(*seed, Defect::CountsBefore).is_err()).count();
    assert!(found >= 10, "{found} of 50");
}

#[test]
fn an_expiry_that_is_forgotten_is_found() {
    let found = (0..50).filter(|seed| run(*seed, Defect::ForgetsExpiry).is_err()).count();
    assert!(found >= 10, "{found} of 50");
}
