//! How an exchange ends: exactly one terminal state.

use std::fmt;

use super::ReceiptStatus;

/// The terminal state of one exchange, as its sender knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The receiver confirmed all of the request.
    Delivered,
    /// The receiver answered without waiting for the rest of the request, with a success or a
    /// gRPC status, and said how much of it had come by then. No fault of anybody.
    AnsweredEarly,
    /// The receiver stopped early and said so, with an HTTP answer that is neither a success nor
    /// carries a gRPC status.
    Rejected,
    /// The receiver's proven statement contradicts what was sent, or the sender gave up.
    Failed(Failure),
    /// Nothing of it can have reached the application; sending again is safe.
    NotDelivered,
    /// Nobody can say. Never retried by itself.
    Indeterminate(Unknown),
}

/// Why an exchange failed although its answer was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The sender's own body ended with an error, or was dropped.
    Aborted,
    /// The receiver got less than was sent. Only ledgers of earlier versions have it: such an
    /// exchange now ends as [`Outcome::AnsweredEarly`] or [`Outcome::Rejected`].
    ShortReceipt,
    /// The receiver's receipt is for something else than what was sent.
    WrongReceipt,
    /// The receiver says that what arrived was not what was sent.
    BadReceipt,
}

/// Why nobody can say how an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unknown {
    /// The connection failed, or no answer came.
    NoAnswer,
    /// The answer carried no proof.
    Unproven,
    /// The answer's proof does not hold.
    BadProof,
    /// The answer ended before the receipt that it had promised.
    NoReceipt,
    /// The receiver had seen the seq before: somebody on the path repeated it.
    Duplicate,
    /// The caller gave up waiting.
    Dropped,
}

/// How many exchanges ended how. `begun` is always the sum of all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exchanges begun.
    pub begun: u64,
    /// [`Outcome::Delivered`].
    pub delivered: u64,
    /// [`Outcome::AnsweredEarly`].
    pub answered_early: u64,
    /// [`Outcome::Rejected`].
    pub rejected: u64,
    /// [`Outcome::Failed`].
    pub failed: u64,
    /// [`Outcome::NotDelivered`].
    pub not_delivered: u64,
    /// [`Outcome::Indeterminate`].
    pub indeterminate: u64,
    /// Not ended yet.
    pub open: u64,
}

/// A receiver's books: how many exchanges it has accepted, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Exchanges accepted: their heads were proven, and new.
    pub accepted: u64,
    /// Of them, those that are dealt with: answered, refused, or given up.
    pub settled: u64,
    /// Of them, those that are not.
    pub open: u64,
}

/// What became of a receiver's own answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Answers that went out whole.
    pub sent: u64,
    /// Of them, those that their caller confirmed.
    pub confirmed: u64,
    /// Of them, those of which their caller says that they did not come whole, or that it had
    /// given them up.
    pub not_received: u64,
    /// Of them, those whose caller has left without a word of them. One that comes back and
    /// confirms is counted there.
    pub unconfirmed: u64,
    /// Of them, those whose receipt is awaited, overdue ones included.
    pub awaited: u64,
}

impl Answers {
    /// Whether the books balance: sent = confirmed + not received + unconfirmed + awaited.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.sent == self.confirmed + self.not_received + self.unconfirmed + self.awaited
    }
}

impl std::ops::AddAssign for Answers {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.confirmed += other.confirmed;
        self.not_received += other.not_received;
        self.unconfirmed += other.unconfirmed;
        self.awaited += other.awaited;
    }
}

impl Accepted {
    /// Whether the books balance: accepted = settled + open.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.accepted == self.settled + self.open
    }

    pub(super) fn accept(&mut self) {
        self.accepted += 1;
        self.open += 1;
    }

    pub(super) fn settle(&mut self) {
        self.open -= 1;
        self.settled += 1;
    }
}

impl std::ops::AddAssign for Accepted {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.settled += other.settled;
        self.open += other.open;
    }
}

impl Counts {
    /// The books of one exchange that has ended so.
    #[must_use]
    pub fn of(outcome: Outcome) -> Self {
        let mut counts = Self::default();
        counts.begin();
        counts.end(outcome);
        counts
    }

    /// Whether the books balance: begun = delivered + answered early + rejected + failed +
    /// not delivered + indeterminate + open.
    #[must_use]
    pub fn balances(&self) -> bool {
        let ended = [
            self.delivered,
            self.answered_early,
            self.rejected,
            self.failed,
            self.not_delivered,
            self.indeterminate,
            self.open,
        ];
        ended.iter().sum::<u64>() == self.begun
    }

    pub(super) fn begin(&mut self) {
        self.begun += 1;
        self.open += 1;
    }

    /// It was begun elsewhere again, and counts there.
    pub(super) fn take_back(&mut self) {
        self.begun -= 1;
        self.open -= 1;
    }

    pub(super) fn end(&mut self, outcome: Outcome) {
        self.open -= 1;
        *match outcome {
            Outcome::Delivered => &mut self.delivered,
            Outcome::AnsweredEarly => &mut self.answered_early,
            Outcome::Rejected => &mut self.rejected,
            Outcome::Failed(_) => &mut self.failed,
            Outcome::NotDelivered => &mut self.not_delivered,
            Outcome::Indeterminate(_) => &mut self.indeterminate,
        } += 1;
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.begun += other.begun;
        self.delivered += other.delivered;
        self.answered_early += other.answered_early;
        self.rejected += other.rejected;
        self.failed += other.failed;
        self.not_delivered += other.not_delivered;
        self.indeterminate += other.indeterminate;
        self.open += other.open;
    }
}

impl Outcome {
    /// The outcome of a request by the receipt for it, which agrees with what was sent where it
    /// is whole. `answered` says that the answer is a success (2xx) or has a gRPC status.
    #[must_use]
    pub fn of_receipt(status: ReceiptStatus, answered: bool) -> Self {
        match status {
            ReceiptStatus::Consumed | ReceiptStatus::Received => Self::Delivered,
            ReceiptStatus::Partial if answered => Self::AnsweredEarly,
            ReceiptStatus::Partial => Self::Rejected,
            ReceiptStatus::Bad => Self::Failed(Failure::BadReceipt),
        }
    }

    /// A short name, for logs and counters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::AnsweredEarly => "answered early",
            Self::Rejected => "rejected",
            Self::Failed(Failure::Aborted) => "failed: aborted",
            Self::Failed(Failure::ShortReceipt) => "failed: short receipt",
            Self::Failed(Failure::WrongReceipt) => "failed: wrong receipt",
            Self::Failed(Failure::BadReceipt) => "failed: bad receipt",
            Self::NotDelivered => "not delivered",
            Self::Indeterminate(Unknown::NoAnswer) => "indeterminate: no answer",
            Self::Indeterminate(Unknown::Unproven) => "indeterminate: answer without proof",
            Self::Indeterminate(Unknown::BadProof) => "indeterminate: answer's proof is bad",
            Self::Indeterminate(Unknown::NoReceipt) => "indeterminate: no receipt",
            Self::Indeterminate(Unknown::Duplicate) => "indeterminate: seen before",
            Self::Indeterminate(Unknown::Dropped) => "indeterminate: caller gave up",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
