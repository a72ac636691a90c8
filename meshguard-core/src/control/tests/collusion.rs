//! The governor against callers that collude: what they do to others is bounded.

use std::time::Duration;

use super::super::Control;
use super::world::*;
use crate::baseline::{EdgeKey, Score};
use crate::reflex::Plan;

const SEEDS: u64 = 1_000;
const WINDOWS: usize = 30;

/// Callers `0..attackers` misbehave, and hide behind addresses of honest ones; the rest are
/// honest, and now and then look bad without being so.
struct Mesh {
    control: Control,
    max_share: f64,
    callers: usize,
    attackers: usize,
    random: Seeded,
}

fn mesh(seed: u64, counts_before: bool) -> Mesh {
    let mut random = Seeded(seed);
    let max_share = random.pick(&[0.05, 0.1, 0.2, 0.34]);
    let callers = 5 + random.below(35);
    let mut control = Control::new(eager(max_share));
    control.without_siblings = true;
    control.books.counts_before = counts_before;
    let attackers = random.below(callers / 2);
    Mesh { control, max_share: f64::from(max_share), callers, attackers, random }
}

/// Quarantines at the first sight of errors.
fn eager(max_share: f32) -> Plan {
    let mut plan = reflex("do='quarantine'\nttl='10s'");
    plan.governor.max_share = max_share;
    plan
}

impl Mesh {
    /// The largest share of the known callers that was honest and restricted.
    fn worst(&mut self) -> f64 {
        let mut worst: f64 = 0.0;
        let mut now = T0;
        for _ in 0..WINDOWS {
            now = now + Duration::from_secs(1);
            self.control.handle_timeout(now);
            for n in 0..self.callers {
                let score = self.score(n);
                self.control.handle_score(&caller(n), &score, now);
            }
            if self.random.chance(30) {
                let peers = self.random.below(4) as u32;
                let address = address(self.random.below(3) as u8);
                self.control.handle_score(&address, &Score { peers, ..errors(BITS) }, now);
            }
            if self.attackers > 0 && self.random.chance(10) {
                self.control.forget(&caller(self.random.below(self.attackers)));
            }
            worst = worst.max(self.share());
        }
        worst
    }

    fn score(&mut self, n: usize) -> Score {
        let bad = if n < self.attackers { 50 } else { 2 };
        errors(if self.random.chance(bad) { BITS } else { FEW })
    }

    fn share(&self) -> f64 {
        let honest = |edge: &&EdgeKey| (self.attackers..self.callers).any(|n| **edge == caller(n));
        let restricted = self.control.restrictions().map(|(edge, _)| edge);
        restricted.filter(honest).count() as f64 / self.control.edges.callers() as f64
    }
}

#[test]
fn colluding_callers_never_have_more_honest_ones_restricted_than_the_cap_allows() {
    let mut restricted = 0;
    for seed in 0..SEEDS {
        let mut mesh = mesh(seed, false);
        let worst = mesh.worst();
        assert!(worst <= mesh.max_share + 1e-6, "seed {seed}: {worst} of {}", mesh.max_share);
        restricted += usize::from(worst > 0.0);
    }
    assert!(restricted > 100, "honest callers were restricted in {restricted} seeds only");
}

#[test]
fn a_governor_that_counts_before_the_action_breaks_the_cap() {
    let broken = (0..100).filter(|seed| {
        let mut mesh = mesh(*seed, true);
        mesh.worst() > mesh.max_share + 1e-6
    });
    let broken = broken.count();
    assert!(broken >= 10, "{broken} of 100");
}
