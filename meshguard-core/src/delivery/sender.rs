//! What the sender of a session keeps: its seqs, its books, and the receipts that it owes.

mod void;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::mem;
use std::time::Duration;

use super::field::Range;
use super::{Counts, MAX_ACKS, Outcome, Receipt, Unknown};
use crate::time::Timestamp;
use void::Void;

/// So many receipts ride on the next request as soon as they wait.
const BATCH: usize = 32;
/// Receipts that have waited so long ride on the next request, however few they are.
const RIDE: Duration = Duration::from_millis(50);
/// Receipts that have waited so long get a request of their own.
pub const FLUSH: Duration = Duration::from_millis(100);
/// The sender's half of a session: one for each, behind its lock.
#[derive(Debug)]
pub struct Sender {
    window: u64,
    /// Whether a hop may answer in the receiver's place.
    hop: bool,
    low: u64,
    /// The highest seq whose answer had a proven head: the receiver has seen it.
    seen: u64,
    /// For each seq from `low` on, whether an attempt of it may still be sent.
    holding: VecDeque<bool>,
    /// Answers consumed whole: acknowledged on a later request's head.
    acks: BTreeMap<u64, Receipt>,
    /// Receipts that need a request of their own.
    owed: Vec<(u64, Receipt)>,
    waiting_since: Option<Timestamp>,
    void: Void,
    counts: Counts,
}

/// One exchange under way. Not `Clone`, and taken by [`Sender::end`]: it ends exactly once.
#[derive(Debug)]
pub struct Ticket {
    seq: u64,
    holds_low: bool,
    own: bool,
    acks: Vec<(u64, Receipt)>,
    /// The `low` that its head tells, and what is void below.
    low: u64,
    void: Vec<Range>,
}

/// What a request's head says of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The exchange's number.
    pub seq: u64,
    /// How often the seq was fenced before.
    pub att: u8,
    /// The lowest seq of which an attempt may still be sent.
    pub low: u64,
}

/// As many exchanges are under way as the receiver allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowFull {
    /// The receiver's window, in seqs.
    pub window: u64,
}

impl Sender {
    /// A session's sender, with the window that the receiver's settings give.
    #[must_use]
    pub fn new(window: u64) -> Self {
        Self {
            window,
            hop: false,
            low: 1,
            seen: 0,
            holding: VecDeque::new(),
            acks: BTreeMap::new(),
            owed: Vec::new(),
            waiting_since: None,
            void: Void::default(),
            counts: Counts::default(),
        }
    }

    /// Of a session through a hop. An answer without proof is then the hop's: the request that it
    /// answers was not given up, and a receiver that never saw it misses it.
    #[must_use]
    pub fn through_hop(mut self) -> Self {
        self.hop = true;
        self
    }

