//! The open requests, so that they can be found again.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::inbound::Exchange;

/// More than cores, so that threads seldom meet.
const SHARDS: usize = 64;
/// A shard whose requests are gone keeps room for so many.
const KEPT: usize = 1024;
/// So many are looked at before others get a turn.
const AT_ONCE: usize = 1024;

/// All open requests of a mesh. Every listener's bounds on connections and their streams bound
/// it; a place is taken and given back without allocating, under a lock that one thread has
/// nearly to itself.
pub(crate) struct Streams(Box<[Shard]>);

/// Apart from its neighbours in the cache.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<Places>);

#[derive(Default)]
struct Places {
    taken: Vec<Option<Weak<Exchange>>>,
    free: Vec<u32>,
}

/// Where a request stands among the open ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    shard: u32,
    at: u32,
}

/// How far somebody has looked through them.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    shard: usize,
    at: usize,
}

/// Numbers threads, for their shards.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
}

impl Default for Streams {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Shard::default()).collect())
    }
}

impl Streams {
    pub(crate) fn insert(&self, exchange: &Arc<Exchange>) -> Place {
        let shard = OWN.with(Cell::get);
        let mut places = self.0[shard].lock();
        let taken = Some(Arc::downgrade(exchange));
        let at = match places.free.pop() {
            Some(at) => {
                places.taken[at as usize] = taken;
                at
            }
            None => {
                places.taken.push(taken);
                // Never so many: a listener's bounds are far below.
                u32::try_from(places.taken.len() - 1).unwrap_or(u32::MAX)
            }
        };
        Place { shard: shard as u32, at }
    }

    pub(crate) fn remove(&self, place: Place) {
        let Some(shard) = self.0.get(place.shard as usize) else { return };
        let mut places = shard.lock();
        let gone = places.taken.get_mut(place.at as usize).and_then(Option::take);
        if gone.is_some() {
            places.free.push(place.at);
            if places.free.len() == places.taken.len() && places.taken.len() > KEPT {
                *places = Places::default();
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        let open = |shard: &Shard| {
            let places = shard.lock();
            places.taken.len() - places.free.len()
        };
        self.0.iter().map(open).sum()
    }

    /// Adds the next ones to `found`; `false` at the end. Those that come meanwhile may be missed.
    pub(crate) fn next(&self, cursor: &mut Cursor, found: &mut Vec<Arc<Exchange>>) -> bool {
        let mut left = AT_ONCE;
        while let Some(shard) = self.0.get(cursor.shard) {
            let places = shard.lock();
            let rest = places.taken.get(cursor.at..).unwrap_or_default();
            let looked = rest.len().min(left);
            found.extend(rest[..looked].iter().flatten().filter_map(Weak::upgrade));
            let whole = looked == rest.len();
            drop(places);
            *cursor = match whole {
                true => Cursor { shard: cursor.shard + 1, at: 0 },
                false => Cursor { shard: cursor.shard, at: cursor.at + looked },
            };
            left -= looked;
            if left == 0 {
                return true;
            }
        }
        false
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
