//! The books of all channels.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use meshguard_core::delivery::Counts;

use crate::session::ClientSession;

/// The sessions that this service sends on, and the books of those that have ended.
#[derive(Default)]
pub(crate) struct Registry {
    live: Mutex<Vec<Weak<ClientSession>>>,
    ended: Arc<Mutex<Counts>>,
}

impl Registry {
    /// Where a session that ends adds its books.
    pub(crate) fn ended(&self) -> Arc<Mutex<Counts>> {
        Arc::clone(&self.ended)
    }

    pub(crate) fn add(&self, session: &Arc<ClientSession>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|s| s.strong_count() > 0);
        live.push(Arc::downgrade(session));
    }

    /// Adds the books of a call that never was in a session, or was taken back from one.
    pub(crate) fn add_ended(&self, counts: Counts) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) += counts;
    }

    /// How many sessions there are.
    pub(crate) fn len(&self) -> usize {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().filter(|s| s.strong_count() > 0).count()
    }

    /// How all exchanges ended.
    pub(crate) fn counts(&self) -> Counts {
        // Kept alive until the sum is made, so that none is missed or counted twice.
        let live: Vec<_> = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.iter().filter_map(Weak::upgrade).collect()
        };
        let mut sum = *self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().for_each(|s| sum += s.sender().counts());
        sum
    }
}