    /// Whether another exchange may begin: its number and its `low` would be within the
    /// receiver's window.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let low = self.void.low(self.low);
        self.next() - low < self.window && low <= self.seen + self.window
    }

    fn next(&self) -> u64 {
        self.low + self.holding.len() as u64
    }

    /// Begins an exchange, which carries what acknowledgements wait.
    ///
    /// # Errors
    /// Where the window is full.
    pub fn begin(&mut self, now: Timestamp) -> Result<(Ticket, Admission), WindowFull> {
        if !self.has_room() {
            return Err(WindowFull { window: self.window });
        }
        self.counts.begin();
        let acks = self.take_acks(now);
        Ok(self.admit(acks, false))
    }

    /// Begins one of the protocol's own exchanges, which stands in no books.
    ///
    /// # Errors
    /// Where the window is full.
    pub fn begin_own(&mut self) -> Result<(Ticket, Admission), WindowFull> {
        if !self.has_room() {
            return Err(WindowFull { window: self.window });
        }
        Ok(self.admit(Vec::new(), true))
    }

    fn admit(&mut self, acks: Vec<(u64, Receipt)>, own: bool) -> (Ticket, Admission) {
        let (seq, low) = (self.next(), self.void.low(self.low));
        self.holding.push_back(true);
        let void = self.void.below(low);
        let ticket = Ticket { seq, holds_low: true, own, acks, low, void };
        (ticket, Admission { seq, att: 0, low })
    }

    /// The exchange's answer has a head whose proof holds: what its request carried has
    /// arrived, and no attempt of it will be sent again. Not for an answer that says that the
    /// request was not admitted.
    pub fn head_proven(&mut self, ticket: &mut Ticket) {
        self.void.told(ticket.low);
        self.seen = self.seen.max(ticket.seq);
        ticket.void.clear();
        ticket.acks.clear();
        self.release(ticket);
    }

    /// Ends an exchange. Unless its answer had a proven head, it may not have arrived, and is
    /// named to the receiver as void.
    pub fn end(&mut self, mut ticket: Ticket, outcome: Outcome, now: Timestamp) {
        let withheld = self.hop
            && matches!(outcome, Outcome::Indeterminate(Unknown::Unproven | Unknown::BadProof));
        self.leave(&mut ticket, !withheld, now);
        if !ticket.own {
            self.counts.end(outcome);
        }
    }

    /// Ends an attempt whose exchange is begun again in another session, and counts there.
    pub fn taken_back(&mut self, mut ticket: Ticket, now: Timestamp) {
        self.leave(&mut ticket, true, now);
        if !ticket.own {
            self.counts.take_back();
        }
    }

    fn leave(&mut self, ticket: &mut Ticket, void: bool, now: Timestamp) {
        if ticket.holds_low && void {
            self.void.add(ticket.seq);
        }
        self.release(ticket);
        // The request that carried them had no proven answer, so they may not have arrived.
        self.owed.append(&mut ticket.acks);
        if !self.owed.is_empty() || self.has_void() {
            self.waiting_since.get_or_insert(now);
        }
    }

    /// Whether the receiver is to be told of seqs that may not have arrived.
    #[must_use]
    pub fn has_void(&self) -> bool {
        self.void.is_any_below(self.low)
    }

    /// The application has consumed an answer whole.
    pub fn consumed(&mut self, seq: u64, receipt: Receipt, now: Timestamp) {
        self.acks.insert(seq, receipt);
        self.waiting_since.get_or_insert(now);
    }

    /// An answer ended in another way than consumed whole.
    pub fn not_consumed(&mut self, seq: u64, receipt: Receipt, now: Timestamp) {
        self.owed.push((seq, receipt));
        self.waiting_since.get_or_insert(now);
    }

    /// When the receipts that wait want a request of their own, if any wait.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.waiting_since.map(|t| t + FLUSH)
    }

    /// Takes receipts for a request of their own, at most [`MAX_ACKS`]. Give them back to
    /// [`receipts_lost`](Self::receipts_lost) unless that request is answered with proof.
    pub fn take_receipts(&mut self) -> Vec<(u64, Receipt)> {
        let mut taken: Vec<_> = self.owed.drain(..self.owed.len().min(MAX_ACKS)).collect();
        self.fill_up(&mut taken);
        taken
    }

    /// The request that carried these receipts was not answered with proof.
    pub fn receipts_lost(&mut self, receipts: Vec<(u64, Receipt)>, now: Timestamp) {
        self.owed.extend(receipts);
        self.waiting_since = Some(now);
    }

    /// How many exchanges ended how.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many receipts wait.
    #[must_use]
    pub fn receipts_waiting(&self) -> usize {
        self.acks.len() + self.owed.len()
    }

    fn take_acks(&mut self, now: Timestamp) -> Vec<(u64, Receipt)> {
        let due = self.waiting_since.is_some_and(|t| now.since(t) >= RIDE);
        if self.acks.is_empty() || (self.acks.len() < BATCH && !due) {
            return Vec::new();
        }
        let mut taken = Vec::with_capacity(self.acks.len().min(MAX_ACKS));
        self.fill_up(&mut taken);
        taken
    }

    /// Moves the acknowledgements that wait over to `taken`, up to [`MAX_ACKS`] in all.
    fn fill_up(&mut self, taken: &mut Vec<(u64, Receipt)>) {
        while taken.len() < MAX_ACKS {
            match self.acks.pop_first() {
                Some(ack) => taken.push(ack),
                None => break,
            }
        }
        if self.acks.is_empty() && self.owed.is_empty() {
            self.waiting_since = None;
        }
    }

    fn release(&mut self, ticket: &mut Ticket) {
        if !mem::replace(&mut ticket.holds_low, false) {
            return;
        }
        if let Some(held) = self.holding.get_mut((ticket.seq - self.low) as usize) {
            *held = false;
        }
        while self.holding.front() == Some(&false) {
            self.holding.pop_front();
            self.low += 1;
        }
    }
}

