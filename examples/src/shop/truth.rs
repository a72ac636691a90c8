//! What really happened: what each application sent, and what each took for whole.
//!
//! Nothing here asks meshguard. Both ends of a call write the same numbers down, or they do not,
//! and an end that had no error although they differ was fooled.

mod anomaly;
mod lane;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;

use meshguard_axum::core::delivery::Outcome;
use tokio::sync::watch;

pub(super) use anomaly::{Anomaly, End, Fooled, TurnedAway, What};
pub(super) use lane::{Key, Lane, Op};

use super::sign::Sign;

/// Latencies that a lane remembers: the last ones.
const REMEMBERED: usize = 8192;
/// A call is known for so long after its end. What shows of it later counts as nobody's.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// The books of all applications of one run.
#[derive(Debug)]
pub(super) struct Truth {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    calls: HashMap<Key, Call>,
    lanes: [Tally; Lane::ALL.len()],
    anomalies: Vec<Anomaly>,
    turned_away: Vec<TurnedAway>,
    /// Calls that have ended, in the order in which they did.
    ended: VecDeque<(Instant, Key)>,
    begun: u64,
}

#[derive(Debug)]
struct Call {
    number: u64,
    since: Instant,
    sent: u64,
    got: u32,
    /// Its caller was told that it never arrived.
    undelivered: bool,
    answered: Vec<u64>,
}

/// One lane's calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Calls that were sent.
    pub(super) sent: u64,
    /// Calls whose caller has a whole answer.
    pub(super) answered: u64,
    /// Calls whose caller has an error.
    pub(super) failed: u64,
    /// Whole requests at the callee.
    pub(super) received: u64,
    /// Those of them whose delivery was verified.
    pub(super) verified: u64,
    /// The last latencies of whole answers, in microseconds, in no order.
    pub(super) latencies: Vec<u32>,
    open: BTreeSet<u64>,
}

impl Truth {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// A caller is about to send this.
    pub(super) fn sent(&self, key: &Key, digest: u64) {
        let mut state = self.lock();
        state.begun += 1;
        let number = state.begun;
        state.forget(Instant::now());
        let tally = &mut state.lanes[key.lane.index()];
        tally.sent += 1;
        tally.open.insert(number);
        let since = Instant::now();
        let call =
            Call { number, since, sent: digest, got: 0, undelivered: false, answered: Vec::new() };
        state.calls.insert(key.clone(), call);
    }

    /// A callee has this request, whole as far as it knows.
    pub(super) fn received(&self, key: &Key, digest: u64, verified: bool) {
        let mut state = self.lock();
        let tally = &mut state.lanes[key.lane.index()];
        tally.received += 1;
        tally.verified += u64::from(verified);
        let fooled = match state.calls.get_mut(key) {
            None => Some(Fooled::Stranger),
            Some(call) => {
                call.got += 1;
                if call.sent != digest {
                    Some(Fooled::Request)
                } else if call.undelivered {
                    Some(Fooled::Outcome)
                } else {
                    (call.got > 1).then_some(Fooled::Twice)
                }
            }
        };
        if let Some(fooled) = fooled {
            self.note(&mut state, key, What::Fooled(fooled));
        }
    }

    /// A callee's request broke off, or was no good; `key` as far as the callee knows.
    pub(super) fn broke_off(&self, lane: Lane, key: Option<&Key>, sign: Sign) {
        let mut state = self.lock();
        let what = What::Error(End::Callee, sign);
        state.anomalies.push(Anomaly { lane, key: key.cloned(), at: Instant::now(), what });
        self.tell();
    }

    /// A callee is about to answer this.
    pub(super) fn answers(&self, key: &Key, digest: u64) {
        if let Some(call) = self.lock().calls.get_mut(key) {
            call.answered.push(digest);
        }
    }

    /// A caller has this answer, whole as far as it knows.
    pub(super) fn accepted(&self, key: &Key, digest: u64) {
        let mut state = self.lock();
        let Some(call) = state.calls.get(key) else { return };
        let (number, took) = (call.number, call.since.elapsed());
        let fooled = if call.answered.is_empty() {
            Some(Fooled::Forged)
        } else {
            (!call.answered.contains(&digest)).then_some(Fooled::Answer)
        };
        let tally = &mut state.lanes[key.lane.index()];
        tally.answered += 1;
        tally.open.remove(&number);
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        if tally.latencies.len() < REMEMBERED {
            tally.latencies.push(micros);
        } else {
            let at = tally.answered as usize % REMEMBERED;
            tally.latencies[at] = micros;
        }
        state.ended.push_back((Instant::now(), key.clone()));
        if let Some(fooled) = fooled {
            self.note(&mut state, key, What::Fooled(fooled));
        }
        self.tell();
    }

