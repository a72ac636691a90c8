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
mod tests;
