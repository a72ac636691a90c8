//! The injections that wait for their exchange.

use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use tokio::sync::oneshot;

use super::body::Held;
use super::fault::{Fault, Injection, Match};
use super::log::{Log, Ticket};

/// Injections in order. They come from the owner of the hop only, never from a peer.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Vec<Pending>>);

#[derive(Debug)]
struct Pending {
    fault: Fault,
    on: Match,
    seat: Option<Seat>,
}

/// One of the two places at an exchange of answers or bodies: gives its own, takes the other's.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) give: oneshot::Sender<Swapped>,
    pub(super) take: oneshot::Receiver<Swapped>,
}

/// What two exchanges swap: a body, and a head where whole answers are swapped.
#[derive(Debug)]
pub(super) struct Swapped {
    pub(super) head: Option<http::Response<()>>,
    pub(super) body: Held,
}

/// What an exchange has to suffer.
pub(super) struct Due {
    pub(super) ticket: Ticket,
    pub(super) seat: Option<Seat>,
}

impl Queue {
    pub(super) fn push(&self, injection: Injection) {
        let Injection { fault, on } = injection;
        self.lock().push(Pending { fault, on, seat: None });
    }

    /// Takes the first injection that is due for `head`, if any.
    pub(super) fn take(&self, head: &Request<()>, log: &Arc<Log>) -> Option<Due> {
        let (method, path) = (head.method(), head.uri().path());
        let mut queue = self.lock();
        let at = queue.iter_mut().position(|p| p.on.holds(method, path) && p.on.is_due())?;
        let Pending { fault, on, seat } = queue.remove(at);
        let seat = seat.or_else(|| {
            let (mine, theirs) = seats(&fault)?;
            let fault = fault.clone();
            queue.insert(at, Pending { fault, on: on.skip(0), seat: Some(theirs) });
            Some(mine)
        });
        Some(Due { ticket: Ticket::new(log, fault, method, path), seat })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Pending>> {
        // Between any two steps the queue is sound, so poison tells nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seats(fault: &Fault) -> Option<(Seat, Seat)> {
    matches!(fault, Fault::SwapAnswers | Fault::SwapRequestBodies).then(|| {
        let (give_first, take_second) = oneshot::channel();
        let (give_second, take_first) = oneshot::channel();
        let first = Seat { give: give_first, take: take_first };
        (first, Seat { give: give_second, take: take_second })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(path: &str) -> Request<()> {
        Request::get(path).body(()).unwrap()
    }

    #[test]
    fn an_injection_is_for_one_exchange() {
        let (queue, log) = (Queue::default(), Arc::new(Log::new()));
        queue.push(Injection { fault: Fault::DropRequest, on: Match::path("/b") });
        assert!(queue.take(&head("/a"), &log).is_none());
        let due = queue.take(&head("/b"), &log).unwrap();
        due.ticket.apply("done");
        assert!(queue.take(&head("/b"), &log).is_none());
        assert_eq!((log.applied().len(), log.missed().len()), (1, 0));
    }

    #[test]
    fn a_swap_is_for_two_exchanges() {
        let (queue, log) = (Queue::default(), Arc::new(Log::new()));
        queue.push(Injection { fault: Fault::SwapAnswers, on: Match::any().skip(1) });
        assert!(queue.take(&head("/0"), &log).is_none());
        let first = queue.take(&head("/1"), &log).unwrap().seat.unwrap();
        let mut second = queue.take(&head("/2"), &log).unwrap().seat.unwrap();
        assert!(queue.take(&head("/3"), &log).is_none());
        first.give.send(Swapped { head: None, body: Held::default() }).unwrap();
        assert!(second.take.try_recv().is_ok());
    }

    #[test]
    fn an_injection_that_finds_nothing_is_a_miss() {
        let (queue, log) = (Queue::default(), Arc::new(Log::new()));
        queue.push(Injection { fault: Fault::DropRequest, on: Match::any() });
        drop(queue.take(&head("/"), &log));
        assert_eq!((log.applied().len(), log.missed().len()), (0, 1));
    }
}