    /// A caller's mesh, or its callee's, has refused this: no application was asked.
    pub(super) fn refused(&self, key: &Key, status: StatusCode) {
        let mut state = self.lock();
        let Some(number) = state.calls.get(key).map(|call| call.number) else { return };
        let tally = &mut state.lanes[key.lane.index()];
        tally.failed += 1;
        tally.open.remove(&number);
        state.ended.push_back((Instant::now(), key.clone()));
        state.turned_away.push(TurnedAway { lane: key.lane, at: Instant::now(), status });
        self.tell();
    }

    /// A caller's whole answer serves it nothing.
    pub(super) fn turned_away(&self, lane: Lane, status: StatusCode) {
        self.lock().turned_away.push(TurnedAway { lane, at: Instant::now(), status });
    }

    /// All whole answers that served nobody, in their order.
    pub(super) fn all_turned_away(&self) -> Vec<TurnedAway> {
        self.lock().turned_away.clone()
    }

    /// A caller has an error in place of an answer.
    pub(super) fn failed(&self, key: &Key, sign: Sign) {
        let mut state = self.lock();
        let Some(call) = state.calls.get_mut(key) else { return };
        let number = call.number;
        call.undelivered = sign.outcome == Some(Outcome::NotDelivered);
        let untrue = match sign.outcome {
            Some(Outcome::NotDelivered) => call.got > 0,
            Some(Outcome::Delivered) => call.got == 0,
            _ => false,
        };
        let tally = &mut state.lanes[key.lane.index()];
        tally.failed += 1;
        tally.open.remove(&number);
        state.ended.push_back((Instant::now(), key.clone()));
        if untrue {
            self.note(&mut state, key, What::Fooled(Fooled::Outcome));
        }
        self.note(&mut state, key, What::Error(End::Caller, sign));
    }

    /// The mesh reported something.
    pub(super) fn found(&self, lane: Lane, end: End, name: &str) {
        let mut state = self.lock();
        let what = What::Finding(end, name.to_owned());
        state.anomalies.push(Anomaly { lane, key: None, at: Instant::now(), what });
        self.tell();
    }

    /// One lane's calls so far.
    pub(super) fn tally(&self, lane: Lane) -> Tally {
        self.lock().lanes[lane.index()].clone()
    }

    /// All that was not as it should be, from the `from`th on.
    pub(super) fn anomalies(&self, from: usize) -> Vec<Anomaly> {
        self.lock().anomalies.get(from..).unwrap_or_default().to_vec()
    }

    /// Waits until every call that is under way in `lane` now has ended.
    pub(super) async fn settled(&self, lane: Lane) {
        let last = self.lock().begun;
        self.until(|state| {
            state.lanes[lane.index()].open.first().is_none_or(|first| *first > last)
        })
        .await;
    }

    /// Waits until there is an anomaly in `lane` since `since`.
    pub(super) async fn anomaly(&self, lane: Lane, since: Instant) {
        self.until(|state| {
            let mut recent = state.anomalies.iter().rev().take_while(|a| a.at >= since);
            recent.any(|a| a.lane == lane)
        })
        .await;
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        let mut changes = self.changed.subscribe();
        while !holds(&self.lock()) {
            // An error would mean that the sender is gone, and it is a field of self.
            let _ = changes.changed().await;
        }
    }

    fn note(&self, state: &mut State, key: &Key, what: What) {
        let (lane, key) = (key.lane, Some(key.clone()));
        state.anomalies.push(Anomaly { lane, key, at: Instant::now(), what });
        self.tell();
    }

    /// Wakes who waits. Called with the lock held; they take it when it is free.
    fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops calls that ended long ago, so that the books of a long run have an end.
    fn forget(&mut self, now: Instant) {
        let old = |(at, _): &(Instant, Key)| now.duration_since(*at) > KNOWN_FOR;
        while self.ended.front().is_some_and(old) {
            if let Some((_, key)) = self.ended.pop_front() {
                self.calls.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
