//! What each principal takes of this process's memory, in all its sessions and connections.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use meshguard_core::SpiffeId;
use meshguard_core::delivery::Owed;

use super::{MAX_LIVE_PER_PRINCIPAL, SessionRefusal};

/// What one principal takes.
#[derive(Debug, Default)]
pub(crate) struct Principal {
    /// Answers whose receipts it owes.
    pub(crate) owed: Arc<Owed>,
    /// Its sessions that are not gone, whether they take new exchanges or not.
    live: AtomicUsize,
}

/// One session's place among its principal's, until it is gone.
#[derive(Debug)]
pub(crate) struct Place(Arc<Principal>);

/// All principals that take something.
#[derive(Default)]
pub(crate) struct Principals(Mutex<HashMap<SpiffeId, Weak<Principal>>>);

impl Principals {
    /// What `id` takes. Remembered for as long as somebody holds it.
    pub(crate) fn get(&self, id: &SpiffeId) -> Arc<Principal> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(id).and_then(Weak::upgrade) {
            return known;
        }
        // Looks through all of them as often as their number has doubled.
        if all.len() == all.capacity() {
            all.retain(|_, principal| principal.strong_count() > 0);
        }
        let new = Arc::new(Principal::default());
        all.insert(id.clone(), Arc::downgrade(&new));
        new
    }
}

impl Principal {
    /// Takes a place for a session.
    ///
    /// # Errors
    /// [`SessionRefusal::TooMany`] where all are taken: sessions that were ended go on while
    /// something runs in them.
    pub(super) fn place(self: &Arc<Self>) -> Result<Place, SessionRefusal> {
        let place = Place(Arc::clone(self));
        if self.live.fetch_add(1, Relaxed) >= MAX_LIVE_PER_PRINCIPAL {
            return Err(SessionRefusal::TooMany); // which gives it back
        }
        Ok(place)
    }
}

impl std::ops::Deref for Place {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/a");

    #[test]
    fn a_principal_is_one_until_nothing_of_it_is_left() {
        let all = Principals::default();
        let first = all.get(A);
        assert!(Arc::ptr_eq(&first, &all.get(A)));
        let place = first.place().unwrap();
        drop(first);
        assert_eq!(all.get(A).live.load(Relaxed), 1, "a session of it is left");
        drop(place);
        assert_eq!(all.get(A).live.load(Relaxed), 0);
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let all = Principals::default();
        for n in 0..10_000 {
            all.get(&format!("spiffe://shop.example/{n}").parse().unwrap());
        }
        assert!(all.0.lock().unwrap().len() < 100);
    }

    #[test]
    fn sessions_that_live_on_have_places_until_they_are_gone() {
        let principal = Arc::new(Principal::default());
        let place = || principal.place();
        let mut places: Vec<_> = (0..MAX_LIVE_PER_PRINCIPAL).map(|_| place().unwrap()).collect();
        assert_eq!(place().unwrap_err(), SessionRefusal::TooMany);
        places.pop();
        places.push(place().unwrap());
        assert_eq!(place().unwrap_err(), SessionRefusal::TooMany);
    }
}
