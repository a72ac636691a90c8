//! A gateway with its callers, and the instances that it calls.

use std::cell::OnceCell;
use std::sync::OnceLock;
use std::time::Duration;

use meshguard_core::baseline::EdgeKey;
use meshguard_core::control::Event;
use meshguard_core::reflex::ActionKind;
use meshguard_testing::sim::{Attack, Caller, Load, Service, Sim};

use super::situations::Situation;
use crate::documented;

pub const CALLERS: usize = 12;
pub const INSTANCES: usize = 3;
/// Instances that situations add.
pub const SPARE: usize = 27;
/// What is normal is known by then.
const WARM_UP: Duration = Duration::from_secs(3_000);
/// Then the situation begins; the attack this much later.
const HIDDEN: Duration = Duration::from_secs(12);
/// How long a situation goes on.
const LASTS: Duration = Duration::from_secs(90);

fn policy() -> String {
    let reflexes = documented::reflexes();
    let rule = "[[allow]]\nname = \"callers-read\"\nhttp = [\"GET /orders/{id}\"]\n";
    format!("mesh = \"shop.example\"\nversion = 1\n{rule}{reflexes}")
}

pub struct Fleet {
    pub sim: Sim,
    pub gateway: Service,
    pub orders: Vec<Service>,
    pub callers: Vec<Caller>,
    pub calls: Caller,
    seed: u64,
}

/// What came of runs, added up; of incidents the most in one.
#[derive(Debug, Default)]
pub struct Outcome {
    pub lost: u64,
    pub cut: usize,
    pub incidents: usize,
    pub attacks: usize,
    pub seen: usize,
    pub after: Duration,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.cut += other.cut;
        self.incidents = self.incidents.max(other.incidents);
        self.attacks += other.attacks;
        self.seen += other.seen;
        self.after = self.after.max(other.after);
    }
}

impl Fleet {
    fn cold(seed: u64) -> Self {
        let mut sim = Sim::new(seed);
        let gateway = sim.service("spiffe://shop.example/gateway", &policy()).unwrap();
        let allow = "mesh = \"shop.example\"\nversion = 1\n[[allow]]\nname = \"all\"\n";
        let orders =
            (0..INSTANCES + SPARE).map(|_| sim.service("spiffe://shop.example/orders", allow));
        let orders: Vec<_> = orders.map(Result::unwrap).collect();
        // The last ones are added by a situation.
        orders[INSTANCES..].iter().for_each(|spare| sim.stop(*spare));
        let load = Load::new(gateway, "GET /orders/7").rate(100.0).errors(0.002);
        let callers = (0..CALLERS).map(|n| {
            let rate = [60.0, 100.0, 160.0][n % 3];
            sim.caller(&format!("spiffe://shop.example/caller-{n}"), load.clone().rate(rate))
        });
        let callers = callers.map(Result::unwrap).collect();
        let out = Load::new(orders[0], "GET /orders/7").rate(600.0);
        let out = orders[1..].iter().fold(out, |load, other| load.and(*other));
        let calls = sim.outbound(gateway, out).unwrap();
        Self { sim, gateway, orders, callers, calls, seed }
    }

    fn warm(seed: u64) -> Self {
        let mut fleet = Self::cold(seed);
        let learnt = learnt();
        let gateway = fleet.gateway;
        fleet.sim.operate(gateway, |state, _| state.baselines_mut().restore(learnt)).unwrap();
        fleet.sim.run_for(Duration::from_secs(20));
        fleet
    }