impl Ticket {
    /// The exchange's number.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The answers that this request acknowledges, ascending by their seqs.
    #[must_use]
    pub fn acks(&self) -> &[(u64, Receipt)] {
        &self.acks
    }

    /// Seqs that were given up before their answer had a proven head, ascending.
    #[must_use]
    pub fn void(&self) -> &[Range] {
        &self.void
    }
}

impl fmt::Display for WindowFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} exchanges of this session await their answers", self.window)
    }
}

impl std::error::Error for WindowFull {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{ReceiptStatus, Unknown, known};

    const T: Timestamp = Timestamp::from_unix_secs(1_000);

    fn receipt() -> Receipt {
        Receipt::known(ReceiptStatus::Consumed, 0, 0, known::empty())
    }

    #[test]
    fn low_is_the_lowest_seq_that_may_still_be_sent() {
        let mut s = Sender::new(4);
        let (mut a, _) = s.begin(T).unwrap();
        let (mut b, _) = s.begin(T).unwrap();
        s.head_proven(&mut b);
        assert_eq!(s.begin(T).unwrap().1, Admission { seq: 3, att: 0, low: 1 });
        s.head_proven(&mut a);
        assert_eq!(s.begin(T).unwrap().1, Admission { seq: 4, att: 0, low: 3 });
        s.end(b, Outcome::Delivered, T);
        s.end(a, Outcome::Delivered, T);
        assert!(s.counts().balances() && s.counts().open == 2);
    }

    #[test]
    fn a_full_window_admits_nothing_until_the_lowest_is_answered() {
        let mut s = Sender::new(2);
        let (a, _) = s.begin(T).unwrap();
        let (mut b, _) = s.begin(T).unwrap();
        assert_eq!(s.begin(T).unwrap_err(), WindowFull { window: 2 });
        s.head_proven(&mut b);
        assert!(!s.has_room(), "the lower one still holds");
        s.end(a, Outcome::Indeterminate(Unknown::NoAnswer), T);
        assert!(s.has_room());
    }

    #[test]
    fn acks_ride_in_batches_or_when_they_have_waited() {
        let mut s = Sender::new(64);
        s.consumed(1, receipt(), T);
        assert!(s.begin(T).unwrap().0.acks().is_empty());
        assert_eq!(s.begin(T + RIDE).unwrap().0.acks().len(), 1);
        (0..BATCH as u64).for_each(|seq| s.consumed(seq, receipt(), T));
        let seqs: Vec<_> = s.begin(T).unwrap().0.acks().iter().map(|a| a.0).collect();
        assert_eq!(seqs, (0..BATCH as u64).collect::<Vec<_>>());
        assert_eq!(s.poll_timeout(), None);
    }

    #[test]
    fn acks_on_a_request_without_proven_answer_are_owed_again() {
        let mut s = Sender::new(64);
        s.consumed(7, receipt(), T);
        let (ticket, _) = s.begin(T + RIDE).unwrap();
        assert_eq!((s.poll_timeout(), s.receipts_waiting()), (None, 0));
        s.end(ticket, Outcome::Indeterminate(Unknown::NoAnswer), T);
        assert!(s.poll_timeout().is_some(), "without another answer to wake it");
        assert_eq!(s.receipts_waiting(), 1);
        assert_eq!(s.take_receipts(), [(7, receipt())]);
        s.receipts_lost(vec![(7, receipt())], T);
        assert_eq!(s.poll_timeout(), Some(T + FLUSH));
        assert_eq!(s.take_receipts().len(), 1);
        assert_eq!(s.poll_timeout(), None);
    }

