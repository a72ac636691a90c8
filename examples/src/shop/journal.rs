//! What the loops of all services did, as it happened.

mod read;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::core::control::Effect;
use meshguard_axum::core::reflex::Signal;
use serde::Serialize;
use tokio::sync::watch;

/// Every step of every loop of the run.
#[derive(Debug)]
pub(super) struct Journal {
    steps: Mutex<Vec<Step>>,
    changed: watch::Sender<usize>,
}

/// One step of one service's loop.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) at: Instant,
    /// Whose loop.
    pub(super) service: &'static str,
    pub(super) edge: EdgeKey,
    pub(super) deed: Deed,
}

/// What was done.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// An incident was opened.
    Opened { incident: u64, reflex: String, signal: Signal, bits: f32, words: String },
    /// An action was taken.
    Taken { action: u64, incident: u64, kind: Kind, words: String },
    /// The governor refused an action.
    Refused { action: u64, incident: u64, kind: Kind, words: String, why: String },
    /// An action's effect was measured.
    Measured { action: u64, effect: Effect, before: String, after: String },
    /// An action ended; by itself where it held to its expiry.
    Ended { action: u64, how: String },
    /// An incident is over: how.
    Over(&'static str),
}

/// How much an action takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Alert,
    Tighten,
    Quarantine,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self { steps: Mutex::default(), changed: watch::Sender::new(0) }
    }

    pub(super) fn note(&self, service: &'static str, edge: &EdgeKey, deed: Deed) {
        let step = Step { at: Instant::now(), service, edge: edge.clone(), deed };
        let mut steps = self.lock();
        steps.push(step);
        self.changed.send_replace(steps.len());
    }

    /// All steps from the `from`th on.
    pub(super) fn steps(&self, from: usize) -> Vec<Step> {
        self.lock().get(from..).unwrap_or_default().to_vec()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Waits until the steps from the `from`th on are as `holds` wants them.
    pub(super) async fn until(&self, from: usize, holds: impl Fn(&[Step]) -> bool) {
        let mut changes = self.changed.subscribe();
        while !holds(self.lock().get(from..).unwrap_or_default()) {
            // An error would mean that the sender is gone, and it is a field of self.
            let _ = changes.changed().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Step>> {
        // Every change is whole before anything can panic.
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kind {
    /// Whether it restricts anybody.
    pub(super) fn restricts(self) -> bool {
        self > Self::Alert
    }
}

/// A step, as it stands in the report.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct StepRow {
    /// Seconds from the run's beginning.
    pub at_s: f64,
    /// Whose loop.
    pub service: &'static str,
    /// On which edge.
    pub edge: String,
    /// What was done.
    pub step: String,
}

impl Step {
    pub(super) fn row(&self, began: Instant) -> StepRow {
        let (service, edge) = (self.service, self.edge.to_string());
        let at_s = self.at.saturating_duration_since(began).as_secs_f64();
        StepRow { at_s, service, edge, step: self.deed.to_string() }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { reflex, signal, bits, words, .. } => {
                write!(f, "incident by {signal}, {bits:.1} bits ({reflex}): {words}")
            }
            Self::Taken { action, words, .. } => write!(f, "a-{action} {words}"),
            Self::Refused { action, words, why, .. } => {
                write!(f, "a-{action} {words}: the governor refuses it: {why}")
            }
            Self::Measured { action, effect, before, after } => {
                write!(f, "a-{action} {effect}: {before}, then {after}")
            }
            Self::Ended { action, how } => write!(f, "a-{action} {how}"),
            Self::Over(state) => write!(f, "incident {state}"),
        }
    }
}

/// The restrictions that these steps have begun and not ended.
pub(super) fn in_force<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<(&'static str, u64)> {
    let mut held = Vec::new();
    for step in steps {
        match step.deed {
            Deed::Taken { action, kind, .. } if kind.restricts() => {
                held.push((step.service, action));
            }
            Deed::Ended { action, .. } => held.retain(|held| *held != (step.service, action)),
            _ => {}
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_not_in_force_and_an_alert_never_was() {
        let journal = Journal::new();
        let edge = EdgeKey::Address([127, 0, 0, 66].into());
        let taken = |action, kind| Deed::Taken { action, incident: 1, kind, words: String::new() };
        journal.note("orders", &edge, taken(1, Kind::Alert));
        journal.note("orders", &edge, taken(2, Kind::Tighten));
        journal.note("orders", &edge, taken(3, Kind::Quarantine));
        journal.note("payments-1", &edge, taken(2, Kind::Tighten));
        journal.note("orders", &edge, Deed::Ended { action: 2, how: "expired".into() });
        assert_eq!(in_force(journal.steps(0).iter()), [("orders", 3), ("payments-1", 2)]);
        assert_eq!((journal.len(), journal.steps(3).len()), (5, 2));
    }
}
