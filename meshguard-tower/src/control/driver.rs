//! Turns the loop: closes windows, and enforces what comes of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use meshguard_core::baseline::{self, EdgeKey};
use meshguard_core::control::{Cadence, Control, Loop, Unconfirmed};
use meshguard_core::reflex::{Plan, Signal};
use meshguard_core::{Policy, SpiffeId, Timestamp};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::{Overlay, events, shown};
use crate::clock::{self, Offset, steady, wall};
use crate::mesh::{Mesh, Shared};
use crate::observe::{Edges, Tally};
use crate::rejudge::{Cause, Change, Whom};
use crate::sink::{Direction, Edge};

/// Answers whose receipts have not come for so long are counted as unconfirmed.
pub(crate) const RECEIPT_DUE: Duration = Duration::from_secs(10);
/// An edge that was still for so long is not measured any more.
const FORGET: Duration = Duration::from_secs(3600);
/// An instance that was not called for so long may be gone: it does not count as healthy.
const LAPSE: Duration = Duration::from_secs(60);
/// The finding of a turn that has failed.
const LOOP_FAILED: &str = "loop-failed";
/// The finding of a wall clock that was set.
const CLOCK_STEPPED: &str = "clock-stepped";
/// What needs no haste is done so often.
const SECOND: Duration = Duration::from_secs(1);

/// The loop of one service, and how far it was enforced.
pub(crate) struct Engine {
    turning: Mutex<Turning>,
    cadence: Cadence,
    /// What happened on edges that found no place.
    blind: AtomicU64,
}

pub(crate) struct Turning {
    pub(crate) state: Loop,
    /// The revision that is enforced.
    enforced: u64,
    open: HashMap<EdgeKey, Open>,
    /// Edges whose share of unconfirmed answers has departed from the usual one.
    departed: Vec<(EdgeKey, Unconfirmed)>,
    rested: Timestamp,
    /// How far the wall clock is ahead of the loop's time.
    pub(crate) offset: Offset,
}

/// A window that is open.
struct Open {
    since: Timestamp,
    /// Events in it so far.
    events: u64,
    /// When there was one last, at the resolution of the ticks.
    last: Timestamp,
    longest_gap: Duration,
}

