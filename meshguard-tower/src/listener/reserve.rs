//! Places for handshakes from addresses that the loop restricts, and from which a peer was
//! authenticated: a handshake that finishes is let in, and those that do not have few places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Places of one address.
pub(crate) const RESERVED: usize = 16;
/// A handshake in such a place has so long.
pub(crate) const RESERVED_FOR: Duration = Duration::from_secs(1);
/// One that fails keeps its place until so long after its beginning: 64 of them in a second.
pub(crate) const FAILED_FOR: Duration = Duration::from_millis(250);

/// How many places of each address are taken. One without any has no entry.
#[derive(Default)]
pub(crate) struct Reserve(Mutex<HashMap<IpAddr, usize>>);

/// A handshake's place; dropping it frees the place.
pub(crate) struct Reserved {
    reserve: Arc<Reserve>,
    source: IpAddr,
    since: Instant,
}

impl Reserve {
    /// A place; `None` where all of this address are taken.
    pub(crate) fn enter(self: &Arc<Self>, source: IpAddr) -> Option<Reserved> {
        let mut taken = self.taken();
        let count = taken.entry(source).or_default();
        if *count >= RESERVED {
            return None;
        }
        *count += 1;
        Some(Reserved { reserve: Arc::clone(self), source, since: Instant::now() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// The handshake has failed: its place is free a while later.
    pub(crate) async fn fail(self) {
        sleep_until(self.since + FAILED_FOR).await;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut taken = self.reserve.taken();
        if let Some(count) = taken.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_places_of_its_own_and_what_is_free_takes_no_memory() {
        let reserve = Arc::new(Reserve::default());
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut held: Vec<_> = (0..RESERVED).map(|_| reserve.enter(ip(1)).unwrap()).collect();
        assert!(reserve.enter(ip(1)).is_none() && reserve.enter(ip(2)).is_some());
        held.pop();
        assert!(reserve.enter(ip(1)).is_some());
        drop(held);
        assert!(reserve.taken().is_empty());
    }
}
