//! What an action does is measured; what does not help is undone, and what does help ends.

use std::time::Duration;

use meshguard_core::Evidence;
use meshguard_core::control::{Effect, Event, IncidentState};
use meshguard_core::reflex::ActionKind;
use meshguard_testing::sim::{Attack, AttackId, Hop, Load, Sim};

use crate::town::{SEEDS, Town, applied, reflex, restrictions};

const TTL: Duration = Duration::from_secs(60);
/// A rate is no remedy against a share.
fn slow_then_cut(rate: &str) -> String {
    format!(
        "do = {{ tighten = {{ rate = \"{rate}\" }} }}\n\
         then = {{ after = \"5s\", do = \"quarantine\" }}\nttl = \"60s\""
    )
}

/// The first caller's calls fail, and something is in force on it.
fn failing(seed: u64, steps: &str) -> (Town, AttackId) {
    let mut town = Town::new(seed, &reflex("errors", steps));
    let attack = town.sim.attack(Attack::errors(town.callers[0], 0.3)).unwrap();
    let (orders, caller) = (town.orders, town.callers[0]);
    let acted = town.sim.run_until(|sim| sim.restriction(orders, caller).is_some(), TTL);
    acted.unwrap();
    (town, attack)
}

/// What was measured, in its order.
fn measured(town: &Town) -> Vec<(&'static str, Effect)> {
    let of = |event: &Event| match event {
        Event::Measured { action, effect, .. } => Some((action.kind.as_str(), *effect)),
        _ => None,
    };
    town.sim.events().iter().filter_map(|told| of(&told.event)).collect()
}

#[test]
fn what_does_not_help_is_undone_and_the_next_step_is_taken() {
    // The fewer calls are let in, the longer two windows take.
    for (rate, within) in [("150/s", 6), ("50/s", 6), ("10/s", 11)] {
        for seed in SEEDS {
            let (mut town, _) = failing(seed, &slow_then_cut(rate));
            town.sim.run_for(Duration::from_secs(20));
            let found = measured(&town);
            let [("tighten", first), ("quarantine", Effect::Effective)] = *found else {
                panic!("{rate}: {found:?}");
            };
            assert_ne!(first, Effect::Effective);
            let undone = |event: &Event| match event {
                Event::Undone { action, .. } => matches!(action.kind, ActionKind::Tighten(_)),
                _ => false,
            };
            let (begin, edge) = (Duration::ZERO, town.sim.edge(town.callers[0]));
            let undone = town.first(begin, undone).unwrap();
            let tightened = town.first(begin, applied(&edge, "tighten")).unwrap();
            let cut_off = town.first(begin, applied(&edge, "quarantine")).unwrap();
            println!("{rate}: {tightened:?}, {cut_off:?}");
            assert!(tightened < undone && undone <= cut_off);
            assert!(cut_off - tightened <= Duration::from_secs(within));
            assert!(town.spared_the_honest());
        }
    }
}

#[test]
fn what_helps_holds_to_its_expiry_and_after_a_clean_probation_nothing_is_in_force() {
    for seed in SEEDS {
        let (mut town, attack) = failing(seed, "do = \"quarantine\"\nttl = \"60s\"");
        let (orders, caller) = (town.orders, town.callers[0]);
        let until = town.sim.restriction(orders, caller).unwrap().until;
        town.sim.end(attack);
        let expired = town.sim.run_until(|sim| sim.restriction(orders, caller).is_none(), 2 * TTL);
        expired.unwrap();
        let late = town.sim.now().since(until);
        assert!(town.sim.now() >= until && late <= Duration::from_millis(100), "{late:?}");
        assert_eq!(measured(&town), [("quarantine", Effect::Effective)]);
        let let_in = town.sim.counts(caller).let_in;
        town.sim.run_for(TTL + Duration::from_secs(1));
        assert!(town.sim.counts(caller).let_in > let_in + 200 * 55);
        let incidents: Vec<_> = town.sim.state(orders).control().incidents().collect();
        assert!(matches!(&*incidents, [one] if one.state == IncidentState::Resolved));
        assert_eq!(town.in_force(), []);
        assert!(town.spared_the_honest());
    }
}

