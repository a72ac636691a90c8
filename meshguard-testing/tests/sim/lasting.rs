//! A change that lasts becomes normal by itself.

use std::time::Duration;

use meshguard_testing::sim::Load;

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
