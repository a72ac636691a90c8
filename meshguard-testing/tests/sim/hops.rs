//! What a hop does is never held against those behind it, and a quarantine behind a hop leaves
//! the others there untouched.

use std::time::Duration;

use meshguard_core::SpiffeId;
use meshguard_core::baseline::EdgeKey;
use meshguard_core::control::{Event, GovernorRefusal};
use meshguard_testing::sim::{Attack, Defect, Hop, Load, Sim};

use crate::town::{SEEDS, TWO_WINDOWS, Town, applied, reflex, restrictions};

const EDGE: SpiffeId = SpiffeId::from_static("spiffe://shop.example/edge");
const CALM: Duration = Duration::from_secs(20);

/// Cuts everybody off for the least of signs.
const TRIGGER_HAPPY: &str = r#"
    [[reflex]]
    name = "errors"
    on = { signal = "errors", false_alarms = "1 in 1 day" }
    do = "quarantine"
    [[reflex]]
    name = "receipts"
    on = { signal = "missing_receipts", false_alarms = "1 in 1 day" }
    do = "quarantine"
    [[reflex]]
    name = "forged"
    on = { signal = "forged" }
    do = "quarantine"
    [governor]
    max_share = 1.0
    min_peers = 1
    max_actions = "1000/s"
"#;

/// All callers but the last two come through one hop, and hold streams open.
fn behind_a_hop(seed: u64, reflexes: &str, defect: Option<Defect>) -> (Town, Hop) {
    let mut sim = defect.map_or_else(|| Sim::new(seed), |defect| Sim::with_defect(seed, defect));
    let hop = sim.hop(EDGE.as_str()).unwrap();
    let town = Town::of(sim, seed, reflexes, |n, load| {
        let load = load.streams(3);
        if n < 8 { load.via(hop) } else { load }
    });
    (town.warmed(seed), hop)
}

/// Whether one caller behind the hop is cut off with all that it has open, and the others there
/// with nothing.
fn only_the_wicked_one_is_cut_off(seed: u64, defect: Option<Defect>) -> Result<(), &'static str> {
    let (mut town, _) = behind_a_hop(seed, &reflex("errors", "do = \"quarantine\""), defect);
    let (orders, wicked) = (town.orders, town.callers[0]);
    town.sim.attack(Attack::errors(wicked, 0.3)).unwrap();
    town.sim.run_for(TWO_WINDOWS);
    if !town.sim.restriction(orders, wicked).is_some_and(|r| r.quarantine) {
        return Err("the wicked one is not cut off");
    }
    let cut = town.sim.counts(wicked);
    town.sim.run_for(CALM);
    let after = town.sim.counts(wicked);
    if cut.cut < 3 || after.let_in != cut.let_in || after.restricted < cut.restricted + 3_000 {
        return Err("the wicked one goes on");
    }
    if !town.spared_the_honest() {
        return Err("an honest one has lost something");
    }
    assert_eq!(restrictions(town.sim.events()), [(town.sim.edge(wicked), "quarantine")]);
    Ok(())
}

#[test]
fn a_quarantine_behind_a_hop_leaves_the_hops_other_callers_untouched() {
    for seed in SEEDS {
        only_the_wicked_one_is_cut_off(seed, None).unwrap();
    }
}

#[test]
fn ending_everything_that_came_through_the_hop_would_be_noticed() {
    for seed in SEEDS {
        let found = only_the_wicked_one_is_cut_off(seed, Some(Defect::EndsAllThroughHop));
        assert_eq!(found, Err("an honest one has lost something"));
    }
}