    /// Goes through a situation, with its attack or without.
    pub fn run(seed: u64, situation: Situation, attacked: bool) -> Outcome {
        let mut fleet = Self::warm(seed);
        let begins = fleet.sim.elapsed();
        let before = fleet.sim.events().len();
        let attack = OnceCell::new();
        let mut second = 0;
        while fleet.sim.elapsed() - begins < LASTS {
            situation(&mut fleet, second);
            if attacked && fleet.sim.elapsed() - begins >= HIDDEN && attack.get().is_none() {
                fleet.sim.attack(fleet.attack()).unwrap();
                let _ = attack.set(fleet.sim.elapsed());
            }
            fleet.sim.run_for(Duration::from_secs(1));
            second += 1;
        }
        let seen = attack.get().map(|begun| fleet.acted_on_attacker(*begun));
        let honest = fleet.sim.honest().map(|caller| fleet.sim.counts(caller).restricted);
        let lost = honest.sum();
        let edge = fleet.sim.edge(fleet.attacker());
        let told = &fleet.sim.events()[before..];
        let cut = told.iter().filter(|told| fleet.restricts_honest(&told.event, &edge)).count();
        let opened = told.iter().filter(|told| match &told.event {
            Event::Opened(incident) => incident.edge != edge,
            _ => false,
        });
        let mut causes: Vec<_> = opened
            .filter_map(|told| match &told.event {
                Event::Opened(incident) => Some(incident.reflex.clone()),
                _ => None,
            })
            .collect();
        let all = causes.len();
        causes.sort();
        causes.dedup();
        // At most one a cause.
        let incidents = 1 + all.saturating_sub(causes.len().max(1)) - usize::from(all == 0);
        if cut > 0 || lost > 0 || incidents > 1 || seen == Some(None) {
            println!("seed {}, attacked {attacked}: cut {cut}, lost {lost}", fleet.seed);
            told.iter().for_each(|told| {
                println!("  {:?} {}", told.at.since(fleet.sim.now() - LASTS), told.event);
            });
        }
        Outcome {
            lost,
            cut,
            incidents,
            attacks: usize::from(seen.is_some()),
            seen: usize::from(matches!(seen, Some(Some(_)))),
            after: seen.flatten().unwrap_or_default(),
        }
    }

    pub const fn seed_of_attacker(&self) -> usize {
        self.seed as usize % CALLERS
    }

    pub fn attacker(&self) -> Caller {
        self.callers[self.seed_of_attacker()]
    }

    /// What is hidden in the situation.
    fn attack(&self) -> Attack {
        match self.seed % 3 {
            0 => Attack::errors(self.attacker(), 0.4),
            1 => Attack::unconfirmed(self.attacker(), 0.4),
            _ => Attack::forges(self.attacker(), 0.05),
        }
    }

    fn acted_on_attacker(&self, begun: Duration) -> Option<Duration> {
        let edge = self.sim.edge(self.attacker());
        let acted = |event: &Event| match event {
            Event::Applied(action) => action.kind != ActionKind::Alert && action.edge == edge,
            _ => false,
        };
        let since = |at| (self.sim.elapsed() - self.sim.now().since(at)).checked_sub(begun);
        let told = self.sim.events().iter().filter(|told| acted(&told.event));
        told.filter_map(|told| since(told.at)).next()
    }

    /// Whether an event restricts somebody who is not the attacker.
    fn restricts_honest(&self, event: &Event, attacker: &EdgeKey) -> bool {
        match event {
            Event::Applied(action) => {
                action.kind != ActionKind::Alert
                    && action.edge != *attacker
                    && !self.is_sick(&action.edge)
            }
            _ => false,
        }
    }

    /// Whether it is an instance that a situation has made sick: to cut that off is right.
    fn is_sick(&self, edge: &EdgeKey) -> bool {
        edge == &self.sim.callee(self.orders[0])
    }
}

/// What the gateway has learnt in the warm-up, learnt once.
fn learnt() -> &'static [u8] {
    static LEARNT: OnceLock<Vec<u8>> = OnceLock::new();
    LEARNT.get_or_init(|| {
        let mut fleet = Fleet::cold(7);
        fleet.sim.run_for(WARM_UP);
        fleet.sim.state(fleet.gateway).baselines().snapshot()
    })
}
