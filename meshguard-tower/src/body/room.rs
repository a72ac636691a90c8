//! Room for what has come of bodies and is not verified yet.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use meshguard_core::SpiffeId;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Room of a process, in bytes, for all principals together. While there is some, anybody takes it.
/// Where there is none, the principal that has most loses the one of its bodies that began first.
///
/// Counted is what has come, in whole steps: not what a head states, and nothing of what is shorter.
#[derive(Clone)]
pub(crate) struct Room(Arc<Inner>);

struct Inner {
    most: usize,
    step: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    taken: usize,
    /// By their numbers, so in the order in which they began.
    bodies: BTreeMap<u64, Body>,
    /// What each principal has in all its bodies. One without any has no entry.
    principals: HashMap<SpiffeId, usize>,
}

struct Body {
    of: SpiffeId,
    bytes: usize,
    evict: CancellationToken,
}

impl Room {
    pub(crate) fn new(most: usize, step: usize) -> Self {
        Self(Arc::new(Inner { most, step, state: Mutex::default() }))
    }

    /// For one body of a principal.
    pub(crate) fn share(&self, of: &SpiffeId) -> Share {
        Share { room: self.clone(), of: of.clone(), bytes: 0, taken: None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a body anew.
    fn set(&mut self, number: u64, bytes: usize) {
        let Some(body) = self.bodies.get_mut(&number) else { return };
        let before = std::mem::replace(&mut body.bytes, bytes);
        self.taken = self.taken + bytes - before;
        let of = self.principals.entry(body.of.clone()).or_default();
        *of = *of + bytes - before;
        if *of == 0 {
            self.principals.remove(&body.of);
        }
        if bytes == 0 {
            self.bodies.remove(&number);
        }
    }

    /// Has the principal that has most make room.
    fn evict(&mut self) {
        let most = self.principals.iter().max_by_key(|(_, bytes)| **bytes);
        let Some(most) = most.map(|(of, _)| of) else { return };
        let first = self.bodies.iter().find(|(_, body)| body.of == *most);
        let Some((number, evict)) = first.map(|(n, body)| (*n, body.evict.clone())) else { return };
        self.set(number, 0);
        evict.cancel();
    }
}

/// What one body takes of the [`Room`].
pub(crate) struct Share {
    room: Room,
    of: SpiffeId,
    bytes: usize,
    taken: Option<Taken>,
}

struct Taken {
    number: u64,
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Share {
    /// Counts what has come; ready where the body has to make room, now or later.
    pub(crate) fn poll_evicted(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let step = self.room.0.step;
        let bytes = bytes / step * step;
        if bytes != self.bytes {
            self.count(bytes);
        }
        match &mut self.taken {
            Some(taken) => taken.evicted.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    fn count(&mut self, bytes: usize) {
        let room = self.room.clone();
        let mut state = room.state();
        self.bytes = bytes;
        let number = match &self.taken {
            Some(taken) => taken.number,
            None => {
                let (number, evict) = (state.next, CancellationToken::new());
                state.next += 1;
                let evicted = Box::pin(evict.clone().cancelled_owned());
                state.bodies.insert(number, Body { of: self.of.clone(), bytes: 0, evict });
                self.taken = Some(Taken { number, evicted });
                number
            }
        };
        state.set(number, bytes);
        if bytes == 0 {
            self.taken = None;
        }
        while state.taken > room.0.most {
            state.evict();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(taken) = &self.taken {
            self.room.state().set(taken.number, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const STEP: usize = 4096;
    const A: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/a");
    const B: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/b");

    async fn is_out(share: &mut Share, bytes: usize) -> bool {
        poll_fn(|cx| Poll::Ready(share.poll_evicted(cx, bytes).is_ready())).await
    }

    #[tokio::test]
    async fn anybody_takes_what_is_free_and_who_has_most_loses_its_first_where_nothing_is() {
        let room = Room::new(10 * STEP, STEP);
        let (mut first, mut second) = (room.share(A), room.share(A));
        let mut other = room.share(B);
        assert!(!is_out(&mut first, 5 * STEP).await);
        assert!(!is_out(&mut second, 4 * STEP + STEP / 2).await);
        assert!(!is_out(&mut other, STEP).await, "there is room for ten");
        assert!(!is_out(&mut other, 2 * STEP).await, "it is not the one that has most");
        assert!(is_out(&mut first, 5 * STEP).await);
        assert!(!is_out(&mut second, 8 * STEP).await);
        // And where it has most by what comes now, it is the first of its own.
        assert!(is_out(&mut second, 9 * STEP).await);
        drop((first, second, other));
        let state = room.state();
        assert_eq!((state.taken, state.bodies.len(), state.principals.len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn what_is_verified_gives_its_room_back() {
        let room = Room::new(10 * STEP, STEP);
        let (mut a, mut b) = (room.share(A), room.share(A));
        for _ in 0..100 {
            assert!(!is_out(&mut a, 9 * STEP).await && !is_out(&mut b, STEP - 1).await);
            assert!(!is_out(&mut a, 0).await && !is_out(&mut b, 9 * STEP).await);
            assert!(!is_out(&mut b, STEP - 1).await);
            assert_eq!(room.state().taken, 0);
        }
    }
}
