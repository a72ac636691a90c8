//! A verdict's life, from its cause to its measured effect.

use std::fmt;
use std::sync::Arc;

use super::action::Action;
use super::trust::Charge;
use crate::baseline::{EdgeKey, Feature};
use crate::reflex::Signal;
use crate::time::Timestamp;

/// The number of an incident, unique for one [`Control`](super::Control): `i-12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IncidentId(pub u64);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i-{}", self.0)
    }
}

/// The bits of a hard signal, which is no matter of chance: more than a score can have.
pub const HARD_BITS: f32 = 64.0;

/// What went wrong on an edge, and what was done about it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// Where.
    pub edge: EdgeKey,
    /// The name of the reflex that it set off.
    pub reflex: Arc<str>,
    /// What set it off.
    pub signal: Signal,
    /// The feature that stood out, where the signal has one.
    pub feature: Option<Feature>,
    /// The most that was seen, in bits; [`HARD_BITS`] for a hard signal.
    pub bits: f32,
    /// When it was opened.
    pub first_seen: Timestamp,
    /// When its signal was last above the threshold.
    pub last_seen: Timestamp,
    /// How far it has come.
    pub state: IncidentState,
    /// Its cause in words.
    pub text: Box<str>,
    /// What was done, refused ones included: the last [`MAX_ACTIONS`](super::MAX_ACTIONS).
    pub actions: Vec<Action>,
    /// Whether an operator called it a true one.
    pub confirmed: bool,
    /// Whether most siblings of its edge departed alike: the other callers of this service, whose
    /// cause is then this process or its host; or the other instances of a callee, whose cause is that
    /// callee as a whole. No edge is restricted for it.
    pub shared: bool,
    /// Where nothing but telling follows: the other edges of its kind that set its reflex off by the
    /// same feature meanwhile, the first [`MAX_ALIKE`](super::MAX_ALIKE).
    pub alike: Vec<EdgeKey>,
    /// What it took from the edge's trust.
    pub(super) charge: Charge,
}

impl Incident {
    /// What it took from its edge's trust, 0 to 1, when it last took something.
    #[must_use]
    pub const fn trust_taken(&self) -> f32 {
        self.charge.taken() as f32
    }
}

/// How far an incident has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IncidentState {
    /// It was told; nothing restricts its edge on its account.
    Open,
    /// A restriction was taken, and its effect is not known yet.
    Acting,
    /// The restriction works: it is held to its expiry, and then the edge is on probation.
    Measuring,
    /// Over: the signal is gone.
    Resolved,
    /// Over: its time is up, and the signal is still there. It is for people now. So is one that comes
    /// back after each restriction, half an hour after it was first seen: it lasts, and is learnt as
    /// the edge's normal from then on.
    Escalated,
    /// Over: nothing that the reflex does helped, and it was undone; or the reflex is no more.
    Reverted,
    /// Over: an operator says that it was none.
    FalseAlarm,
}

impl IncidentState {
    /// The name used in logs and the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acting => "acting",
            Self::Measuring => "measuring",
            Self::Resolved => "resolved",
            Self::Escalated => "escalated",
            Self::Reverted => "reverted",
            Self::FalseAlarm => "false alarm",
        }
    }

    /// Whether the incident is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Resolved | Self::Escalated | Self::Reverted | Self::FalseAlarm)
    }

    /// Whether an incident can go from this state to `next` in one step.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::FalseAlarm, _) => false,
            (_, Self::FalseAlarm) => true,
            (Self::Resolved | Self::Escalated | Self::Reverted, _) => false,
            (Self::Open, next) => !matches!(next, Self::Open | Self::Measuring),
            (Self::Acting, next) => !matches!(next, Self::Acting | Self::Escalated),
            (Self::Measuring, next) => !matches!(next, Self::Measuring),
        }
    }
}

impl fmt::Display for IncidentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
