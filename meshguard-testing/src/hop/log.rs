//! What was injected, when, and to which exchange.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::Method;
use tokio::sync::watch;

use super::fault::Fault;

/// A fault that took effect, or one that met its exchange and found nothing to act on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Injected {
    /// The fault.
    pub fault: Fault,
    /// The exchange's method.
    pub method: Method,
    /// The exchange's path, without its query.
    pub path: String,
    /// When it took effect, or when its exchange ended without.
    pub at: Instant,
    /// What exactly was done, for people.
    pub note: String,
}

/// Both lists grow only with injections that the owner of the hop asked for.
#[derive(Debug)]
pub(super) struct Log {
    lists: Mutex<Lists>,
    counts: watch::Sender<Counts>,
}

#[derive(Debug, Default)]
struct Lists {
    applied: Vec<Injected>,
    missed: Vec<Injected>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    applied: usize,
    missed: usize,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { lists: Mutex::default(), counts: watch::Sender::new(Counts::default()) }
    }

    pub(super) fn applied(&self) -> Vec<Injected> {
        self.lists().applied.clone()
    }

    pub(super) fn missed(&self) -> Vec<Injected> {
        self.lists().missed.clone()
    }

    pub(super) async fn reach_applied(&self, n: usize) -> Vec<Injected> {
        self.reach(|counts| counts.applied >= n).await;
        self.applied()
    }

    pub(super) async fn reach_missed(&self, n: usize) -> Vec<Injected> {
        self.reach(|counts| counts.missed >= n).await;
        self.missed()
    }

    async fn reach(&self, enough: impl Fn(&Counts) -> bool) {
        // An error would mean that the sender is gone, and it is a field of self.
        let _ = self.counts.subscribe().wait_for(enough).await;
    }

    fn record(&self, change: impl FnOnce(&mut Lists)) {
        let mut lists = self.lists();
        change(&mut lists);
        let (applied, missed) = (lists.applied.len(), lists.missed.len());
        self.counts.send_replace(Counts { applied, missed });
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        // Every change is one push, so a poisoned lock guards sound lists.
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to record one injection once: as applied, or when dropped before, as missed.
#[derive(Debug)]
pub(super) struct Ticket {
    log: Arc<Log>,
    fault: Fault,
    method: Method,
    path: String,
    done: bool,
}

impl Ticket {
    pub(super) fn new(log: &Arc<Log>, fault: Fault, method: &Method, path: &str) -> Self {
        let (method, path) = (method.clone(), path.to_owned());
        Self { log: Arc::clone(log), fault, method, path, done: false }
    }

    pub(super) fn fault(&self) -> &Fault {
        &self.fault
    }

    pub(super) fn apply(mut self, note: impl Into<String>) {
        self.done = true;
        let entry = self.entry(note.into());
        self.log.record(|lists| lists.applied.push(entry));
    }

    fn entry(&self, note: String) -> Injected {
        let (fault, method, path) = (self.fault.clone(), self.method.clone(), self.path.clone());
        Injected { fault, method, path, at: Instant::now(), note }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.done {
            let entry = self.entry("the exchange ended first".to_owned());
            self.log.record(|lists| lists.missed.push(entry));
        }
    }
}
