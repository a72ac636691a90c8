//! What really happened: what each application sent, and what each took for whole.
//!
//! Nothing here asks meshguard. Both ends of a call write the same numbers down, or they do not,
//! and an end that had no error although they differ was fooled.

mod lane;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use meshguard_axum::core::delivery::Outcome;
use tokio::sync::watch;

pub(super) use lane::{Key, Lane, Op};

use super::sign::Sign;

/// Latencies that a lane remembers: the last ones.
const REMEMBERED: usize = 8192;

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

/// Something other than a whole call with a whole answer.
#[derive(Clone, Debug)]
pub(super) struct Anomaly {
    pub(super) lane: Lane,
    /// `None` where it is not known which call it was.
    pub(super) key: Option<Key>,
    pub(super) at: Instant,
    pub(super) what: What,
}

/// On which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Caller,
    Callee,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// An application was fooled.
    Fooled(Fooled),
    /// An application had an error.
    Error(End, Sign),
    /// The mesh reported a finding of this name.
    Finding(End, String),
}

/// How an application was fooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fooled {
    Request,
    Twice,
    Stranger,
    Answer,
    Forged,
    Outcome,
}

impl Fooled {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Request => "callee took a changed request",
            Self::Twice => "callee did it twice",
            Self::Stranger => "callee took a call nobody made",
            Self::Answer => "caller took a changed answer",
            Self::Forged => "caller believed a forged answer",
            Self::Outcome => "caller was told a false outcome",
        }
    }
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
        if let Some(fooled) = fooled {
            self.note(&mut state, key, What::Fooled(fooled));
        }
        self.tell();
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

#[cfg(test)]
mod tests;
