//! What was done about an incident, and what came of it.

use std::fmt;

use super::incident::IncidentId;
use crate::baseline::EdgeKey;
use crate::reflex::{ActionKind, Signal};
use crate::time::Timestamp;

/// The number of an action, unique for one [`Control`](super::Control): `a-7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionId(pub u64);

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a-{}", self.0)
    }
}

/// One action of one incident.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Action {
    /// Its number.
    pub id: ActionId,
    /// Its cause.
    pub incident: IncidentId,
    /// What it does, narrowed to what can be asked of such an edge.
    pub kind: ActionKind,
    /// Its scope.
    pub edge: EdgeKey,
    /// When it was taken.
    pub since: Timestamp,
    /// When it ends by itself; an alert and a refused action end as they begin.
    pub expires: Timestamp,
    /// The metric that it is expected to move.
    pub moves: Signal,
    /// Whether it is in force.
    pub state: ActionState,
    /// What was measured of it.
    pub effect: Option<Effect>,
}

/// Whether an action is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActionState {
    /// An alert: it was told, and that is all.
    Told,
    /// It restricts its edge.
    InForce,
    /// It would restrict its edge, but the governor is in shadow mode.
    Shadow,
    /// The governor refused it.
    Refused,
    /// It was undone, for it did not help.
    Undone,
    /// It held to its expiry.
    Expired,
    /// It was lifted for another reason: see [`Lift`](super::Lift).
    Lifted,
}

/// What an action did to the metric that it was to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It is below half of its threshold, or has come half of the way back to normal, or past
    /// it; or nothing of it gets through any more.
    Effective,
    /// It is about what it was.
    NoEffect,
    /// It is further from normal by a quarter and more.
    Worse,
}

impl Effect {
    /// The name used in logs and the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Effective => "effective",
            Self::NoEffect => "no effect",
            Self::Worse => "worse",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
