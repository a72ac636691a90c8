//! Ending what runs in a session: its peer's right to be here was withdrawn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// Cuts a session's running bodies off, once and for good.
///
/// A body registers only while it waits for its connection, so that one which is there at once
/// costs nothing but a load.
#[derive(Default)]
pub(crate) struct Ender {
    ended: AtomicBool,
    waiting: Mutex<Vec<Option<Waker>>>,
}

/// A body's place among those that wait.
#[derive(Default)]
pub(crate) struct Place(Option<usize>);

impl Ender {
    /// Whether the session was ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// As [`is_ended`](Self::is_ended); if not, the task is woken when it is.
    pub(crate) fn poll_ended(&self, place: &mut Place, cx: &Context<'_>) -> bool {
        let mut waiting = self.waiting();
        if self.is_ended() {
            return true;
        }
        match place.0 {
            Some(at) => match &mut waiting[at] {
                Some(waker) => waker.clone_from(cx.waker()),
                gone => *gone = Some(cx.waker().clone()),
            },
            None => {
                let waker = Some(cx.waker().clone());
                let free = waiting.iter().position(Option::is_none);
                place.0 = Some(free.unwrap_or(waiting.len()));
                match free {
                    Some(at) => waiting[at] = waker,
                    None => waiting.push(waker),
                }
            }
        }
        false
    }

    /// The body has ended by itself.
    pub(crate) fn leave(&self, place: &mut Place) {
        if let Some(at) = place.0.take() {
            let mut waiting = self.waiting();
            if let Some(waker) = waiting.get_mut(at) {
                *waker = None;
            }
        }
    }

    /// Ends the session.
    pub(crate) fn end(&self) {
        let wakers = {
            let mut waiting = self.waiting();
            self.ended.store(true, Ordering::Release);
            std::mem::take(&mut *waiting)
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Option<Waker>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_is_woken_once_and_who_left_is_not() {
        let (ender, woken) = (Ender::default(), Arc::new(Woken::default()));
        let waker = Arc::clone(&woken).into();
        let cx = Context::from_waker(&waker);
        let mut places: Vec<Place> = (0..3).map(|_| Place::default()).collect();
        for place in places.iter_mut().chain([]) {
            assert!(!ender.poll_ended(place, &cx) && !ender.poll_ended(place, &cx));
        }
        ender.leave(&mut places[1]);
        let mut late = Place::default();
        assert!(!ender.poll_ended(&mut late, &cx), "takes the place that was left");
        assert_eq!(ender.waiting().len(), 3);
        ender.leave(&mut late);
        ender.end();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert!(ender.is_ended() && ender.poll_ended(&mut places[0], &cx));
        ender.leave(&mut places[0]);
        ender.end();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    }
}
