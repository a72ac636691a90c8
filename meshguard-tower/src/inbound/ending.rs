//! Ending a request that was let in: its caller has no right to it any more.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use super::exchange::Exchange;
use crate::decision::DecisionId;
use crate::rejudge::Change;

/// A part of a request that runs. While one does, the request is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Part {
    /// From its admission to its answer's head.
    Call = 0,
    /// Its body, until the application has all of it or has dropped it.
    Request = 1,
    /// Its answer's body, until the server has all of it or has dropped it.
    Answer = 2,
}

const PARTS: u8 = 0b111;
const ENDED: u8 = 0b1000;

/// Which parts of a request run, and whether they are to end: each wait is a place of its own,
/// so that nothing is allocated, and requests do not wait for each other.
#[derive(Default)]
pub(crate) struct Ending {
    state: AtomicU8,
    /// The change that has doomed it, by its number; 0: none has.
    doomed: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    waiting: [Option<Waker>; 3],
    /// Why it was ended: held until the last part is gone.
    change: Option<Arc<Change>>,
    id: Option<DecisionId>,
}

impl Part {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Ending {
    pub(crate) fn is_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) & ENDED != 0
    }

    /// As [`is_ended`](Self::is_ended); if not, the part's task is woken when it is.
    fn poll_ended(&self, part: Part, cx: &Context<'_>) -> bool {
        let mut inner = self.inner();
        if self.is_ended() {
            return true;
        }
        match &mut inner.waiting[part as usize] {
            Some(waker) => waker.clone_from(cx.waker()),
            place => *place = Some(cx.waker().clone()),
        }
        false
    }

    /// Ends what runs; whether anything did. `change` is let go with the last part.
    pub(crate) fn end(&self, change: &Arc<Change>, id: DecisionId) -> bool {
        let mut inner = self.inner();
        let state = self.state.fetch_or(ENDED, Ordering::AcqRel);
        if state & ENDED != 0 || state & PARTS == 0 {
            return false;
        }
        (inner.change, inner.id) = (Some(Arc::clone(change)), Some(id));
        let wakers = std::mem::take(&mut inner.waiting);
        drop(inner);
        wakers.into_iter().flatten().for_each(Waker::wake);
        true
    }

    /// The number of the decision that ended it.
    pub(crate) fn id(&self) -> Option<DecisionId> {
        self.inner().id
    }

    /// It is to be ended on account of this change, unless it is doomed already: whether not.
    pub(crate) fn doom(&self, change: u64) -> bool {
        self.doomed.compare_exchange(0, change, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether this change has doomed it, and no later one has spared it.
    pub(crate) fn is_doomed_by(&self, change: u64) -> bool {
        self.doomed.load(Ordering::Relaxed) == change
    }

    /// It is allowed again.
    pub(crate) fn spare(&self) {
        if self.doomed.load(Ordering::Relaxed) != 0 {
            self.doomed.store(0, Ordering::Relaxed);
        }
    }

    fn begin(&self, part: Part) {
        self.state.fetch_or(part.bit(), Ordering::AcqRel);
    }

    /// A part is gone; whether it was the last one.
    fn leave(&self, part: Part) -> bool {
        let mut inner = self.inner();
        let before = self.state.fetch_and(!part.bit(), Ordering::AcqRel);
        let last = before & PARTS == part.bit();
        let change = if last { inner.change.take() } else { None };
        let waker = inner.waiting[part as usize].take();
        // Both may call code that is not ours: not under the lock.
        drop(inner);
        drop((change, waker));
        last
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part that runs; dropping it is its end.
pub(crate) struct Running {
    exchange: Arc<Exchange>,
    part: Part,
}

impl Running {
    /// A further part begins while another one runs.
    pub(crate) fn new(exchange: &Arc<Exchange>, part: Part) -> Self {
        exchange.ending.begin(part);
        Self { exchange: Arc::clone(exchange), part }
    }

    pub(crate) fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.exchange.is_ended()
    }

    /// As [`is_ended`](Self::is_ended); if not, the task is woken when it is.
    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> bool {
        self.exchange.is_ended() || self.exchange.ending.poll_ended(self.part, cx)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.exchange.ending.leave(self.part) {
            self.exchange.gone();
        }
    }
}

#[cfg(test)]
mod tests {
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

    const ID: DecisionId = DecisionId::from_random([7; 16]);

    #[test]
    fn what_waits_is_woken_once_and_what_is_gone_is_not() {
        let (ending, woken) = (Ending::default(), Arc::new(Woken::default()));
        let waker = Arc::clone(&woken).into();
        let cx = Context::from_waker(&waker);
        for part in [Part::Call, Part::Request, Part::Answer] {
            ending.begin(part);
            assert!(!ending.poll_ended(part, &cx) && !ending.poll_ended(part, &cx));
        }
        assert!(!ending.leave(Part::Request));
        let change = Change::of_nobody();
        assert!(ending.end(&change, ID) && !ending.end(&change, ID));
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert!(ending.poll_ended(Part::Call, &cx) && ending.id() == Some(ID));
    }

    #[test]
    fn a_change_is_held_until_the_last_part_is_gone() {
        let (ending, change) = (Ending::default(), Change::of_nobody());
        ending.begin(Part::Call);
        ending.begin(Part::Answer);
        assert!(ending.end(&change, ID));
        assert!(!ending.leave(Part::Call));
        assert_eq!(Arc::strong_count(&change), 2);
        assert!(ending.leave(Part::Answer));
        assert_eq!(Arc::strong_count(&change), 1);
    }

    #[test]
    fn what_is_over_is_not_ended() {
        let (ending, change) = (Ending::default(), Change::of_nobody());
        ending.begin(Part::Call);
        assert!(ending.leave(Part::Call));
        assert!(!ending.end(&change, ID));
        assert_eq!(Arc::strong_count(&change), 1);
    }

    #[test]
    fn who_is_spared_and_denied_again_has_its_time_again() {
        let ending = Ending::default();
        assert!(ending.doom(1) && !ending.doom(2) && ending.is_doomed_by(1));
        ending.spare();
        assert!(!ending.is_doomed_by(1) && ending.doom(3) && ending.is_doomed_by(3));
    }
}
