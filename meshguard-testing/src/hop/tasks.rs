//! Every task of a hop, so that none outlives it.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;

#[derive(Debug)]
pub(super) struct Tasks(Mutex<Option<JoinSet<()>>>);

impl Tasks {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Some(JoinSet::new())))
    }

    /// Runs `task`, unless the hop has stopped.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(set) = self.lock().as_mut() {
            while set.try_join_next().is_some() {}
            set.spawn(task);
        }
    }

    /// Tells all tasks to stop, and takes no more.
    pub(super) fn stop(&self) -> JoinSet<()> {
        let mut set = self.lock().take().unwrap_or_default();
        set.abort_all();
        set
    }

    fn lock(&self) -> MutexGuard<'_, Option<JoinSet<()>>> {
        // The set is sound between any two steps, so poison tells nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
