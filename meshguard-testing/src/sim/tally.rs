//! What is counted of one edge between two windows, and when its window closes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshguard_core::baseline::{EdgeKey, Latencies, Window};
use meshguard_core::control::{Cadence, Loop};
use meshguard_core::{Policy, SpiffeId, Timestamp};

use super::rng::Rng;
use super::shape::{Shape, draw};

/// A peer counts as being behind an address for so long after its last connection.
const PEER_SEEN: Duration = Duration::from_secs(3_600);
/// An instance that was not called for so long may be gone.
const LAPSE: Duration = Duration::from_secs(60);
/// An edge that was still for so long is not measured any more.
const FORGET: Duration = Duration::from_secs(3_600);

/// The counters of one edge of one service.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) key: EdgeKey,
    counts: Window,
    /// Calls of which latency and bytes are not drawn yet, by what they are like.
    undrawn: Vec<(Arc<Shape>, u64)>,
    /// Who was authenticated behind an address, and until when they are connected.
    peers: BTreeMap<SpiffeId, Timestamp>,
    open: Option<Open>,
}

/// A window that is open.
#[derive(Clone, Copy, Debug)]
struct Open {
    since: Timestamp,
    /// Events in it so far.
    events: u64,
    /// When there was one last, at the resolution of the ticks.
    last: Timestamp,
    longest_gap: Duration,
}

/// Calls that were let in, or made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calls {
    pub(super) calls: u64,
    /// Of them, those that count as failed.
    pub(super) failed: u64,
    /// Of them, those that have an answer.
    pub(super) answered: u64,
    /// Of them, those of which a receipt is due.
    pub(super) receipts: u64,
}

impl Tally {
    pub(super) fn new(key: EdgeKey) -> Self {
        let (counts, undrawn, peers) = (Window::default(), Vec::new(), BTreeMap::new());
        Self { key, counts, undrawn, peers, open: None }
    }

    pub(super) fn call(&mut self, calls: &Calls, shape: &Arc<Shape>) {
        self.counts.calls += calls.calls;
        self.counts.asked += calls.calls;
        self.counts.errors += calls.failed;
        self.counts.receipts += calls.receipts;
        if calls.answered == 0 {
            return;
        }
        match self.undrawn.iter_mut().find(|(known, _)| Arc::ptr_eq(known, shape)) {
            Some((_, count)) => *count += calls.answered,
            None => self.undrawn.push((Arc::clone(shape), calls.answered)),
        }
    }

    /// Policy has refused so many calls.
    pub(super) fn refused(&mut self, count: u64) {
        self.counts.asked += count;
        self.counts.refused += count;
    }

    pub(super) fn receipts_missing(&mut self, count: u64) {
        self.counts.missing_receipts += count;
    }

    pub(super) fn handshakes_failed(&mut self, count: u64) {
        self.counts.handshakes += count;
        self.counts.handshake_failures += count;
    }

    /// A handshake has made `peer` known, which is connected until then.
    pub(super) fn handshake_completed(&mut self, peer: &SpiffeId, until: Timestamp) {
        self.counts.handshakes += 1;
        self.peers.insert(peer.clone(), until);
    }

    /// Whether a peer that was authenticated here is connected, or was within the hour.
    pub(super) fn is_known(&self, now: Timestamp) -> bool {
        self.peers.values().any(|until| now.since(*until) < PEER_SEEN)
    }

    /// Closes the window where it is due, and shows it to the loop.
    pub(super) fn look(
        &mut self,
        state: &mut Loop,
        cadence: &Cadence,
        rng: &mut Rng,
        policy: &Policy,
        now: Timestamp,
    ) {
        let events = self.counts.events();
        let Some(mut open) = self.open else {
            // A baseline begins with the first event.
            let begins = Open { since: now, events, last: now, longest_gap: Duration::ZERO };
            self.open = (events > 0).then_some(begins);
            return;
        };
        if events > open.events {
            open.longest_gap = open.longest_gap.max(now.since(open.last));
            (open.events, open.last) = (events, now);
        }
        let idle = now.since(open.last);
        if cadence.is_due(now.since(open.since), events) {
            let mut window = self.take(open.since, now, rng);
            window.longest_gap = open.longest_gap;
            if self.peers.keys().any(|peer| policy.is_hop(peer)) {
                window.peers = u32::MAX;
            }
            (open.since, open.events, open.longest_gap) = (now, 0, Duration::ZERO);
            state.handle_window(&self.key, &window);
        } else if idle > cadence.busy {
            state.handle_idle(&self.key, idle, now);
        }
        self.open = Some(open);
        let instance = matches!(self.key, EdgeKey::Callee { .. });
        if instance && idle > LAPSE && !state.control().is_open(&self.key) {
            state.lapse(&self.key);
        }
        // One with an open incident is still because it was cut off, perhaps.
        if idle > FORGET && !state.control().is_open(&self.key) {
            self.open = None;
            state.forget(&self.key);
        }
    }

    /// Takes all that was counted.
    fn take(&mut self, start: Timestamp, end: Timestamp, rng: &mut Rng) -> Window {
        let mut window = std::mem::take(&mut self.counts);
        let mut latencies = Latencies::default();
        for (shape, calls) in self.undrawn.drain(..) {
            draw(&mut latencies, &shape, calls, rng);
            let (request, response) = shape.bytes(calls, rng);
            window.request_bytes += request;
            window.response_bytes += response;
        }
        window.latency = latencies.latency();
        // What is due and what is missing of it need not fall into one window.
        window.receipts = window.receipts.max(window.missing_receipts);
        let behind = self.peers.values().filter(|seen| end.since(**seen) < PEER_SEEN).count();
        window.peers = u32::try_from(behind).unwrap_or(u32::MAX);
        (window.start, window.end) = (start, end);
        window
    }
}
