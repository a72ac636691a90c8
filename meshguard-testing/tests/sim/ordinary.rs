//! Days on which nothing is wrong, or what is wrong is nobody's fault that the loop could cut off: no
//! honest caller loses a call, and no instance that answers is cut off. And the attack that is hidden
//! in such a day is acted on all the same.

mod fleet;
mod situations;

use std::collections::BTreeMap;
use std::time::Duration;

use self::fleet::{Fleet, Outcome};
use self::situations::SITUATIONS;

/// Runs every situation on these seeds, calm and with its attack; prints the table.
fn table(seeds: std::ops::Range<u64>) {
    println!(
        "| situation | honest calls lost | instances cut off | incidents, at most | attacks acted on | later than on a calm day, at most |"
    );
    println!("|---|---|---|---|---|---|");
    let (mut wrong, mut usual) = (Vec::new(), BTreeMap::new());
    for (name, situation) in SITUATIONS {
        let mut all = Outcome::default();
        for seed in seeds.clone() {
            let calm = Fleet::run(seed, *situation, false);
            let mut attacked = Fleet::run(seed, *situation, true);
            // Later than on a calm day.
            let after = attacked.after;
            attacked.after = after.saturating_sub(*usual.entry(seed).or_insert(after));
            all.add(&calm);
            all.add(&attacked);
        }
        let Outcome { lost, cut, incidents, attacks, seen, after } = all;
        println!("| {name} | {lost} | {cut} | {incidents} | {seen} of {attacks} | {after:?} |");
        if lost > 0 || cut > 0 || incidents > 1 || seen < attacks || after > LATEST {
            wrong.push(*name);
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// Two windows later than on a calm day: of 50 calls, 20 a second on a holiday; and what they wait
/// for their siblings'.
const LATEST: Duration = Duration::from_secs(7);

#[test]
fn ordinary_days_cost_nobody_honest_a_call_and_hide_no_attack() {
    table(0..3);
}

#[test]
#[ignore = "minutes"]
fn ordinary_days_of_a_hundred_seeds_cost_nobody_honest_a_call_and_hide_no_attack() {
    table(0..100);
}
