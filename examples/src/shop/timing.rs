//! How long each part of a run takes.

use std::time::Duration;

/// The lengths that `--seconds` scales: these are for [`WHOLE`].
const WHOLE: Duration = Duration::from_secs(60);
const LEARNING: Duration = Duration::from_secs(12);
const FAULTS: Duration = Duration::from_secs(8);
/// Below this the loop has learnt too little to judge by.
const LEAST_LEARNING: Duration = Duration::from_secs(10);
/// Between two attacks.
const CALM: Duration = Duration::from_secs(2);
/// An attack lasts at least so long, and goes on until the loop has answered it,
const ATTACK: Duration = Duration::from_secs(2);
/// but no longer than this: then it was missed.
const PATIENCE: Duration = Duration::from_secs(8);
/// What was restricted is free again after so long, the reflexes' `ttl` doubled twice included.
const RELEASE: Duration = Duration::from_secs(15);

/// How long each part of one run takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// Calm, before all else: what is normal is learnt.
    pub(super) learning: Duration,
    /// The hops' faults, at least.
    pub(super) faults: Duration,
    pub(super) calm: Duration,
    pub(super) attack: Duration,
    pub(super) patience: Duration,
    pub(super) release: Duration,
}

impl Timing {
    /// For a run of about `length` in all. With no attack there is nothing to learn for.
    pub(super) fn of(length: Duration, attacks: bool, faults: bool) -> Self {
        let scale = length.as_secs_f64() / WHOLE.as_secs_f64();
        let learning = match attacks {
            true => LEARNING.mul_f64(scale).max(LEAST_LEARNING),
            false => Duration::from_millis(300),
        };
        let faults = match (faults, attacks) {
            (false, _) => Duration::ZERO,
            (true, true) => FAULTS.mul_f64(scale),
            (true, false) => length,
        };
        let (calm, attack, patience, release) = (CALM, ATTACK, PATIENCE, RELEASE);
        Self { learning, faults, calm, attack, patience, release }
    }
}
