//! The books of all channels.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use meshguard_core::delivery::Counts;

use super::Shared;
use crate::session::ClientSession;

/// The sessions that this service sends on, and the books of those that have ended.
#[derive(Default)]
pub(crate) struct Registry {
    live: Mutex<Vec<Live>>,
    ended: Arc<Mutex<Counts>>,
}

/// A session, and the channel that it belongs to.
struct Live {
    session: Weak<ClientSession>,
    channel: Weak<Shared>,
}

impl Registry {
    /// Where a session that ends adds its books.
    pub(crate) fn ended(&self) -> Arc<Mutex<Counts>> {
        Arc::clone(&self.ended)
    }

    /// Adds a session, or gives it to another channel.
    pub(super) fn add(&self, channel: &Arc<Shared>, session: &Arc<ClientSession>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let other = |live: &Live| live.session.as_ptr() != Arc::as_ptr(session);
        live.retain(|live| live.session.strong_count() > 0 && other(live));
        live.push(Live { session: Arc::downgrade(session), channel: Arc::downgrade(channel) });
    }

    /// Adds the books of a call that never was in a session, or was taken back from one.
    pub(crate) fn add_ended(&self, counts: Counts) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) += counts;
    }

    /// How many sessions there are.
    pub(crate) fn len(&self) -> usize {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().filter(|live| live.session.strong_count() > 0).count()
    }

    /// The sessions whose channels are there.
    pub(super) fn all(&self) -> Vec<(Arc<Shared>, Arc<ClientSession>)> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        // A channel is not let go of here: with its last owner, it adds a session.
        let of = |live: &Live| {
            let session = live.session.upgrade()?;
            Some((live.channel.upgrade()?, session))
        };
        live.iter().filter_map(of).collect()
    }

    /// How all exchanges ended.
    pub(crate) fn counts(&self) -> Counts {
        // Kept alive until the sum is made, so that none is missed or counted twice.
        let live: Vec<_> = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.iter().filter_map(|live| live.session.upgrade()).collect()
        };
        let mut sum = *self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().for_each(|s| sum += s.sender().counts());
        sum
    }
}
