//! What was decided, judged and done.

use super::delivery::Exchange;
use super::wire::{wire, wire_enum};
use crate::time::Timestamp;

/// Policy's answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Its number, as the refused caller was told it.
    pub id: u128,
    /// Who asked, end to end, where that is known.
    pub from: Option<&'a str>,
    /// Through which hop.
    pub via: Option<&'a str>,
    /// Whether it was allowed; else denied.
    pub allowed: bool,
    /// Why, in words.
    pub reason: &'a str,
    /// The matched template.
    pub route: Option<&'a str>,
    /// The version of the policy that decided.
    pub policy_version: u64,
}

/// Refusals of one caller, alike, that have no [`Decision`] and no
/// [`Received`](super::Received) of their own: there were too many at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals<'a> {
    /// Who asked, end to end, where that is known.
    pub from: Option<&'a str>,
    /// Through which hop.
    pub via: Option<&'a str>,
    /// The matched template.
    pub route: Option<&'a str>,
    /// The answers' status.
    pub code: u16,
    /// Why, in words.
    pub reason: &'a str,
    /// The version of the policy that decided.
    pub policy_version: u64,
    /// How many.
    pub count: u64,
    /// Of these, the ones that stand in the books as accepted: proven exchanges.
    pub accepted: u64,
    /// Which exchange the first was, where it was proved to be one.
    pub first: Option<Exchange>,
    /// Which exchange the last was.
    pub last: Option<Exchange>,
    /// When the first was refused.
    pub since: Timestamp,
    /// When the last was.
    pub until: Timestamp,
}

/// A verdict, at one point of its life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incident<'a> {
    /// Its number.
    pub id: u64,
    /// The edge.
    pub edge: &'a str,
    /// The reflex that answers it.
    pub reflex: &'a str,
    /// What it was told by.
    pub signal: &'a str,
    /// How surprising that was, in bits.
    pub bits: f32,
    /// Where it stands, as `open`.
    pub state: &'a str,
    /// In words.
    pub text: &'a str,
}

/// An action, at one point of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action<'a> {
    /// Its number.
    pub id: u64,
    /// The incident that it answers; `None` for an operator's.
    pub incident: Option<u64>,
    /// What it does, in words.
    pub kind: &'a str,
    /// The edge.
    pub edge: &'a str,
    /// What became of it.
    pub change: Change,
    /// Why, in words.
    pub why: &'a str,
    /// When it ends by itself, if it does.
    pub expires: Option<Timestamp>,
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// It took effect.
    Applied,
    /// It would have taken effect, but only shadows.
    Shadowed,
    /// A cap forbade it.
    Refused,
    /// It had not helped, and was taken back.
    Undone,
    /// Its time was over.
    Expired,
    /// An operator ended it.
    Lifted,
}

/// What an action was measured to have done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect<'a> {
    /// The action.
    pub action: u64,
    /// The incident that it answers.
    pub incident: Option<u64>,
    /// The judgement, as `worked`.
    pub effect: &'a str,
    /// The metric before it, in bits.
    pub before: f32,
    /// The metric after it, in bits.
    pub after: f32,
}

impl Change {
    /// The name, as `applied`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Shadowed => "shadowed",
            Self::Refused => "refused",
            Self::Undone => "undone",
            Self::Expired => "expired",
            Self::Lifted => "lifted",
        }
    }
}

wire!(Decision<'a> { id, from, via, allowed, reason, route, policy_version });
wire!(Refusals<'a> {
    from, via, route, code, reason, policy_version, count, accepted, first, last, since, until,
});
wire!(Incident<'a> { id, edge, reflex, signal, bits, state, text });
wire!(Action<'a> { id, incident, kind, edge, change, why, expires });
wire!(Effect<'a> { action, incident, effect, before, after });
wire_enum!(Change {
    1 => Self::Applied = Self::Applied,
    2 => Self::Shadowed = Self::Shadowed,
    3 => Self::Refused = Self::Refused,
    4 => Self::Undone = Self::Undone,
    5 => Self::Expired = Self::Expired,
    6 => Self::Lifted = Self::Lifted,
});
