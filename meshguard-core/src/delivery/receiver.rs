//! What the receiver of a session keeps: which seqs it has seen, and which answers are still
//! to be confirmed.

mod owed;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::owed::{MAX_OWED, Owed};
use super::field::{Acks, RequestField};
use super::{Accepted, Answers, RECEIPT_LEN, Receipt, ReceiptKey, WINDOW};
use crate::time::Timestamp;

/// What arrives so long after its caller's deadline is refused.
pub const GRACE: Duration = Duration::from_secs(30);
/// A sender that is there so long after an answer has had the time to state its receipt.
const TIME_TO_CONFIRM: Duration = Duration::from_secs(2);
/// Answers whose receipt is awaited in one session, at most; a sender that owes more is refused.
pub const MAX_AWAITING: usize = 2 * WINDOW as usize;
/// Findings that wait to be polled, at most; more are counted.
const MAX_FINDINGS: usize = 256;

/// The receiver's half of a session: one for each, behind its lock.
#[derive(Debug)]
pub struct Receiver {
    window: u64,
    low: u64,
    high: u64,
    /// Two bits for each seq of the window.
    states: Box<[u64; WINDOW as usize * 2 / 64]>,
    awaiting: BTreeMap<u64, Receipt>,
    /// What all sessions of this sender's principal owe together.
    owed: Arc<Owed>,
    /// When each answer of `awaiting` went out, oldest first; some are confirmed by now.
    answered: VecDeque<(Timestamp, u64)>,
    /// Of `awaiting`, the answers whose sender has left without a receipt.
    unconfirmed: BTreeSet<u64>,
    /// When the last request came.
    heard: Timestamp,
    books: Accepted,
    answers: Answers,
    findings: VecDeque<Finding>,
    findings_lost: u64,
}

/// How far an exchange has come: UNKNOWN → HELD → STARTED → SETTLED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown = 0,
    Held = 1,
    Started = 2,
    Settled = 3,
}

/// A seq that was claimed: the step that happens at most once, before policy and before any
/// answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The exchange's number.
    pub seq: u64,
    /// Its attempt.
    pub att: u8,
    /// One of the protocol's own exchanges, which stands in no books.
    pub own: bool,
}

/// Why a proven head is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The seq was seen before: a repetition.
    Duplicate {
        /// Whether the first one has already been dealt with.
        settled: bool,
    },
    /// The sender has stated that no attempt of this seq would be sent any more.
    Passed,
    /// An attempt that no fence allows.
    Attempt,
    /// The seq is beyond the window.
    BeyondWindow,
    /// `low` is more than a window above the highest seq seen.
    LowTooHigh,
    /// It arrived long after its caller's deadline.
    Late,
    /// Acknowledges an answer that awaits none, or whose receipt is another.
    Acks,
    /// The sender owes too many receipts.
    Unacknowledged,
}

/// What the receiver noticed of a session's exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Seqs that their sender counts as sent, and that never arrived.
    Divergence {
        /// The first seq.
        first: u64,
        /// The last seq.
        last: u64,
    },
    /// Seqs that their sender has given up before it had their answers, and that arrived.
    /// Nobody's fault: no receipt of those answers will come.
    VoidSeen {
        /// The first seq.
        first: u64,
        /// The last seq.
        last: u64,
    },
    /// An answer that its receiver did not get, or not as it was sent.
    AnswerNotReceived {
        /// The exchange's number.
        seq: u64,
        /// What the far side got.
        got: Receipt,
        /// What was sent: records, bytes.
        of: (u64, u64),
    },
    /// Answers whose receiver has left and stated no receipt. Nobody's fault.
    Unconfirmed {
        /// The first seq.
        first: u64,
        /// The last seq.
        last: u64,
    },
    /// An answer whose receipt has not come for long.
    ReceiptOverdue {
        /// The exchange's number.
        seq: u64,
        /// When the answer went out, by the clock that the receiver is told.
        answered: Timestamp,
    },
}

impl Receiver {
    /// A session's receiver, with the window that its settings gave.
    #[must_use]
    pub fn new(window: u64) -> Self {
        Self {
            window: window.min(WINDOW),
            low: 1,
            high: 0,
            states: Box::new([0; WINDOW as usize * 2 / 64]),
            awaiting: BTreeMap::new(),
            owed: Arc::default(),
            answered: VecDeque::new(),
            unconfirmed: BTreeSet::new(),
            heard: Timestamp::EPOCH,
            books: Accepted::default(),
            answers: Answers::default(),
            findings: VecDeque::new(),
            findings_lost: 0,
        }
    }