#[test]
fn a_rate_helps_against_a_rate() {
    for seed in SEEDS {
        let steps = "do = { tighten = { rate = \"200/s\" } }\nttl = \"60s\"";
        let mut town = Town::new(seed, &reflex("rate", steps));
        let caller = town.callers[0];
        town.sim.attack(Attack::rate(caller, 3.0)).unwrap();
        town.sim.run_for(Duration::from_secs(20));
        let before = town.sim.counts(caller);
        town.sim.run_for(Duration::from_secs(10));
        let after = town.sim.counts(caller);
        assert_eq!(measured(&town), [("tighten", Effect::Effective)]);
        assert!((1_999..=2_001).contains(&(after.let_in - before.let_in)), "{after:?}");
        assert!(after.restricted - before.restricted > 3_500, "{after:?}");
    }
}

#[test]
fn an_attack_that_outlasts_its_quarantine_is_cut_off_again() {
    for seed in SEEDS {
        let (mut town, _) = failing(seed, "do = \"quarantine\"\nttl = \"60s\"");
        town.sim.run_for(5 * TTL);
        let edge = town.sim.edge(town.callers[0]);
        let taken = restrictions(town.sim.events());
        assert!(taken.len() >= 2 && taken.iter().all(|(on, _)| *on == edge), "{taken:?}");
        // Each for twice as long, and let in for some windows only in between.
        let counts = town.sim.counts(town.callers[0]);
        assert!(counts.restricted > 9 * (counts.let_in - 1_000), "{counts:?}");
        assert!(town.spared_the_honest());
    }
}

#[test]
fn every_action_expires_whatever_goes_on() {
    for seed in SEEDS {
        let (mut town, attack) = failing(seed, &slow_then_cut("150/s"));
        for n in 0..50 {
            town.sim.run_for(Duration::from_secs(7));
            let now = town.sim.now();
            // No restriction is older than its end says; none ends later than an hour from now.
            for (edge, restriction) in town.in_force() {
                assert!(restriction.until > now, "{edge}");
                assert!(restriction.until.since(now) <= Duration::from_secs(3_600), "{edge}");
            }
            if n == 40 {
                town.sim.end(attack);
            }
        }
        town.sim.run_for(Duration::from_secs(600));
        assert_eq!(town.in_force(), []);
    }
}

/// Of a caller whose calls are like this and have led to this: how many are let in, and how many
/// are not, in ten seconds.
fn tightened(tighten: &str, like: impl Fn(Load, Hop) -> Load) -> (u64, u64) {
    let seed = SEEDS[0];
    let steps = format!(
        "do = {{ tighten = {{ {tighten} }} }}\n[[delivery]]\nmode = \"prefer\"\n\
         [trust]\nstart = 0.8"
    );
    let mut sim = Sim::new(seed);
    let hop = sim.hop("spiffe://shop.example/edge").unwrap();
    let reflexes = reflex("refusals", &steps);
    let load = |n, load| if n == 0 { like(load, hop) } else { load };
    let mut town = Town::of(sim, seed, &reflexes, load);
    let (orders, caller) = (town.orders, town.callers[0]);
    town.sim.run_for(Duration::from_secs(20));
    town.sim.attack(Attack::calls(caller, "DELETE /orders/7", 100.0)).unwrap();
    assert_eq!(town.sim.counts(caller).lost(), 0);
    town.sim.run_until(|sim| sim.restriction(orders, caller).is_some(), TTL).unwrap();
    let before = town.sim.counts(caller);
    town.sim.run_for(Duration::from_secs(1));
    let after = town.sim.counts(caller);
    assert!(town.spared_the_honest());
    (after.let_in - before.let_in, after.restricted - before.restricted)
}

#[test]
fn what_is_asked_of_a_caller_beyond_policy_is_asked_of_it_alone() {
    let proven = |load: Load, _| load;
    let through = |load: Load, hop| load.via(hop);
    let digest = |load: Load, _| load.evidence(Evidence::Digest);
    let all_pass = |(let_in, restricted): (u64, u64)| let_in > 100 && restricted == 0;
    let none_passes = |(let_in, restricted): (u64, u64)| let_in == 0 && restricted > 200;
    assert!(all_pass(tightened("direct = true", proven)));
    assert!(none_passes(tightened("direct = true", through)));
    assert!(all_pass(tightened("evidence = \"verified\"", proven)));
    assert!(none_passes(tightened("evidence = \"verified\"", digest)));
    // The incident itself costs half of the trust.
    assert!(all_pass(tightened("trust = 0.1", proven)));
    assert!(none_passes(tightened("trust = 0.6", proven)));
}
