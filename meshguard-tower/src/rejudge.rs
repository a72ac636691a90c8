//! What is open is judged again when what is allowed changes.
//!
//! A request is decided upon by its head; it may then run for hours. So every change that may
//! turn an allowance into a denial (a policy, trust that falls, what the loop puts into force,
//! a certificate that holds no longer) has all open requests judged again, each with the facts of
//! its own head, and ends those that would not be let in now: their bodies fail with
//! [`DeliveryErrorKind::Withdrawn`](crate::DeliveryErrorKind::Withdrawn) here, and at the caller
//! as a body that its callee broke off. Then the connections whose peers may do nothing at all
//! any more are closed.

mod change;
mod docket;
mod driver;
#[cfg(test)]
mod fault;
mod streams;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshguard_core::{SpiffeId, Timestamp};
use tokio::sync::{Notify, watch};

pub(crate) use change::Change;
pub(crate) use driver::drive;
pub(crate) use streams::{Place, Streams};

use crate::mesh::Mesh;

/// Requests that a policy denies are ended so many in a turn, connections too.
pub const ENDED_PER_TURN: usize = 1024;
/// The turns in which requests and connections are ended follow each other so closely.
pub const TURN: Duration = Duration::from_millis(10);
/// A connection that is told to finish has so long to do so.
pub(crate) const LINGER: Duration = Duration::from_millis(50);
/// Changes that wait to be dealt with; more become one that concerns everybody.
const MAX_WAITING: usize = 64;

/// How gently a change of policy ends what it denies.
///
/// Both hold for changes of *policy* only, which may be somebody's mistake. Whom the loop cuts
/// off, and whose certificate was revoked, is ended at once and wholly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejudging {
    pub(crate) grace: Duration,
    pub(crate) cap: usize,
}

impl Default for Rejudging {
    fn default() -> Self {
        Self { grace: Duration::ZERO, cap: ENDED_PER_TURN }
    }
}

impl Rejudging {
    /// What a new policy denies may go on for so long, to come to an end of its own; if a later
    /// policy allows it again in that time, it is spared. Default 0: it ends at once.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// At most so many requests, and as many connections, are ended in each turn of 10 ms
    /// ([`TURN`]), so that a policy which denies all does not have all of its peers come back in
    /// the same instant. Default [`ENDED_PER_TURN`]. 0 is taken as 1.
    #[must_use]
    pub fn with_cap(mut self, cap: usize) -> Self {
        self.cap = cap.max(1);
        self
    }
}

/// Why what was open had to be judged again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Another policy is in force, or none is any more.
    Policy,
    /// A caller is trusted less.
    Trust,
    /// The loop asks more of a caller.
    Tightened,
    /// The loop has cut a caller off.
    Quarantine,
    /// Credentials, roots or revocation lists were replaced.
    Credentials,
    /// A token's time is over, or the keys were replaced that tokens are signed with.
    Token,
}

impl Cause {
    /// A short name, for logs and counters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Trust => "trust",
            Self::Tightened => "tightened",
            Self::Quarantine => "quarantine",
            Self::Credentials => "credentials",
            Self::Token => "token",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one change came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rejudgement {
    /// Why.
    pub cause: Cause,
    /// When it was done.
    pub at: Timestamp,
    /// The version of the policy in force when the change came.
    pub policy_version: u64,
    /// Open requests that were judged again.
    pub judged: u64,
    /// Requests that were ended.
    pub streams: u64,
    /// Connections that were closed.
    pub connections: u64,
    /// From the change until the last of those was gone: grace included, where there is one.
    pub delay: Duration,
}

/// What all changes came to so far.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Rejudged {
    /// Changes that are done: all that they ended is gone.
    pub changes: u64,
    /// Open requests that were judged again, all changes together.
    pub judged: u64,
    /// Requests that were ended.
    pub streams: u64,
    /// Connections that were closed.
    pub connections: u64,
    /// The longest of all delays.
    pub slowest: Duration,
    /// The change that was done last.
    pub last: Option<Rejudgement>,
}

/// Whom a change concerns.
pub(crate) enum Whom {
    All,
    /// Requests of these callers.
    Only(Vec<SpiffeId>),
}

pub(crate) struct Trigger {
    pub(crate) change: Arc<Change>,
    pub(crate) whom: Whom,
}

/// What a mesh has open, and which changes wait to be dealt with.
pub(crate) struct State {
    pub(crate) streams: Streams,
    settings: Rejudging,
    /// Raised by every change, behind what it changed: a request that sees the same number
    /// before and after its admission was judged by what is in force.
    epoch: AtomicU64,
    waiting: Mutex<Vec<Trigger>>,
    wake: Arc<Notify>,
    told: watch::Sender<Rejudged>,
    #[cfg(test)]
    pub(crate) faults: fault::Faults,
}

impl State {
    pub(crate) fn new(settings: Rejudging) -> Self {
        Self {
            streams: Streams::default(),
            settings,
            epoch: AtomicU64::new(0),
            waiting: Mutex::default(),
            wake: Arc::default(),
            told: watch::Sender::default(),
            #[cfg(test)]
            faults: fault::Faults::default(),
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn take(&self) -> Vec<Trigger> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, mut trigger: Trigger) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let merged = if waiting.len() < MAX_WAITING {
            Vec::new()
        } else {
            trigger.whom = Whom::All;
            std::mem::take(&mut *waiting)
        };
        waiting.push(trigger);
        drop(waiting);
        // Telling of those is others' code: without the lock.
        drop(merged);
        self.wake.notify_one();
    }
}

impl Mesh {
    /// What re-judging came to: how many open requests and connections changes of what is allowed
    /// have ended, and how long that took. Each change is told once all that it ended is gone.
    #[must_use]
    pub fn rejudged(&self) -> watch::Receiver<Rejudged> {
        self.0.rejudge.told.subscribe()
    }

    /// How many requests are open: let in, and not yet at the end of both their bodies.
    #[must_use]
    pub fn streams_open(&self) -> usize {
        self.0.rejudge.streams.len()
    }

    /// Something is about to change.
    pub(crate) fn change(&self, cause: Cause) -> Arc<Change> {
        let (mesh, version) = (Arc::downgrade(&self.0), self.policy().version());
        Arc::new(Change::new(mesh, cause, version))
    }

    /// It has changed: what is open is judged again.
    pub(crate) fn rejudge(&self, change: Arc<Change>, whom: Whom) {
        self.0.rejudge.epoch.fetch_add(1, Ordering::SeqCst);
        // Nothing is open where nobody has listened yet.
        if self.is_watching() {
            self.0.rejudge.push(Trigger { change, whom });
        }
    }

    /// All that a change has ended is gone.
    pub(crate) fn has_rejudged(&self, done: Rejudgement) {
        tracing::info!(
            target: "meshguard::rejudge",
            {
                change.cause = done.cause.as_str(),
                policy.version = done.policy_version,
                streams.judged = done.judged,
                streams.ended = done.streams,
                connections.closed = done.connections,
                delay.us = u64::try_from(done.delay.as_micros()).unwrap_or(u64::MAX)
            },
            "what was open has been judged again"
        );
        self.0.rejudge.told.send_modify(|all| {
            all.changes += 1;
            all.judged += done.judged;
            all.streams += done.streams;
            all.connections += done.connections;
            all.slowest = all.slowest.max(done.delay);
            all.last = Some(done);
        });
    }
}
