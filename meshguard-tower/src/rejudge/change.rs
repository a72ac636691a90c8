//! A change of what is allowed, until the last one it has ended is gone.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::time::Instant;

use super::{Cause, Rejudgement};
use crate::clock::wall;
use crate::mesh::{Mesh, Shared};

/// Numbers changes, over all meshes of the process; 0 is none.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// One change. Whatever is to end on its account holds it: when the last one lets go, all of it
/// is done, and that is told.
pub(crate) struct Change {
    mesh: Weak<Shared>,
    number: u64,
    cause: Cause,
    policy_version: u64,
    since: Instant,
    judged: AtomicU64,
    streams: AtomicU64,
    connections: AtomicU64,
    void: AtomicBool,
}

impl Change {
    pub(super) fn new(mesh: Weak<Shared>, cause: Cause, policy_version: u64) -> Self {
        Self {
            mesh,
            number: NEXT.fetch_add(1, Relaxed),
            cause,
            policy_version,
            since: Instant::now(),
            judged: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            void: AtomicBool::new(false),
        }
    }

    #[cfg(test)]
    pub(crate) fn of_nobody() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self::new(Weak::new(), Cause::Policy, 0))
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn cause(&self) -> Cause {
        self.cause
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// It did not come about: there is nothing to tell of it.
    pub(crate) fn void(&self) {
        self.void.store(true, Relaxed);
    }

    pub(crate) fn is_void(&self) -> bool {
        self.void.load(Relaxed)
    }

    pub(super) fn has_judged(&self) {
        self.judged.fetch_add(1, Relaxed);
    }

    pub(crate) fn has_ended_stream(&self) {
        self.streams.fetch_add(1, Relaxed);
    }

    pub(crate) fn has_ended_connection(&self) {
        self.connections.fetch_add(1, Relaxed);
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if *self.void.get_mut() {
            return;
        }
        let Some(mesh) = self.mesh.upgrade().map(Mesh) else { return };
        mesh.has_rejudged(Rejudgement {
            cause: self.cause,
            at: wall(),
            policy_version: self.policy_version,
            judged: *self.judged.get_mut(),
            streams: *self.streams.get_mut(),
            connections: *self.connections.get_mut(),
            delay: self.since.elapsed(),
        });
    }
}