/// Whether the hop's damage is held against the hop and nobody else.
fn the_hop_alone_is_charged(seed: u64, defect: Option<Defect>) -> Result<(), &'static str> {
    let (mut town, hop) = behind_a_hop(seed, TRIGGER_HAPPY, defect);
    for share in [0.01, 0.1, 0.9] {
        let attack = town.sim.attack(Attack::truncates(hop, share)).unwrap();
        town.sim.run_for(Duration::from_secs(20));
        town.sim.end(attack);
        town.sim.run_for(CALM);
    }
    if !restrictions(town.sim.events()).is_empty() || !town.spared_the_honest() {
        return Err("somebody honest is restricted");
    }
    // That most callers depart alike would spare them all the same.
    let blamed = |event: &Event| match event {
        Event::Opened(incident) => matches!(incident.edge, EdgeKey::Caller(_)),
        _ => false,
    };
    if town.sim.events().iter().any(|told| blamed(&told.event)) {
        return Err("somebody honest is blamed");
    }
    let spared = |event: &Event| match event {
        Event::Refused { action, why } => {
            action.edge == EdgeKey::HopIn(EDGE) && *why == GovernorRefusal::Hop
        }
        _ => false,
    };
    let failed: u64 = town.callers[..8].iter().map(|c| town.sim.counts(*c).failed).sum();
    assert!(failed > 10_000, "{failed}");
    match town.sim.events().iter().any(|told| spared(&told.event)) {
        true => Ok(()),
        false => Err("the hop was not noticed"),
    }
}

#[test]
fn a_truncating_hop_never_gets_an_honest_principal_quarantined() {
    for seed in SEEDS {
        the_hop_alone_is_charged(seed, None).unwrap();
    }
}

#[test]
fn charging_the_caller_for_what_the_hop_did_would_be_noticed() {
    for seed in SEEDS {
        let found = the_hop_alone_is_charged(seed, Some(Defect::ChargesCallerForHop));
        assert!(found.is_err(), "{seed}");
    }
}

#[test]
fn what_may_have_been_forged_by_a_hop_is_no_proof_against_the_caller() {
    for seed in SEEDS {
        let (mut town, _) = behind_a_hop(seed, TRIGGER_HAPPY, None);
        let (through, direct) = (town.callers[0], town.callers[9]);
        town.sim.attack(Attack::forges(through, 0.1)).unwrap();
        town.sim.attack(Attack::forges(direct, 0.1)).unwrap();
        town.sim.run_for(CALM);
        let edge = town.sim.edge(direct);
        assert!(town.first(Duration::ZERO, applied(&edge, "quarantine")).is_some());
        let taken = restrictions(town.sim.events());
        assert!(taken.iter().all(|(on, _)| *on == edge), "{taken:?}");
        assert!(town.spared_the_honest());
    }
}

#[test]
fn a_hop_that_no_policy_names_carries_nobody() {
    let mut sim = Sim::new(7);
    let hop = sim.hop("spiffe://shop.example/unknown").unwrap();
    let mut town = Town::of(sim, 7, "", |_, load| load.via(hop));
    town.sim.run_for(CALM);
    for caller in &town.callers {
        let counts = town.sim.counts(*caller);
        assert!(counts.made > 1_000 && counts.refused == counts.made, "{counts:?}");
    }
}

#[test]
fn a_storm_from_a_hops_address_cuts_nobody_behind_it_off() {
    for seed in SEEDS {
        let reflexes = reflex("handshake_failures", "do = \"quarantine\"");
        let mut sim = Sim::new(seed);
        let hop = sim.hop(EDGE.as_str()).unwrap();
        let behind = |n, load: Load| if n < 8 { load.via(hop) } else { load };
        let often = |n, load: Load| behind(n, load.reconnect(Duration::from_secs(5)));
        let mut town = Town::of(sim, seed, &reflexes, often).warmed(seed);
        town.sim.run_for(Duration::from_secs(20));
        // The address that nobody knows how many stand behind.
        let readings = town.sim.state(town.orders).readings();
        let shared: Vec<EdgeKey> = readings
            .filter(|(_, reading)| reading.window.peers == u32::MAX)
            .map(|(edge, _)| edge.clone())
            .collect();
        let [EdgeKey::Address(std::net::IpAddr::V4(addr))] = shared[..] else {
            panic!("{shared:?}")
        };
        town.sim.attack(Attack::handshakes(town.orders, addr.octets(), 200.0)).unwrap();
        town.sim.run_for(Duration::from_secs(600));
        assert_eq!(town.in_force(), []);
        assert!(town.spared_the_honest());
    }
}
