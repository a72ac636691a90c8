//! What happens, as it happens; bounded, so that it does not grow into the memory's verdict.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::evidence::{Evidence, Failed, Repeated, Restart, Tally};
use crate::shape::{Callee, Lane, Shape, Side};

/// Failed calls that are kept.
const MAX_FAILED: usize = 4096;
/// More calls a second than any run makes on one side.
const MAX_RATE: u64 = 2000;

/// The journal of a run.
pub(crate) struct Journal {
    counts: [[Count; Shape::COUNT]; 2],
    handled: [Handled; 2],
    failed: Mutex<Vec<Failed>>,
    failed_beyond: AtomicU64,
    restarts: Mutex<Vec<Restart>>,
    /// When the first call of a lane ended that had begun after this restart.
    firsts: Mutex<HashMap<(Lane, Instant), Instant>>,
}

#[derive(Default)]
struct Count {
    whole: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
}

/// How often each call of a side was handled.
struct Handled {
    next: AtomicU64,
    times: Vec<AtomicU8>,
}

/// A call that is under way.
pub(crate) struct Begun {
    pub(crate) id: u64,
    lane: Lane,
    shape: Shape,
    at: Instant,
}

/// How a call ended for its caller.
pub(crate) enum Ended {
    Whole,
    /// By its caller's own hand.
    Cancelled,
    Failed(String),
}

impl Journal {
    pub(crate) fn new(length: Duration) -> Self {
        let calls = MAX_RATE * length.as_secs();
        let handled = || Handled {
            next: AtomicU64::new(0),
            times: (0..calls).map(|_| AtomicU8::new(0)).collect(),
        };
        Self {
            counts: std::array::from_fn(|_| std::array::from_fn(|_| Count::default())),
            handled: [handled(), handled()],
            failed: Mutex::new(Vec::with_capacity(MAX_FAILED)),
            failed_beyond: AtomicU64::new(0),
            restarts: Mutex::default(),
            firsts: Mutex::default(),
        }
    }

    pub(crate) fn begin(&self, lane: Lane, shape: Shape) -> Begun {
        let id = self.handled[lane.side as usize].next.fetch_add(1, Ordering::Relaxed);
        Begun { id, lane, shape, at: Instant::now() }
    }

