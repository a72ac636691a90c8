//! Whatever colluding callers do, the governor's share of callers stays unrestricted, and no
//! honest one is charged for them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use meshguard_core::baseline::EdgeKey;
use meshguard_testing::sim::{Attack, Caller, Defect, Load, Service, Sim, SimError};

use crate::dice::Dice;
use crate::town::ALLOW;

const CALM: Duration = Duration::from_secs(3);
const STRIFE: Duration = Duration::from_secs(5);
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

/// A service that cuts off for little, callers of whom some share an address, and of whom some
/// collude.
struct City {
    sim: Sim,
    orders: Service,
    /// With their addresses, if they are not behind the hop.
    callers: Vec<(Caller, Option<IpAddr>)>,
    colluding: usize,
    max_share: f64,
    min_peers: usize,
}

impl City {
    fn new(seed: u64, defect: Option<Defect>) -> Result<Self, SimError> {
        let mut dice = Dice(seed);
        let (max_share, min_peers) = (dice.of(&[0.1, 0.2, 0.25, 0.5]), dice.below(8));
        let mut sim = defect.map_or_else(|| Sim::new(seed), |d| Sim::with_defect(seed, d));
        let policy = policy(max_share, min_peers, &mut dice);
        let orders = sim.service("spiffe://shop.example/orders", &policy)?;
        let hop = sim.hop("spiffe://shop.example/edge")?;
        let count = 2 + dice.below(14);
        let addresses = 1 + count * (1 + dice.below(3)) / 2;
        let mut callers = Vec::new();
        for n in 0..count {
            let load = Load::new(orders, "GET /orders/7").rate(120.0);
            let address = IpAddr::from([10, 9, 0, dice.below(addresses) as u8]);
            let address = (dice.below(4) > 0).then_some(address);
            let load = address.map_or(load.clone().via(hop), |address| load.from(address));
            callers.push((sim.caller(&format!("spiffe://shop.example/c{n}"), load)?, address));
        }
        let colluding = 1 + dice.below(count) as usize;
        sim.run_for(CALM);
        let mut city =
            Self { sim, orders, callers, colluding, max_share, min_peers: min_peers as usize };
        for at in 0..colluding {
            let attack = city.attack_of(at, &mut dice);
            city.sim.attack(attack)?;
        }
        if dice.below(2) == 0 {
            city.sim.attack(Attack::truncates(hop, dice.of(&[0.1, 0.5, 1.0])))?;
        }
        Ok(city)
    }

    fn attack_of(&self, at: usize, dice: &mut Dice) -> Attack {
        let (caller, address) = self.callers[at];
        match dice.below(5) {
            0 => Attack::calls(caller, "DELETE /orders/7", 100.0),
            1 => Attack::forges(caller, 0.2),
            2 => Attack::handshakes(self.orders, address.unwrap_or(STRANGER), 200.0),
            _ => Attack::errors(caller, dice.of(&[0.2, 0.5, 1.0])),
        }
    }

    /// The callers that are restricted, or whose address is.
    fn restricted<'a>(&'a self, sim: &'a Sim) -> impl Iterator<Item = usize> + 'a {
        let control = sim.state(self.orders).control();
        let is = move |edge: &EdgeKey| control.restriction(edge).is_some();
        let callers = self.callers.iter().enumerate();
        let which = callers.filter(move |(_, (caller, address))| {
            is(&sim.edge(*caller)) || address.is_some_and(|at| is(&EdgeKey::Address(at)))
        });
        which.map(|(at, _)| at)
    }

    fn breaks_the_cap(&self, sim: &Sim) -> bool {
        let known = self.callers.len();
        let most = (self.max_share * known as f64 + 1e-6) as usize;
        let most = if known < self.min_peers { 0 } else { most };
        self.restricted(sim).count() > most
    }

    /// Whether somebody honest is restricted who shares no address with a colluding caller.
    fn wrongs_the_honest(&self, sim: &Sim) -> bool {
        let wicked = &self.callers[..self.colluding];
        let address = |at: usize| self.callers[at].1;
        let apart =
            |at| wicked.iter().all(|(_, theirs)| theirs.is_none() || *theirs != address(at));
        self.restricted(sim).any(|at| at >= self.colluding && apart(at))
    }

    /// How many restrictions took effect, if all went well.
    fn run(mut self) -> Result<usize, &'static str> {
        let mut sim = std::mem::replace(&mut self.sim, Sim::new(0));
        let wrong = |sim: &Sim| self.breaks_the_cap(sim) || self.wrongs_the_honest(sim);
        let ran = sim.run_until(wrong, STRIFE);
        if self.breaks_the_cap(&sim) {
            return Err("the cap is broken");
        }
        if self.wrongs_the_honest(&sim) {
            return Err("an honest caller is restricted");
        }
        assert_eq!(ran, Err(SimError::NotWithin(STRIFE)));
        assert!(self.callers.iter().all(|(caller, _)| sim.counts(*caller).balances()));
        Ok(crate::town::restrictions(sim.events()).len())
    }
}

fn policy(max_share: f64, min_peers: u64, dice: &mut Dice) -> String {
    let mut text = ALLOW.to_owned();
    for signal in ["errors", "refusals", "handshake_failures", "missing_receipts"] {
        let action = dice.of(&["\"quarantine\"", "{ tighten = { rate = \"5/s\" } }"]);
        text.push_str(&format!(
            "[[reflex]]\nname = \"{signal}\"\ndo = {action}\n\
             on = {{ signal = \"{signal}\", false_alarms = \"1 in 1 day\" }}\n"
        ));
    }
    text.push_str("[[reflex]]\nname = \"f\"\ndo = \"quarantine\"\non = { signal = \"forged\" }\n");
    let caps =
        format!("max_share = {max_share}\nmin_peers = {min_peers}\nmax_actions = \"1000/s\"");
    text + "[governor]\n" + &caps
}

/// How many restrictions took effect in all, or the first seed that failed.
fn all(seeds: std::ops::Range<u64>, defect: Option<Defect>) -> Result<usize, (u64, &'static str)> {
    let mut acted = 0;
    for seed in seeds {
        acted += City::new(seed, defect).unwrap().run().map_err(|why| (seed, why))?;
    }
    Ok(acted)
}

#[test]
fn colluding_callers_never_break_the_cap_nor_have_an_honest_one_restricted() {
    let seeds = 0..1_000;
    println!("seeds {seeds:?}");
    let acted = all(seeds, None).unwrap();
    println!("{acted} restrictions took effect");
    assert!(acted > 500, "the governor was hardly asked: {acted}");
}

#[test]
fn a_loop_without_its_governor_would_be_noticed() {
    let found = all(0..50, Some(Defect::NoGovernor));
    assert!(matches!(found, Err((_, "the cap is broken"))), "{found:?}");
}

#[test]
fn charging_callers_for_what_their_hop_did_would_be_noticed() {
    let found = all(0..50, Some(Defect::ChargesCallerForHop));
    assert!(matches!(found, Err((_, "an honest caller is restricted"))), "{found:?}");
}