    /// Has the answers of several receivers, which are the sessions of one principal, share a
    /// bound.
    #[must_use]
    pub fn sharing(mut self, owed: Arc<Owed>) -> Self {
        self.owed = owed;
        self
    }

    /// Claims the seq of a request whose proof holds. All checks come before any change.
    ///
    /// `now` is of the clock that all of this receiver's methods are told, which never steps; `wall`
    /// is the wall clock, by which the caller's deadline is read.
    ///
    /// # Errors
    /// Why the request must not be acted on; the seq's state is as it was.
    pub fn claim(
        &mut self,
        field: &RequestField<'_>,
        key: &ReceiptKey,
        now: Timestamp,
        wall: Timestamp,
    ) -> Result<Claim, Refusal> {
        let claim = self.admit(field, key, false, (now, wall))?;
        self.books.accept();
        Ok(claim)
    }

    /// As [`claim`](Self::claim), for one of the protocol's own requests. It is admitted however
    /// many receipts its sender owes: it may bring them.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub fn claim_own(
        &mut self,
        field: &RequestField<'_>,
        key: &ReceiptKey,
        now: Timestamp,
        wall: Timestamp,
    ) -> Result<Claim, Refusal> {
        self.admit(field, key, true, (now, wall))
    }

    fn admit(
        &mut self,
        field: &RequestField<'_>,
        key: &ReceiptKey,
        own: bool,
        (now, wall): (Timestamp, Timestamp),
    ) -> Result<Claim, Refusal> {
        if field.low > self.high + self.window {
            return Err(Refusal::LowTooHigh);
        }
        let low = self.low.max(field.low);
        if field.seq < self.low {
            return Err(Refusal::Passed);
        }
        if field.seq >= low + self.window {
            return Err(Refusal::BeyondWindow);
        }
        // One beyond the ring was never seen: its place is that of an earlier one, which `low` passes.
        let in_ring = field.seq < self.low + WINDOW;
        match if in_ring { self.state(field.seq) } else { State::Unknown } {
            State::Unknown => {}
            state => return Err(Refusal::Duplicate { settled: state == State::Settled }),
        }
        if field.att != 0 {
            return Err(Refusal::Attempt);
        }
        if field.by.is_some_and(|by| wall.since(Timestamp::from_unix_secs(by)) > GRACE) {
            return Err(Refusal::Late);
        }
        let acks = field.acks.as_ref();
        let confirmed = acks.map_or(Ok(0), |acks| self.check_acks(acks, key))?;
        let full = self.awaiting.len() - confirmed >= MAX_AWAITING || self.owed.is_full(confirmed);
        if full && !own {
            return Err(Refusal::Unacknowledged);
        }
        if let Some(acks) = acks {
            self.acknowledge(acks);
        }
        self.pass(low, field);
        self.heard = self.heard.max(now);
        self.high = self.high.max(field.seq);
        self.set(field.seq, State::Held);
        Ok(Claim { seq: field.seq, att: field.att, own })
    }

    /// The application is about to be called.
    pub fn started(&mut self, claim: Claim) {
        self.set(claim.seq, State::Started);
    }

    /// The exchange is dealt with. Once for each claim.
    pub fn settled(&mut self, claim: Claim) {
        self.set(claim.seq, State::Settled);
        if !claim.own {
            self.books.settle();
        }
    }

    /// An answer has gone out whole; `receipt` is what its receiver must state. Nobody confirms
    /// the answers to the protocol's own requests.
    pub fn answered(&mut self, claim: Claim, receipt: Receipt, now: Timestamp) {
        if claim.own {
            return;
        }
        if self.answered.len() >= 2 * MAX_AWAITING {
            let Self { answered, awaiting, .. } = self;
            answered.retain(|(_, seq)| awaiting.contains_key(seq));
        }
        if self.awaiting.insert(claim.seq, receipt).is_none() {
            self.answers.sent += 1;
            self.owed.add(1);
        }
        self.answered.push_back((now, claim.seq));
    }

    /// Notices the answers that went out before `limit` and of which no receipt has come. Each
    /// is noticed once; its receipt is taken even if it comes later.
    ///
    /// `there` is the latest time at which the sender is known to have been there. A sender that
    /// was there for two seconds after an answer withholds its receipt: it is overdue. One that
    /// had left cannot state it any more: the answer ends as unconfirmed.
    pub fn overdue(&mut self, limit: Timestamp, there: Timestamp) {
        let mut left = Vec::new();
        while let Some((at, seq)) = self.answered.front().copied().filter(|(at, _)| *at < limit) {
            self.answered.pop_front();
            match self.awaiting.contains_key(&seq) {
                true if at + TIME_TO_CONFIRM > there => left.push(seq),
                true => self.found(Finding::ReceiptOverdue { seq, answered: at }),
                false => {}
            }
        }
        left.sort_unstable();
        for (first, last) in ranges(&left) {
            self.found(Finding::Unconfirmed { first, last });
        }
        self.unconfirmed.extend(left);
    }

    /// The session is over: nobody confirms what is still awaited. Returns that, as ranges from
    /// the first to the last seq.
    pub fn close(&mut self) -> Vec<(u64, u64)> {
        let left = self.awaiting.keys().filter(|seq| !self.unconfirmed.contains(seq)).copied();
        let left: Vec<_> = left.collect();
        self.answered.clear();
        self.unconfirmed.extend(&left);
        ranges(&left).collect()
    }

    /// Whether there are answers whose sender has left without a receipt.
    #[must_use]
    pub fn has_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// When the last of the sender's requests came.
    #[must_use]
    pub fn heard(&self) -> Timestamp {
        self.heard
    }

    /// How many exchanges were accepted, and how many are dealt with.
    #[must_use]
    pub fn books(&self) -> Accepted {
        self.books
    }

    /// Takes receipts that came in a request of their own: `u64 seq ‖ receipt`, repeated.
    /// Those that await nothing are ignored: they may have come before.
    ///
    /// # Errors
    /// Where the body is not made of such pairs; then none are taken.
    pub fn receipts(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let (pairs, rest) = body.as_chunks::<{ 8 + RECEIPT_LEN }>();
        let parsed: Option<Vec<_>> = pairs.iter().map(pair).collect();
        let (Some(parsed), true) = (parsed, rest.is_empty()) else { return Err(Refusal::Acks) };
        for (seq, got) in parsed {
            let Some(sent) = self.stated(seq) else { continue };
            if got.status.is_whole() && sent == (Receipt { status: sent.status, ..got }) {
                self.answers.confirmed += 1;
            } else {
                self.answers.not_received += 1;
                self.found(Finding::AnswerNotReceived { seq, got, of: (sent.n, sent.len) });
            }
        }
        Ok(())
    }

    /// What was noticed, oldest first.
    pub fn poll_finding(&mut self) -> Option<Finding> {
        self.findings.pop_front()
    }

    /// Whether something waits to be polled.
    #[must_use]
    pub fn has_findings(&self) -> bool {
        !self.findings.is_empty()
    }

    /// Findings that were dropped because nobody polled.
    #[must_use]
    pub fn findings_lost(&self) -> u64 {
        self.findings_lost
    }

    /// What became of the answers.
    #[must_use]
    pub fn answers(&self) -> Answers {
        let unconfirmed = self.unconfirmed.len() as u64;
        let awaited = self.awaiting.len() as u64 - unconfirmed;
        Answers { unconfirmed, awaited, ..self.answers }
    }

    /// How many receipts the acknowledgements prove, of answers that await them.
    fn check_acks(&self, acks: &Acks<'_>, key: &ReceiptKey) -> Result<usize, Refusal> {
        let receipts: Option<Vec<_>> =
            acks.seqs.iter().map(|seq| Some((seq, self.awaiting.get(&seq)?))).collect();
        let receipts = receipts.ok_or(Refusal::Acks)?;
        if key.acks(receipts.iter().copied()) != acks.proof {
            return Err(Refusal::Acks);
        }
        Ok(receipts.len())
    }

    fn acknowledge(&mut self, acks: &Acks<'_>) {
        for seq in acks.seqs.iter() {
            self.stated(seq);
            self.answers.confirmed += 1;
        }
    }

    /// A receipt of this answer has come, or none will: what it had to state.
    fn stated(&mut self, seq: u64) -> Option<Receipt> {
        let sent = self.awaiting.remove(&seq)?;
        self.unconfirmed.remove(&seq);
        self.owed.remove(1);
        Some(sent)
    }

    /// Moves `low` up. What it passes must have been seen, or be void.
    fn pass(&mut self, low: u64, field: &RequestField<'_>) {
        let mut void = field.void.into_iter().flat_map(|void| void.pairs()).peekable();
        let mut run: Option<Finding> = None;
        // None at or beyond this one was ever claimed, and its place in the ring is another's.
        let beyond = self.low + self.window;
        // At most two windows: the highest seq is within one, and `low` at most one above it.
        for seq in self.low..low {
            while void.next_if(|(_, last)| *last < seq).is_some() {}
            let is_void = void.peek().is_some_and(|(first, _)| *first <= seq);
            let is_seen = seq < beyond && self.state(seq) != State::Unknown;
            if seq < beyond {
                self.set(seq, State::Unknown);
            }
            let found = match (is_seen, is_void) {
                (false, false) => Some(Finding::Divergence { first: seq, last: seq }),
                (true, true) => {
                    if self.stated(seq).is_some() {
                        self.answers.not_received += 1;
                    }
                    Some(Finding::VoidSeen { first: seq, last: seq })
                }
                _ => None,
            };
            run = self.extended(run, found);
        }
        let _ = self.extended(run, None);
        self.low = low;
    }

    /// What is found of a seq joins the run before it, or ends it.
    fn extended(&mut self, run: Option<Finding>, found: Option<Finding>) -> Option<Finding> {
        let (Some(run), next) = (run, found) else { return found };
        let joined = next.and_then(|next| run.joined(next));
        if joined.is_some() {
            return joined;
        }
        self.found(run);
        next
    }

    fn found(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push_back(finding);
        } else {
            self.findings_lost += 1;
        }
    }

    fn state(&self, seq: u64) -> State {
        let (word, shift) = place(seq);
        match self.states[word] >> shift & 3 {
            0 => State::Unknown,
            1 => State::Held,
            2 => State::Started,
            _ => State::Settled,
        }
    }

    fn set(&mut self, seq: u64, state: State) {
        if state != State::Unknown && seq < self.low {
            return; // passed meanwhile: its place belongs to another seq
        }
        let (word, shift) = place(seq);
        self.states[word] = self.states[word] & !(3 << shift) | (state as u64) << shift;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.owed.remove(self.awaiting.len());
    }
}

