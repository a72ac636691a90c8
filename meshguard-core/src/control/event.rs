//! What happened, for the ledger and for sinks.

use std::collections::VecDeque;
use std::fmt;

use super::action::{Action, Effect};
use super::governor::GovernorRefusal;
use super::incident::{Incident, IncidentId, IncidentState};
use crate::baseline::{EdgeKey, Measure};

/// The most events that wait to be polled. What does not fit is counted and told as
/// [`Event::Gap`].
pub const MAX_EVENTS: usize = 4_096;

/// One step of the loop.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An incident was opened: as it was then.
    Opened(Box<Incident>),
    /// Another edge departs for the same cause as an incident's: it is listed there.
    Joined {
        /// Which.
        incident: IncidentId,
        /// The other edge.
        edge: EdgeKey,
        /// How it departs, in words.
        text: Box<str>,
    },
    /// An incident went from one state to another.
    State {
        /// Which.
        incident: IncidentId,
        /// Where.
        edge: EdgeKey,
        /// What it was.
        from: IncidentState,
        /// What it is.
        to: IncidentState,
    },
    /// An action took effect; an alert was told.
    Applied(Box<Action>),
    /// An action would have taken effect, but for shadow mode.
    Shadowed(Box<Action>),
    /// The governor refused an action.
    Refused {
        /// Which.
        action: Box<Action>,
        /// Which cap it would have broken.
        why: GovernorRefusal,
    },
    /// An action's effect was measured.
    Measured {
        /// Which.
        action: Box<Action>,
        /// What came of it.
        effect: Effect,
        /// The metric when the action was taken; `bits` are those of the signal.
        before: Measure,
        /// The metric now; not observed where nothing gets through any more.
        after: Measure,
    },
    /// An action was undone, for it did not help.
    Undone {
        /// Which.
        action: Box<Action>,
        /// What came of it.
        why: Effect,
    },
    /// An action held to its expiry.
    Expired(Box<Action>),
    /// An action was lifted before its time.
    Lifted {
        /// Which.
        action: Box<Action>,
        /// Why.
        why: Lift,
    },
    /// As many incidents as [`MAX_OPEN`](super::MAX_OPEN) are open, or half as many where the edge
    /// is an address; no other one is until one of them ends. Told once each time.
    Full {
        /// Where the first one was missed.
        edge: EdgeKey,
        /// How many were missed so far: [`Control::missed`](super::Control::missed).
        missed: u64,
    },
    /// So many events did not fit and are lost.
    Gap {
        /// How many.
        lost: u64,
    },
}

/// Why an action was lifted before its time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Lift {
    /// An operator released the edge.
    Released,
    /// An operator says that there was no cause.
    FalseAlarm,
    /// The kill switch.
    Frozen,
    /// The plan has changed: its reflex is no more, or another one, or the mode is shadow.
    Plan,
    /// There are fewer peers or instances than there were, so that it breaks a cap now.
    Governor(GovernorRefusal),
    /// One that comes before it needed its place: what a hard signal calls for; where this one is of an
    /// address, one of a caller; or else one that twice as many calls a second depart for.
    Displaced,
}

impl fmt::Display for Lift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released => f.write_str("an operator released it"),
            Self::FalseAlarm => f.write_str("an operator called it a false alarm"),
            Self::Frozen => f.write_str("the loop is frozen"),
            Self::Plan => f.write_str("the policy's plan has changed"),
            Self::Governor(why) => write!(f, "{why}"),
            Self::Displaced => f.write_str("one that comes before it needed its place"),
        }
    }
}

/// Events that wait, in their order.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: VecDeque<Event>,
    lost: u64,
}

impl Events {
    pub(super) fn push(&mut self, event: Event) {
        // One place is kept for the gap.
        if self.waiting.len() + 1 >= MAX_EVENTS {
            self.lost += 1;
            return;
        }
        if self.lost > 0 {
            self.waiting.push_back(Event::Gap { lost: std::mem::take(&mut self.lost) });
        }
        self.waiting.push_back(event);
    }

    pub(super) fn poll(&mut self) -> Option<Event> {
        let lost = |lost| (lost > 0).then_some(Event::Gap { lost });
        self.waiting.pop_front().or_else(|| lost(std::mem::take(&mut self.lost)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_do_not_fit_are_counted_and_told() {
        let mut events = Events::default();
        let event = Event::Gap { lost: 0 };
        for _ in 0..MAX_EVENTS + 9 {
            events.push(event.clone());
        }
        let polled: Vec<_> = std::iter::from_fn(|| events.poll()).collect();
        assert_eq!(polled.len(), MAX_EVENTS);
        assert_eq!(polled.last(), Some(&Event::Gap { lost: 10 }));
        assert!(polled[..MAX_EVENTS - 1].iter().all(|e| *e == event));
        assert_eq!(events.poll(), None);
    }

    #[test]
    fn a_gap_stands_where_the_events_are_missing() {
        let mut events = Events::default();
        for lost in 0..MAX_EVENTS as u64 {
            events.push(Event::Gap { lost });
        }
        assert_eq!(events.poll(), Some(Event::Gap { lost: 0 }));
        assert_eq!(events.poll(), Some(Event::Gap { lost: 1 }));
        events.push(Event::Gap { lost: 77 });
        let rest: Vec<_> = std::iter::from_fn(|| events.poll()).collect();
        let [.., gap, last] = rest.as_slice() else { panic!("{rest:?}") };
        assert_eq!((gap, last), (&Event::Gap { lost: 1 }, &Event::Gap { lost: 77 }));
    }
}
