//! A change that lasts becomes normal by itself; what a minute of trouble shows does not.

use std::time::Duration;

use meshguard_core::control::Event;
use meshguard_testing::sim::{Load, Sim};

use crate::town::{SEEDS, Town, reflex};

const HOUR: Duration = Duration::from_secs(3_600);

/// The first caller is restricted for it in the first hour after a change, and not in the next two.
fn is_let_in(seed: u64, signal: &str, change: impl FnOnce(Load) -> Load) {
    let mut town = Town::new(seed, &reflex(signal, "do = \"quarantine\""));
    let (orders, caller) = (town.orders, town.callers[0]);
    town.sim.change(caller, change).unwrap();
    let second = Duration::from_secs(1);
    let [first, next, last] = std::array::from_fn(|_| {
        let mut restricted = Duration::ZERO;
        for _ in 0..HOUR.as_secs() {
            town.sim.run_for(second);
            restricted += second * u32::from(town.sim.restriction(orders, caller).is_some());
        }
        restricted
    });
    let others = town.callers[1..].iter();
    assert!(others.into_iter().all(|other| town.sim.counts(*other).lost() == 0));
    println!("{signal}: {first:?}, {next:?}, {last:?}");
    assert!(first > HOUR / 3, "nothing was done: the test shows nothing");
    assert_eq!([next, last], [Duration::ZERO; 2]);
}

#[test]
fn a_release_that_fails_a_twentieth_for_good_is_let_in_within_the_hour() {
    is_let_in(SEEDS[0], "errors", |load| load.errors(0.05));
}

#[test]
fn so_is_one_that_calls_three_times_as_often() {
    is_let_in(SEEDS[1], "rate", |load| load.rate(600.0));
}

/// All callers fail a tenth of their calls for a minute: it is told, nobody is restricted, and it is not
/// usual afterwards. Then one of them fails, `later` or at once, as it would have been seen before.
fn is_seen_after_a_minute_of_trouble(seed: u64, later: Option<Duration>) {
    let mut town = Town::new(seed, &reflex("errors", "do = \"quarantine\""));
    town.sim.run_for(HOUR / 6);
    for caller in &town.callers {
        town.sim.change(*caller, |load| load.errors(0.1)).unwrap();
    }
    town.sim.run_for(HOUR / 60);
    if let Some(later) = later {
        for caller in &town.callers {
            town.sim.change(*caller, |load| load.errors(0.0)).unwrap();
        }
        town.sim.run_for(later);
    }
    let incidents = town.sim.events().iter().filter(|e| matches!(e.event, Event::Opened(_)));
    assert_eq!(incidents.count(), 1, "one cause");
    let (orders, caller) = (town.orders, town.callers[0]);
    assert!(town.callers.iter().all(|caller| town.sim.counts(*caller).lost() == 0));
    town.sim.change(caller, |load| load.errors(0.4)).unwrap();
    let cut_off = |sim: &Sim| sim.restriction(orders, caller).is_some_and(|r| r.quarantine);
    town.sim.run_until(cut_off, Duration::from_secs(5)).unwrap();
}

#[test]
fn who_fails_by_itself_is_seen_during_a_minute_in_which_all_fail() {
    is_seen_after_a_minute_of_trouble(SEEDS[0], None);
}

#[test]
fn who_fails_by_itself_is_seen_after_a_minute_in_which_all_failed() {
    is_seen_after_a_minute_of_trouble(SEEDS[0], Some(HOUR / 60));
    is_seen_after_a_minute_of_trouble(SEEDS[1], Some(HOUR));
}

/// Trouble that goes on beyond the reflex's `ttl` is told once, however many callers have it.
#[test]
fn an_hour_of_trouble_of_all_is_told_once() {
    let mut town = Town::new(SEEDS[0], &reflex("errors", "do = \"quarantine\""));
    town.sim.run_for(HOUR / 6);
    for caller in &town.callers {
        town.sim.change(*caller, |load| load.errors(0.3)).unwrap();
    }
    town.sim.run_for(HOUR);
    let incidents = town.sim.events().iter().filter(|e| matches!(e.event, Event::Opened(_)));
    assert_eq!(incidents.count(), 1);
    assert!(town.callers.iter().all(|caller| town.sim.counts(*caller).lost() == 0));
}
