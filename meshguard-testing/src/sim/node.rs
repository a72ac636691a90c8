//! One service: its policy, its loop, and how far that is enforced.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use meshguard_core::baseline::{EdgeKey, Settings};
use meshguard_core::control::{Cadence, Event, Loop};
use meshguard_core::reflex::{Plan, Signal};
use meshguard_core::{Policy, SpiffeId, Timestamp};

use super::gate::Gate;
use super::rng::Rng;
use super::shape::Shape;
use super::tally::Tally;

/// Answers whose receipts have not come for so long are counted as unconfirmed.
pub(super) const RECEIPT_DUE: Duration = Duration::from_secs(10);
/// What needs no haste is done so often.
const SECOND: Duration = Duration::from_secs(1);

/// What a turn of the loop came to.
#[derive(Debug, Default)]
pub(super) struct Turned {
    pub(super) events: Vec<Event>,
    /// Callers that are cut off from now on.
    pub(super) cut: Vec<SpiffeId>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: SpiffeId,
    pub(super) instance: Box<str>,
    pub(super) policy: Policy,
    pub(super) state: Loop,
    pub(super) gate: Gate,
    pub(super) tallies: Vec<Tally>,
    /// The share of calls that it fails.
    pub(super) sick: f64,
    /// So many times as long as usual it takes for a call.
    pub(super) slow: f64,
    pub(super) stopped: bool,
    /// A fault: an address on which something is in force is shut to those it is known for.
    pub(super) shuts_known: bool,
    /// What calls are like that it is slow at.
    slowed: Vec<(Arc<Shape>, f64, Arc<Shape>)>,
    places: BTreeMap<EdgeKey, usize>,
    cadence: Cadence,
    /// Receipts that are missed then, by tally.
    overdue: VecDeque<(Timestamp, usize, u64)>,
    /// The revision that is enforced.
    enforced: u64,
    rested: Timestamp,
    rng: Rng,
}

impl Node {
    pub(super) fn new(
        (id, instance): (SpiffeId, Box<str>),
        policy: Policy,
        plan: Plan,
        (settings, cadence): (Settings, Cadence),
        rng: Rng,
    ) -> Self {
        Self {
            id,
            instance,
            policy,
            state: Loop::new(settings, plan),
            gate: Gate::default(),
            tallies: Vec::new(),
            sick: 0.0,
            slow: 1.0,
            stopped: false,
            slowed: Vec::new(),
            shuts_known: false,
            places: BTreeMap::new(),
            cadence,
            overdue: VecDeque::new(),
            enforced: u64::MAX,
            rested: Timestamp::EPOCH,
            rng,
        }
    }

    /// Where an edge is counted.
    pub(super) fn place(&mut self, key: EdgeKey) -> usize {
        let next = self.tallies.len();
        let place = *self.places.entry(key.clone()).or_insert(next);
        if place == next {
            self.tallies.push(Tally::new(key));
        }
        place
    }

    /// What calls of this sort are like here.
    pub(super) fn slowed(&mut self, shape: Arc<Shape>) -> Arc<Shape> {
        if self.slow == 1.0 {
            self.slowed.clear();
            return shape;
        }
        let same =
            |(of, slow, _): &&(Arc<Shape>, f64, _)| Arc::ptr_eq(of, &shape) && *slow == self.slow;
        if let Some((.., slowed)) = self.slowed.iter().find(same) {
            return Arc::clone(slowed);
        }
        let slowed = Arc::new(shape.slower(self.slow));
        self.slowed.push((shape, self.slow, Arc::clone(&slowed)));
        slowed
    }

    /// Receipts that will not come.
    pub(super) fn unconfirmed(&mut self, tally: usize, count: u64, now: Timestamp) {
        if count > 0 {
            self.overdue.push_back((now, tally, count));
        }
    }

    /// One turn of the loop, as a service's driver turns it.
    pub(super) fn turn(&mut self, now: Timestamp) -> Turned {
        if self.stopped {
            return Turned::default();
        }
        for tally in &mut self.tallies {
            tally.look(&mut self.state, &self.cadence, &mut self.rng, &self.policy, now);
        }
        self.state.handle_timeout(now);
        let rested = now.since(self.rested) >= SECOND;
        let turned = self.enforce(rested, now);
        if rested {
            self.rested = now;
            self.find_overdue(now);
        }
        turned
    }

    /// Something that needs no statistics has happened on an edge: acted on at once.
    pub(super) fn signal(
        &mut self,
        edge: &EdgeKey,
        signal: Signal,
        detail: &str,
        now: Timestamp,
    ) -> Turned {
        self.state.handle_signal(edge, signal, detail, now);
        self.enforce(false, now)
    }

    /// Puts into force what is.
    pub(super) fn enforce(&mut self, refresh_trust: bool, now: Timestamp) -> Turned {
        let events = std::iter::from_fn(|| self.state.poll_event()).collect();
        let revision = self.state.control().revision();
        let changed = revision != self.enforced;
        let mut cut = Vec::new();
        if changed || (refresh_trust && self.policy.reads_trust()) {
            self.enforced = revision;
            let start = self.policy.plan().trust_start;
            cut = self.gate.put(self.state.control(), start, now);
        }
        Turned { events, cut }
    }

    fn find_overdue(&mut self, now: Timestamp) {
        let limit = now - RECEIPT_DUE;
        let due = self.overdue.iter().take_while(|(at, ..)| *at < limit).count();
        for (_, tally, count) in self.overdue.drain(..due) {
            self.tallies[tally].receipts_missing(count);
        }
    }
}