    pub(crate) fn end(&self, begun: &Begun, ended: Ended) {
        let now = Instant::now();
        let Begun { lane, shape, .. } = *begun;
        let count = &self.counts[lane.side as usize][shape.index()];
        match ended {
            // It may have ended before anything was heard of its callee.
            Ended::Cancelled => _ = count.cancelled.fetch_add(1, Ordering::Relaxed),
            Ended::Whole => {
                count.whole.fetch_add(1, Ordering::Relaxed);
                self.is_first(begun, now);
            }
            Ended::Failed(why) => {
                count.failed.fetch_add(1, Ordering::Relaxed);
                let first = self.is_first(begun, now);
                let failed = Failed { lane, shape, begun: begun.at, ended: now, first, why };
                let mut all = lock(&self.failed);
                if all.len() < MAX_FAILED {
                    all.push(failed);
                } else if lane.side == Side::Mesh {
                    self.failed_beyond.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Whether no call of its lane that began after the last restart had ended when it began. A
    /// hop has moved to the next instance once the former one is gone.
    fn is_first(&self, begun: &Begun, now: Instant) -> bool {
        let Lane { side, callee, .. } = begun.lane;
        let last = lock(&self.restarts)
            .iter()
            .filter(|r| (r.side, r.callee) == (side, callee))
            .flat_map(|r| [Some(r.to), r.gone].into_iter().flatten())
            .filter(|at| *at < begun.at)
            .max();
        last.is_some_and(|restart| {
            let mut firsts = lock(&self.firsts);
            begun.at <= *firsts.entry((begun.lane, restart)).or_insert(now)
        })
    }

    /// A handler was called for this call.
    pub(crate) fn handled(&self, side: Side, id: u64) {
        let times =
            usize::try_from(id).ok().and_then(|id| self.handled[side as usize].times.get(id));
        if let Some(times) = times {
            times.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn restarted(&self, restart: Restart) {
        lock(&self.restarts).push(restart);
    }

    /// The instance that was replaced by this restart has ended.
    pub(crate) fn gone(&self, side: Side, callee: Callee, from: Instant) {
        let mut restarts = lock(&self.restarts);
        let of = |r: &&mut Restart| (r.side, r.callee, r.from) == (side, callee, from);
        if let Some(restart) = restarts.iter_mut().find(of) {
            restart.gone = Some(Instant::now());
        }
    }

    /// What it shows in the end.
    pub(crate) fn evidence(&self) -> Evidence {
        let repeated = [Side::Mesh, Side::Stock].into_iter().flat_map(|side| {
            let times = self.handled[side as usize].times.iter();
            times.zip(0..).filter_map(move |(times, id)| {
                let times = times.load(Ordering::Relaxed);
                (times > 1).then_some(Repeated { side, id, times })
            })
        });
        Evidence {
            counts: std::array::from_fn(|side| {
                std::array::from_fn(|shape| self.counts[side][shape].tally())
            }),
            failed: lock(&self.failed).clone(),
            failed_beyond: self.failed_beyond.load(Ordering::Relaxed),
            restarts: lock(&self.restarts).clone(),
            repeated: repeated.collect(),
            ..Evidence::default()
        }
    }
}

impl Count {
    fn tally(&self) -> Tally {
        Tally {
            whole: self.whole.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
        }
    }
}

/// What a panic elsewhere has left behind is still worth telling.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Http;

    const LANE: Lane = Lane { side: Side::Mesh, callee: Callee::Mac, via: true, http: Http::Two };

    fn restart(journal: &Journal) {
        let now = Instant::now();
        let (side, callee) = (Side::Mesh, Callee::Mac);
        journal.restarted(Restart { side, callee, from: now, to: now, gone: None });
        while Instant::now() == now {}
    }

    #[test]
    fn calls_that_begin_before_the_first_one_has_ended_are_first() {
        let journal = Journal::new(Duration::from_secs(1));
        restart(&journal);
        let [a, b, given_up] = [(); 3].map(|()| journal.begin(LANE, Shape::Unary));
        // Its caller heard nothing of the callee.
        journal.end(&given_up, Ended::Cancelled);
        journal.end(&a, Ended::Failed("a".into()));
        let late = journal.begin(LANE, Shape::Unary);
        journal.end(&b, Ended::Failed("b".into()));
        journal.end(&late, Ended::Failed("late".into()));
        // Another lane has its own first one.
        let other = journal.begin(Lane { http: Http::One, ..LANE }, Shape::Post);
        journal.end(&other, Ended::Failed("other".into()));
        let firsts: Vec<_> =
            journal.evidence().failed.into_iter().map(|f| (f.why, f.first)).collect();
        let expected = [("a", true), ("b", true), ("late", false), ("other", true)];
        assert_eq!(firsts, expected.map(|(why, first)| (why.to_owned(), first)));
    }

    #[test]
    fn a_call_that_is_handled_twice_is_found_and_one_of_the_other_side_is_not() {
        let journal = Journal::new(Duration::from_secs(1));
        let ids = [(); 3].map(|()| journal.begin(LANE, Shape::Get).id);
        assert_eq!(ids, [0, 1, 2]);
        for (side, id) in [(0, 0), (0, 1), (0, 1), (1, 0), (0, u64::MAX)] {
            journal.handled([Side::Mesh, Side::Stock][side], id);
        }
        let repeated = journal.evidence().repeated;
        assert_eq!(repeated.len(), 1);
        assert_eq!((repeated[0].side, repeated[0].id, repeated[0].times), (Side::Mesh, 1, 2));
    }
}