fn place(seq: u64) -> (usize, u32) {
    let slot = seq % WINDOW;
    ((slot / 32) as usize, (slot % 32) as u32 * 2)
}

/// The ranges that ascending seqs make.
fn ranges(seqs: &[u64]) -> impl Iterator<Item = (u64, u64)> {
    seqs.chunk_by(|a, b| a + 1 == *b).filter_map(|range| Some((*range.first()?, *range.last()?)))
}

fn pair(bytes: &[u8; 8 + RECEIPT_LEN]) -> Option<(u64, Receipt)> {
    let (seq, receipt) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*seq), Receipt::from_bytes(receipt.first_chunk()?)?))
}

impl Finding {
    /// Both as one, where `next` is of the same kind and of the seq behind.
    fn joined(self, next: Self) -> Option<Self> {
        match (self, next) {
            (Self::Divergence { first, .. }, Self::Divergence { last, .. }) => {
                Some(Self::Divergence { first, last })
            }
            (Self::VoidSeen { first, .. }, Self::VoidSeen { last, .. }) => {
                Some(Self::VoidSeen { first, last })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Divergence { first, last } if first == last => {
                write!(f, "request {first} was sent and never arrived")
            }
            Self::Divergence { first, last } => {
                write!(f, "requests {first} to {last} were sent and never arrived")
            }
            Self::VoidSeen { first, last } if first == last => {
                write!(f, "request {first} arrived, and its caller has seen no answer")
            }
            Self::VoidSeen { first, last } => {
                write!(f, "requests {first} to {last} arrived, and their caller has seen no answer")
            }
            Self::AnswerNotReceived { seq, got, of: (n, len) } => write!(
                f,
                "the answer to request {seq} was {}: {} of {n} messages ({} of {len} bytes)",
                got.status.as_str(),
                got.n,
                got.len
            ),
            Self::Unconfirmed { first, last } if first == last => {
                write!(f, "the caller left without a receipt of the answer to request {first}")
            }
            Self::Unconfirmed { first, last } => {
                write!(
                    f,
                    "the caller left without receipts of the answers to requests {first} to {last}"
                )
            }
            Self::ReceiptOverdue { seq, .. } => {
                write!(f, "no receipt has come of the answer to request {seq}")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate { .. } => "seen before: somebody on the path repeated it",
            Self::Passed => "its sender has given it up",
            Self::Attempt => "an attempt that no fence allows",
            Self::BeyondWindow => "beyond the window",
            Self::LowTooHigh => "`low` is more than a window above the highest seq seen",
            Self::Late => "arrived long after its caller's deadline",
            Self::Acks => "acknowledges what awaits no receipt, or with a wrong one",
            Self::Unacknowledged => "the sender owes too many receipts",
        })
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests;
