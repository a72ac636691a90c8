//! Shadow mode and the kill switch: nothing is enforced, and everything is told.

use std::time::Duration;

use meshguard_core::control::{Event, GovernorRefusal, Lift, Loop};
use meshguard_testing::sim::Attack;

use crate::town::{SEEDS, Town, reflex, restrictions};

const CUT: &str = "do = [\"alert\", \"quarantine\"]\nttl = \"1h\"";

#[test]
fn in_shadow_mode_nothing_is_enforced_and_everything_is_told() {
    for seed in SEEDS {
        let shadow = format!("{}[governor]\nmode = \"shadow\"", reflex("errors", CUT));
        let mut town = Town::new(seed, &shadow);
        let caller = town.callers[0];
        town.sim.attack(Attack::errors(caller, 0.3)).unwrap();
        town.sim.run_for(Duration::from_secs(30));
        let told = |which: &dyn Fn(&Event) -> bool| {
            town.sim.events().iter().any(|told| which(&told.event))
        };
        assert!(told(&|event| matches!(event, Event::Opened(_))));
        assert!(told(&|event| matches!(event, Event::Shadowed(_))));
        assert!(told(&|event| matches!(event, Event::Applied(_))), "the alert");
        assert_eq!(restrictions(town.sim.events()), []);
        assert_eq!(town.in_force(), []);
        assert_eq!(town.sim.counts(caller).lost(), 0);
        assert!(town.spared_the_honest());
    }
}

#[test]
fn the_kill_switch_lifts_all_and_holds_until_it_is_off() {
    for seed in SEEDS {
        let mut town = Town::new(seed, &reflex("errors", CUT));
        let (orders, caller) = (town.orders, town.callers[0]);
        town.sim.attack(Attack::errors(caller, 0.3)).unwrap();
        town.sim.run_for(Duration::from_secs(5));
        assert!(town.sim.restriction(orders, caller).is_some());
        town.sim.operate(orders, Loop::freeze);
        assert_eq!(town.in_force(), []);
        let lifted = |event: &Event| matches!(event, Event::Lifted { why: Lift::Frozen, .. });
        assert!(town.sim.events().iter().any(|told| lifted(&told.event)));
        let (before, told) = (town.sim.counts(caller), town.sim.events().len());
        town.sim.attack(Attack::errors(town.callers[1], 0.3)).unwrap();
        town.sim.run_for(Duration::from_secs(60));
        assert_eq!(town.sim.counts(caller).lost(), before.lost());
        assert_eq!(town.sim.counts(town.callers[1]).lost(), 0);
        let since: Vec<_> = town.sim.events()[told..].iter().map(|told| &told.event).collect();
        assert!(since.iter().any(|event| matches!(event, Event::Opened(_))));
        let refused =
            |event: &&Event| matches!(event, Event::Refused { why: GovernorRefusal::Frozen, .. });
        assert!(since.iter().any(refused), "{since:?}");
        town.sim.operate(orders, Loop::thaw);
        town.sim.run_for(Duration::from_secs(5));
        // What was refused meanwhile, and is still called for.
        assert!(town.sim.restriction(orders, town.callers[1]).is_some());
    }
}

#[test]
fn a_false_alarm_lets_the_caller_in_again() {
    for seed in SEEDS {
        let mut town = Town::new(seed, &reflex("errors", CUT));
        let (orders, caller) = (town.orders, town.callers[0]);
        let attack = town.sim.attack(Attack::errors(caller, 0.3)).unwrap();
        town.sim.run_for(Duration::from_secs(5));
        let id = town.sim.state(orders).control().incidents().next().map(|i| i.id).unwrap();
        town.sim.end(attack);
        town.sim.operate(orders, |state, now| state.false_alarm(id, now)).unwrap();
        let before = town.sim.counts(caller);
        town.sim.run_for(Duration::from_secs(5));
        let after = town.sim.counts(caller);
        assert_eq!(after.lost(), before.lost());
        assert!(after.let_in > before.let_in + 500);
    }
}
