//! What the scorer claims: steps are found and named, clean edges stay quiet, slow ramps are
//! caught, nobody can teach it quietly, and what it keeps is bounded.
//!
//! Everything random is drawn from one seed, which each test prints; `BASELINE_SEED` sets another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
#![allow(clippy::disallowed_methods)] // the seed may come from the environment
#![allow(unreachable_pub)] // shared among the files of one test

#[path = "baseline/random.rs"]
mod random;
#[path = "baseline/traffic.rs"]
mod traffic;

#[path = "baseline/alarms.rs"]
mod alarms;
#[path = "baseline/drift.rs"]
mod drift;
#[path = "baseline/feedback.rs"]
mod feedback;
#[path = "baseline/keeping.rs"]
mod keeping;
#[path = "baseline/seasons.rs"]
mod seasons;
#[path = "baseline/silence.rs"]
mod silence;
#[path = "baseline/steps.rs"]
mod steps;
#[path = "baseline/strangers.rs"]
mod strangers;

use meshguard_core::baseline::{Baselines, EdgeKey, Settings};
use traffic::Traffic;

/// What all of a test is drawn from.
fn seed() -> u64 {
    let seed =
        std::env::var("BASELINE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_126);
    println!("seed {seed}");
    seed
}

fn caller(i: u64) -> EdgeKey {
    EdgeKey::Caller(format!("spiffe://shop.example/caller-{i}").parse().unwrap())
}

fn address(i: u64) -> EdgeKey {
    EdgeKey::Address(format!("198.51.{}.{}", i / 200 % 200, i % 200).parse().unwrap())
}

/// A machine that has seen so many windows of this edge.
fn learnt(edge: &EdgeKey, traffic: &mut Traffic, windows: u32) -> Baselines {
    let mut baselines = Baselines::new(Settings::default());
    teach(&mut baselines, edge, traffic, windows);
    baselines
}

fn teach(baselines: &mut Baselines, edge: &EdgeKey, traffic: &mut Traffic, windows: u32) {
    for _ in 0..windows {
        baselines.handle_window(edge, &traffic.window(), true);
    }
}