impl Engine {
    pub(crate) fn new(settings: baseline::Settings, plan: Plan, cadence: Cadence) -> Self {
        let turning = Turning {
            state: Loop::new(settings, plan),
            enforced: 0,
            open: HashMap::new(),
            departed: Vec::new(),
            rested: Timestamp::EPOCH,
            offset: Offset::default(),
        };
        Self { turning: Mutex::new(turning), cadence, blind: AtomicU64::new(0) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Turning> {
        self.turning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events on edges that found no place, so far.
    pub(crate) fn blind(&self) -> u64 {
        self.blind.load(Relaxed)
    }
}

impl Turning {
    /// Looks at one edge: closes its window where it is due.
    fn look(&mut self, tally: &Tally, cadence: &Cadence, policy: &Policy, now: Timestamp) {
        let (key, events) = (tally.key(), tally.events());
        let Some(open) = self.open.get_mut(key) else {
            // A baseline begins with the first event.
            if events > 0 {
                let open = Open { since: now, events, last: now, longest_gap: Duration::ZERO };
                self.open.insert(key.clone(), open);
            }
            return;
        };
        if events > open.events {
            open.longest_gap = open.longest_gap.max(now.since(open.last));
            (open.events, open.last) = (events, now);
        }
        if cadence.is_due(now.since(open.since), events) {
            let mut window = tally.take(open.since, now);
            window.longest_gap = open.longest_gap;
            if tally.has_peer(|peer| policy.is_hop(peer)) {
                window.peers = u32::MAX;
            }
            (open.since, open.events, open.longest_gap) = (now, 0, Duration::ZERO);
            let unconfirmed = self.state.handle_window(key, &window).unconfirmed;
            if unconfirmed.has_just_departed() {
                self.departed.push((key.clone(), unconfirmed));
            }
        } else {
            let idle = now.since(open.last);
            if idle > cadence.busy {
                self.state.handle_idle(key, idle, now);
            }
        }
    }

    /// Forgets the edges that were still for long, and those that have lost their place.
    fn forget(&mut self, edges: &Edges, now: Timestamp) {
        let still = self.open.iter().filter(|(_, open)| now.since(open.last) > FORGET);
        // One with an open incident is still because it was cut off, perhaps.
        let over = still.filter(|(key, _)| !self.state.control().is_open(key));
        over.for_each(|(key, _)| edges.remove(key));
        let state = &mut self.state;
        self.open.retain(|key, open| {
            let kept = edges.contains(key);
            let instance = matches!(key, EdgeKey::Callee { .. });
            if !kept {
                state.forget(key);
            } else if instance && now.since(open.last) > LAPSE && !state.control().is_open(key) {
                state.lapse(key);
            }
            kept
        });
    }
}

impl Mesh {
    /// Compares the clocks, and tells of a wall clock that was set by more than a second.
    fn follow_clock(&self, wall: Timestamp, steady: Timestamp) {
        let mut turning = self.0.engine.lock();
        let Some(stepped) = turning.offset.follow(wall, steady) else { return };
        let seconds = turning.offset.seconds();
        turning.state.set_wall_offset(seconds);
        drop(turning);
        let nobody = Edge { from: None, to: self.id(), via: None };
        let detail = format!("the wall clock was set by {stepped:+} s");
        self.found(Direction::Inbound, nobody, CLOCK_STEPPED, &detail);
    }

    /// One turn of the loop, by the steady clock.
    pub(crate) fn turn(&self, now: Timestamp) {
        let engine = &self.0.engine;
        let mut turning = engine.lock();
        let (tallies, policy) = (self.0.gate.edges.all(), self.policy());
        for (edge, before) in self.0.gate.edges.take_successions() {
            turning.state.succeed(&edge, &before);
        }
        for tally in &tallies {
            turning.look(tally, &engine.cadence, &policy, now);
        }
        drop(tallies);
        let rested = now.since(turning.rested) >= SECOND;
        if rested {
            turning.rested = now;
            turning.forget(&self.0.gate.edges, now);
            engine.blind.fetch_add(self.0.gate.edges.take_blind(), Relaxed);
        }
        turning.state.handle_timeout(now);
        let departed = std::mem::take(&mut turning.departed);
        self.enforce(turning, rested);
        departed.iter().for_each(|(edge, share)| self.find_departed(edge, share));
        if rested {
            self.record_counts(wall());
            self.log_left_out();
            self.find_overdue(now);
            self.find_absent(now);
        }
    }

    /// Has a turn of the loop run off the runtime's threads. One that panics is told, and the
    /// next one goes on.
    async fn turn_apart(&self, turn: impl FnOnce(&Self) + Send + 'static) {
        let mesh = self.clone();
        let Err(failed) = spawn_blocking(move || turn(&mesh)).await else { return };
        tracing::error!(target: "meshguard::control", error = %failed, "a turn of the loop failed");
        let mesh = self.clone();
        let telling = spawn_blocking(move || {
            let nobody = Edge { from: None, to: mesh.id(), via: None };
            mesh.found(Direction::Inbound, nobody, LOOP_FAILED, &failed);
        });
        // The sink is not ours: it may be what fails.
        if let Err(error) = telling.await {
            tracing::error!(target: "meshguard::control", %error, "nor could that be told");
        }
    }

    /// Something that needs no statistics has happened on an edge: acted on at once.
    pub(crate) fn signal(&self, edge: &EdgeKey, signal: Signal, detail: &str) {
        let mut turning = self.0.engine.lock();
        turning.state.handle_signal(edge, signal, detail, steady());
        self.enforce(turning, false);
    }

    /// Does something to the loop in an operator's name, and enforces what comes of it.
    pub(crate) fn operate<T>(
        &self,
        verb: &str,
        target: &str,
        act: impl FnOnce(&mut Loop) -> T,
    ) -> T {
        let mut turning = self.0.engine.lock();
        events::operated(self, verb, target);
        let done = act(&mut turning.state);
        self.enforce(turning, true);
        done
    }

    /// Another policy is in force, and with it another plan.
    pub(crate) fn change_plan(&self, plan: &Plan) {
        let mut turning = self.0.engine.lock();
        turning.state.set_plan(plan.clone(), steady());
        self.enforce(turning, true);
    }

    /// Puts into force what is, and tells what has happened: the sink's code without the lock.
    fn enforce(&self, mut turning: MutexGuard<'_, Turning>, refresh_trust: bool) {
        let mut happened = Vec::new();
        while let Some(event) = turning.state.poll_event() {
            events::record(self, &turning.state, &event, turning.offset);
            happened.push(shown::event(event, turning.offset));
        }
        let revision = turning.state.control().revision();
        let changed = revision != turning.enforced;
        turning.enforced = revision;
        if changed || (refresh_trust && self.policy().reads_trust()) {
            self.put(turning.state.control());
        }
        drop(turning);
        happened.iter().for_each(|event| events::tell(self, event));
    }

    /// Puts into force what is.
    fn put(&self, control: &Control) {
        let before = self.0.gate.overlay();
        let start = self.policy().plan().trust_start;
        let overlay = Overlay::new(control.restrictions(), control.trusted(), start, &before);
        let (narrowed, cut_off) = (overlay.narrowed(&before), overlay.newly_quarantined(&before));
        let cut_off: Vec<_> = cut_off.cloned().collect();
        let cause = match () {
            () if !cut_off.is_empty() => Cause::Quarantine,
            () if overlay.restricts(&narrowed) => Cause::Tightened,
            () => Cause::Trust,
        };
        let change = (!narrowed.is_empty()).then(|| self.change(cause));
        self.0.gate.put(Arc::new(overlay));
        if let Some(change) = change {
            cut_off.iter().for_each(|caller| self.cut_off(caller, &change));
            self.rejudge(change, Whom::Only(narrowed));
        }
    }

    /// Ends a caller's sessions with their streams, and the connections that are its own: those
    /// of a hop carry others' calls.
    fn cut_off(&self, caller: &SpiffeId, change: &Arc<Change>) {
        self.sessions().withdraw_from(caller, change);
        let live = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        for connections in live.iter() {
            connections.end_peer(caller, change);
        }
    }

    /// Notices what the policy expects and did not come. Nobody is to blame for it that is
    /// known: its edge is this service's own, under the expectation's name.
    fn find_absent(&self, now: Timestamp) {
        for absence in self.0.expectations.absent(now) {
            let nobody = Edge { from: None, to: self.id(), via: None };
            self.found(Direction::Inbound, nobody, Signal::Absent.as_str(), &absence);
            let (id, instance) = (self.id().clone(), absence.name.as_str().into());
            let own = EdgeKey::Callee { id, instance };
            self.signal(&own, Signal::Absent, &absence.to_string());
        }
    }

    /// Tells that more answers than usual are left unconfirmed. Nothing follows from it.
    fn find_departed(&self, edge: &EdgeKey, share: &Unconfirmed) {
        let (from, via) = match edge {
            EdgeKey::HopIn(hop) => (None, Some(hop)),
            other => (other.peer(), None),
        };
        self.found(Direction::Inbound, Edge { from, to: self.id(), via }, "unconfirmed", share);
    }

    /// Notices answers that their callers should have confirmed by now.
    fn find_overdue(&self, now: Timestamp) {
        for session in self.sessions().not_gone() {
            if session.overdue(now - RECEIPT_DUE) {
                self.notice(&session, session.edge(self.id()));
            }
        }
        self.sessions().shed_departed();
    }
}

/// Turns the loop until the mesh is gone, off the runtime's threads: a turn looks at every edge and
/// every session.
pub(crate) async fn drive(mesh: Weak<Shared>, tick: Duration) {
    let mut ticks = interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(mesh) = mesh.upgrade().map(Mesh) else { return };
        mesh.turn_apart(|mesh| {
            if let Some((wall, steady)) = clock::together() {
                mesh.follow_clock(wall, steady);
            }
            mesh.turn(steady());
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use meshguard_core::control::Event;

    use super::*;
    use crate::observe::Measured;
    use crate::sink::{Call, Finding, Sink};

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl Sink for Told {
        fn call(&self, _: &Call<'_>) {}

        fn finding(&self, finding: &Finding<'_>) {
            self.0.lock().unwrap().push(format!("{} of {:?}", finding.name, finding.edge.from));
        }

        fn event(&self, event: &Event) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }

    const ANSWERED: Measured = Measured {
        latency: Some(Duration::from_millis(2)),
        failed: false,
        unanswered: false,
        request_bytes: 10,
        response_bytes: 10,
        receipt: true,
    };

    #[tokio::test]
    async fn a_turn_that_panics_is_a_finding_and_the_next_one_goes_on() {
        let told = Told::default();
        let builder = Mesh::dev("spiffe://shop.example/orders").unwrap();
        let policy = "mesh = \"shop.example\"\nversion = 1\n".parse().unwrap();
        let mesh = builder.policy(policy).sink(told.clone()).build().unwrap();
        mesh.turn_apart(|mesh| {
            let _turning = mesh.0.engine.lock();
            panic!("a fault of the loop's own");
        })
        .await;
        assert_eq!(*told.0.lock().unwrap(), ["loop-failed of None"]);
        let caller = SpiffeId::from_static("spiffe://shop.example/checkout");
        mesh.0.gate.edges.get(&EdgeKey::Caller(caller)).call(&ANSWERED);
        mesh.turn_apart(|mesh| mesh.turn(steady())).await;
        assert_eq!(mesh.0.engine.lock().open.len(), 1, "the loop goes on");
        assert_eq!(told.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_clock_that_is_set_is_told_and_moves_what_is_shown_and_nothing_else() {
        let told = Told::default();
        let text = "mesh = \"shop.example\"\nversion = 1\n[[allow]]\nname = \"all\"\n";
        let builder = Mesh::dev("spiffe://shop.example/orders").unwrap();
        let mesh = builder.policy(text.parse().unwrap()).sink(told.clone()).build().unwrap();
        let caller = SpiffeId::from_static("spiffe://shop.example/checkout");
        let edge = EdgeKey::Caller(caller);
        let tally = mesh.0.gate.edges.get(&edge);
        let mut at = steady();
        let mut window = |ahead: i64| {
            (0..50).for_each(|_| tally.call(&ANSWERED));
            mesh.follow_clock(at.moved(ahead), at);
            mesh.turn(at);
            at = at + Cadence::default().busy;
            mesh.follow_clock(at.moved(ahead), at);
            mesh.turn(at);
            mesh.edges().remove(0).window.end == at.moved(ahead)
        };
        assert!((0..20).all(|_| window(0)));
        assert!([30, 0, -7200, -7200].into_iter().all(&mut window));
        let steps = told.0.lock().unwrap().clone();
        assert_eq!(steps, ["clock-stepped of None"; 3]);
        let (known, reading) = {
            let turning = mesh.0.engine.lock();
            let reading = turning.state.reading(&edge).unwrap().window.length();
            (turning.state.baselines().known(&edge), reading)
        };
        assert_eq!((known, reading), (24, Cadence::default().busy), "no window was longer");
    }

    #[test]
    fn a_turn_has_an_instance_go_on_with_another_certificate() {
        let text = "mesh = \"shop.example\"\nversion = 1\n[[allow]]\nname = \"all\"\n";
        let builder = Mesh::dev("spiffe://shop.example/checkout").unwrap();
        let mesh = builder.policy(text.parse().unwrap()).build().unwrap();
        let orders = SpiffeId::from_static("spiffe://shop.example/orders");
        let peer = |n| meshguard_core::Peer::new(orders.clone(), [n; 32], Timestamp::MAX);
        let mut at = steady();
        let first = mesh.0.gate.edges.instance(&peer(1), "a", at).0;
        for _ in 0..20 {
            (0..50).for_each(|_| first.call(&ANSWERED));
            mesh.turn(at);
            at = at + Cadence::default().busy;
            mesh.turn(at);
        }
        let second = mesh.0.gate.edges.instance(&peer(2), "a", at).0;
        mesh.turn(at);
        let known = |tally: &Tally| mesh.0.engine.lock().state.baselines().known(tally.key());
        assert_eq!((known(&first), known(&second)), (20, 20));
    }

    #[test]
    fn a_share_of_unconfirmed_answers_that_rises_is_told_once_and_restricts_nobody() {
        let caller = SpiffeId::from_static("spiffe://shop.example/checkout");
        let text = "mesh = \"shop.example\"\nversion = 1\n[[allow]]\nname = \"all\"\n";
        let told = Told::default();
        let builder = Mesh::dev("spiffe://shop.example/orders").unwrap();
        let mesh = builder.policy(text.parse().unwrap()).sink(told.clone()).build().unwrap();
        let tally = mesh.0.gate.edges.get(&EdgeKey::Caller(caller.clone()));
        let mut at = steady();
        let mut window = |unconfirmed| {
            (0..50).for_each(|_| tally.call(&ANSWERED));
            tally.unconfirmed(unconfirmed);
            // The first turn opens a window, or notices what is in it; the next one closes it.
            mesh.turn(at);
            at = at + Cadence::default().busy;
            mesh.turn(at);
        };
        (0..150).for_each(|_| window(1));
        assert_eq!(*told.0.lock().unwrap(), [""; 0], "as usual");
        (0..30).for_each(|_| window(45));
        assert_eq!(*told.0.lock().unwrap(), [format!("unconfirmed of {:?}", Some(&caller))]);
        assert!(mesh.edges().iter().all(|edge| edge.restriction.is_none()));
    }
}