    #[test]
    fn an_attempt_that_is_taken_back_stands_in_no_books() {
        let mut s = Sender::new(4);
        let (a, _) = s.begin(T).unwrap();
        let (b, _) = s.begin(T).unwrap();
        s.taken_back(a, T);
        let (counts, open) = (s.counts(), s.counts().open);
        assert!(counts.balances());
        assert_eq!((counts.begun, open), (1, 1));
        s.end(b, Outcome::Delivered, T);
        assert_eq!(s.counts(), Counts::of(Outcome::Delivered));
        let (c, admission) = s.begin(T).unwrap();
        assert_eq!(admission.low, 3, "neither holds the window");
        assert_eq!(c.void(), [1], "this receiver may not have seen it");
    }

    #[test]
    fn what_was_given_up_is_named_until_that_is_known_to_have_arrived() {
        let mut s = Sender::new(64);
        let (a, _) = s.begin(T).unwrap();
        s.end(a, Outcome::NotDelivered, T);
        let (b, admission) = s.begin(T).unwrap();
        assert_eq!((b.void(), admission.low), (&[(1, 1)][..], 2));
        s.end(b, Outcome::Indeterminate(Unknown::NoAnswer), T);
        let (mut c, _) = s.begin(T).unwrap();
        assert_eq!(c.void(), [(1, 2)]);
        s.head_proven(&mut c);
        assert!(s.begin(T).unwrap().0.void().is_empty());
        assert_eq!((s.counts().not_delivered, s.counts().indeterminate), (1, 1));
    }

    #[test]
    fn what_is_void_above_low_is_named_once_low_has_passed_it() {
        let mut s = Sender::new(64);
        let (mut slow, _) = s.begin(T).unwrap();
        let (given_up, _) = s.begin(T).unwrap();
        s.end(given_up, Outcome::Indeterminate(Unknown::Dropped), T);
        let (mut other, admission) = s.begin(T).unwrap();
        assert_eq!((other.void(), admission.low, s.has_void()), (&[][..], 1, false));
        // Its receiver knows nothing of seq 2 by that.
        s.head_proven(&mut other);
        s.head_proven(&mut slow);
        assert!(s.has_void());
        let (next, admission) = s.begin(T).unwrap();
        assert_eq!((next.void(), admission.low), (&[(2, 2)][..], 4));
    }

    #[test]
    fn an_answer_without_proof_gives_nothing_up_through_a_hop() {
        for outcome in [Unknown::Unproven, Unknown::BadProof].map(Outcome::Indeterminate) {
            for (mut s, named) in [(Sender::new(4), 1), (Sender::new(4).through_hop(), 0)] {
                let (a, _) = s.begin(T).unwrap();
                s.end(a, outcome, T);
                let (next, admission) = s.begin(T).unwrap();
                assert_eq!((next.void().len(), admission.low), (named, 2), "{outcome}");
            }
        }
    }

    #[test]
    fn a_session_in_which_nothing_is_ever_proven_ends_with_the_window() {
        let mut s = Sender::new(8);
        for _ in 0..8 {
            let (ticket, _) = s.begin(T).unwrap();
            s.end(ticket, Outcome::Indeterminate(Unknown::Dropped), T);
        }
        // The receiver has seen 0 at most, and takes a `low` of 8 with that.
        assert!(!s.has_room());
    }

    #[test]
    fn what_is_void_is_told_without_a_request_to_ride_on() {
        let mut s = Sender::new(8);
        let (ticket, _) = s.begin(T).unwrap();
        s.end(ticket, Outcome::Indeterminate(Unknown::Dropped), T);
        assert_eq!((s.poll_timeout(), s.has_void()), (Some(T + FLUSH), true));
        assert!(s.take_receipts().is_empty());
        assert_eq!(s.poll_timeout(), None);
        let (mut own, _) = s.begin_own().unwrap();
        s.head_proven(&mut own);
        assert!(!s.has_void());
    }
}
