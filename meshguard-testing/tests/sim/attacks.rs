//! Each attack leads to the action that its reflex names, within two windows of its begin.

use std::net::Ipv4Addr;
use std::time::Duration;

use meshguard_core::baseline::EdgeKey;
use meshguard_core::control::Event;
use meshguard_testing::sim::{Attack, SimError};

use crate::town::{SEEDS, TWO_WINDOWS, Town, applied, reflex, restrictions};

const NOWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// Answers are missed when they are overdue, at the driver's next second.
const RECEIPTS_OVERDUE: Duration = Duration::from_secs(11);
const QUARANTINE: &str = "do = [\"alert\", \"quarantine\"]";

/// What an attack by, or on, the first caller leads to, and how soon.
fn leads_to(
    signal: &str,
    (action, kind): (&str, &str),
    within: Duration,
    attack: impl Fn(&Town) -> (EdgeKey, Attack),
) {
    for seed in SEEDS {
        let mut town = Town::new(seed, &reflex(signal, action));
        let (edge, attack) = attack(&town);
        let begin = town.sim.elapsed();
        town.sim.attack(attack).unwrap();
        town.sim.run_for(within);
        let took = town.first(begin, applied(&edge, kind));
        println!("{signal}: {kind} after {took:?}");
        assert!(took.is_some(), "{:#?}", town.sim.events());
        let taken = restrictions(town.sim.events());
        assert!(taken.iter().all(|(on, _)| *on == edge), "{taken:?}");
        assert_eq!(taken.len(), usize::from(kind != "alert"), "{taken:?}");
        assert!(town.spared_the_honest());
    }
}

fn by_caller(attack: impl Fn(&Town) -> Attack) -> impl Fn(&Town) -> (EdgeKey, Attack) {
    move |town| (town.sim.edge(town.callers[0]), attack(town))
}

#[test]
fn a_storm_of_handshakes_is_slowed_down() {
    let action = ("do = { tighten = { rate = \"10/s\" } }", "tighten");
    leads_to("handshake_failures", action, TWO_WINDOWS, |town| {
        let edge = EdgeKey::Address(NOWHERE.into());
        (edge, Attack::handshakes(town.orders, NOWHERE, 200.0))
    });
}

#[test]
fn a_burst_of_errors_is_cut_off() {
    let attack = by_caller(|town| Attack::errors(town.callers[0], 0.2));
    leads_to("errors", (QUARANTINE, "quarantine"), TWO_WINDOWS, attack);
}

#[test]
fn three_times_the_rate_is_slowed_down() {
    let action = ("do = { tighten = { rate = \"200/s\" } }", "tighten");
    leads_to("rate", action, TWO_WINDOWS, by_caller(|town| Attack::rate(town.callers[0], 3.0)));
}

#[test]
fn silence_is_told() {
    // How long none has ever lasted is known least well.
    let within = Duration::from_secs(6);
    let attack = by_caller(|town| Attack::silence(town.callers[0]));
    leads_to("silence", ("do = \"alert\"", "alert"), within, attack);
}

#[test]
fn missing_receipts_are_acted_on_within_two_windows_of_being_overdue() {
    let attack = by_caller(|town| Attack::unconfirmed(town.callers[0], 0.2));
    let within = RECEIPTS_OVERDUE + TWO_WINDOWS;
    leads_to("missing_receipts", (QUARANTINE, "quarantine"), within, attack);
}

#[test]
fn calls_outside_of_intent_are_cut_off() {
    let attack = by_caller(|town| Attack::calls(town.callers[0], "DELETE /orders/7", 40.0));
    leads_to("refusals", (QUARANTINE, "quarantine"), TWO_WINDOWS, attack);
}

#[test]
fn a_stolen_credential_is_noticed_by_its_rate_and_by_its_bytes() {
    for signal in ["any", "rate", "request_bytes"] {
        let attack = by_caller(|town| Attack::stolen(town.callers[0], NOWHERE));
        leads_to(signal, (QUARANTINE, "quarantine"), TWO_WINDOWS, attack);
    }
}

#[test]
fn a_forged_record_on_a_direct_connection_is_acted_on_at_once() {
    for seed in SEEDS {
        let forged = "[[reflex]]\nname = \"f\"\non = { signal = \"forged\" }\ndo = \"quarantine\"";
        let mut town = Town::new(seed, forged);
        let (orders, caller) = (town.orders, town.callers[0]);
        town.sim.attack(Attack::forges(caller, 0.05)).unwrap();
        let before = town.sim.counts(caller).failed;
        let forged = |town: &Town| town.sim.counts(caller).failed - before > 0;
        while !forged(&town) {
            town.sim.run_for(Duration::from_millis(100));
        }
        assert!(town.sim.restriction(orders, caller).is_some_and(|r| r.quarantine));
        assert!(town.spared_the_honest());
    }
}

#[test]
fn a_normal_day_leads_to_no_action() {
    // The attack of the tests above that is none.
    for signal in ["errors", "handshake_failures", "rate", "silence", "missing_receipts"] {
        for seed in SEEDS {
            let mut town = Town::new(seed, &reflex(signal, QUARANTINE));
            town.sim.attack(Attack::errors(town.callers[0], 0.0)).unwrap();
            town.sim.run_for(RECEIPTS_OVERDUE + TWO_WINDOWS);
            assert!(!town.sim.events().iter().any(|told| matches!(told.event, Event::Opened(_))));
        }
    }
}

#[test]
fn what_is_waited_for_in_vain_is_an_error() {
    let mut town = Town::cold(1, "");
    let limit = Duration::from_secs(3);
    assert_eq!(town.sim.run_until(|_| false, limit), Err(SimError::NotWithin(limit)));
    assert_eq!(town.sim.elapsed(), limit);
}

#[test]
fn a_storm_from_an_address_that_nobody_knows_is_acted_on_at_any_rate() {
    for seed in SEEDS {
        for rate in [5.0, 20.0, 60.0, 200.0] {
            let mut town = Town::new(seed, &reflex("handshake_failures", "do = \"quarantine\""));
            town.sim.attack(Attack::handshakes(town.orders, [10, 9, 9, 9], rate)).unwrap();
            // The governor wants a hundred handshakes first.
            town.sim.run_for(Duration::from_secs(45));
            let address = EdgeKey::Address([10, 9, 9, 9].into());
            let held = town.in_force();
            assert!(matches!(&*held, [(edge, _)] if **edge == address), "{rate}/s: {held:?}");
            assert!(town.spared_the_honest());
        }
    }
}
