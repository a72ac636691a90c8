//! What must not stay silent: the calls that a policy expects, and the alarm where they do not
//! come.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use meshguard_core::policy::Expectation;
use meshguard_core::{Access, Policy, SpiffeId, Timestamp};

use crate::clock::Offset;

/// An expectation as it stands: from [`Mesh::expectations`](crate::Mesh::expectations).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExpectationStatus {
    /// Its name.
    pub name: String,
    /// So many calls are expected,
    pub at_least: u64,
    /// in so long a time.
    pub within: Duration,
    /// The calls that came since `since`.
    pub seen: u64,
    /// When the period that is running began.
    pub since: Timestamp,
    /// Periods that ended with too few.
    pub absences: u64,
}

/// What the policy in force expects of this service, and what came of it. A document that several
/// services share also names what others are to be called for: only they can count that.
#[derive(Default)]
pub(crate) struct Expectations(ArcSwap<Book>);

#[derive(Default)]
struct Book {
    /// `None`: nothing is expected.
    policy: Option<Arc<Policy>>,
    /// Of each of the policy's expectations, in their order; `None` is another service's.
    counts: Vec<Option<Arc<Count>>>,
}

impl Book {
    /// The expectations of this service.
    fn own(&self) -> impl Iterator<Item = (Expectation<'_>, &Arc<Count>)> {
        let all = self.policy.iter().flat_map(|policy| policy.expectations()).zip(&self.counts);
        all.filter_map(|(expected, count)| Some((expected, count.as_ref()?)))
    }
}

struct Count {
    seen: AtomicU64,
    absences: AtomicU64,
    began: Mutex<Timestamp>,
}

/// A period that ended with fewer calls than were expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    pub(crate) name: String,
    at_least: u64,
    within: Duration,
    seen: u64,
}

impl Expectations {
    /// Another policy is in force for the service `own`. What it expects as the one before did goes
    /// on where it is; the rest begins with a whole period.
    pub(crate) fn replace(&self, policy: &Arc<Policy>, own: &SpiffeId, now: Timestamp) {
        let before = self.0.load();
        if before.counts.is_empty() && policy.expectations().next().is_none() {
            return;
        }
        let old: Vec<_> = before.own().collect();
        let counts = policy.expectations().map(|new| {
            let same = || old.iter().find(|(old, _)| old.is_same(&new));
            let count = || same().map_or_else(|| Arc::new(Count::new(now)), |(_, c)| Arc::clone(c));
            new.is_of(own).then(count)
        });
        let mut counts: Vec<_> = counts.collect();
        if counts.iter().all(Option::is_none) {
            counts.clear();
        }
        let policy = (!counts.is_empty()).then(|| Arc::clone(policy));
        self.0.store(Arc::new(Book { policy, counts }));
    }

    /// Whether anything is expected, so that calls need to be shown.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load().counts.is_empty()
    }

    /// A call has come, and was answered well.
    pub(crate) fn came(&self, access: &Access<'_>) {
        let book = self.0.load();
        for (expected, count) in book.own() {
            if expected.counts(access) {
                count.seen.fetch_add(1, Relaxed);
            }
        }
    }

    /// Ends the periods that are over by `now`; those in which too few calls came.
    pub(crate) fn absent(&self, now: Timestamp) -> Vec<Absence> {
        let book = self.0.load();
        let absent = book.own().filter_map(|(expected, count)| {
            let (at_least, within) = (expected.at_least(), expected.within());
            let seen = count.end(within, now)?;
            (seen < at_least).then(|| {
                count.absences.fetch_add(1, Relaxed);
                Absence { name: expected.name().to_owned(), at_least, within, seen }
            })
        });
        absent.collect()
    }

    /// In the order of the policy.
    pub(crate) fn status(&self, offset: Offset) -> Vec<ExpectationStatus> {
        let book = self.0.load();
        let status = book.own().map(|(expected, count)| ExpectationStatus {
            name: expected.name().to_owned(),
            at_least: expected.at_least(),
            within: expected.within(),
            seen: count.seen.load(Relaxed),
            since: offset.to_wall(*count.began()),
            absences: count.absences.load(Relaxed),
        });
        status.collect()
    }
}

impl Count {
    fn new(now: Timestamp) -> Self {
        let (seen, absences) = Default::default();
        Self { seen, absences, began: Mutex::new(now) }
    }

    fn began(&self) -> std::sync::MutexGuard<'_, Timestamp> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls of the period, if it is over. The next one begins where it ended, or now where
    /// a whole one has passed since: nobody counted then.
    fn end(&self, within: Duration, now: Timestamp) -> Option<u64> {
        let mut began = self.began();
        let ends = *began + within;
        if now < ends {
            return None;
        }
        *began = if now.since(ends) < within { ends } else { now };
        Some(self.seen.swap(0, Relaxed))
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, at_least, within, seen } = self;
        write!(f, "{name}: {seen} of at least {at_least} came in {within:?}")
    }
}

#[cfg(test)]
mod tests;
