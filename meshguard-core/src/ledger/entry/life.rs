//! The service's own life: start and stop, policies, operators, gaps.

use super::error::EntryError;
use super::wire::{Reader, Wire, wire, wire_enum};
use crate::delivery::Counts;
use crate::time::Timestamp;

/// The service began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start<'a> {
    /// Its SPIFFE ID.
    pub service: &'a str,
    /// Its instance, new at each start.
    pub instance: &'a str,
    /// The version of the software.
    pub version: &'a str,
    /// The version of the policy in effect.
    pub policy_version: u64,
}

/// The service ended in order. A start that follows no stop follows a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The books of what it called, summed over its sessions.
    pub sent: Counts,
    /// Exchanges that it accepted.
    pub accepted: u64,
    /// Of these, the ones whose end is known.
    pub settled: u64,
}

/// A policy came into effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyChange {
    /// Its version.
    pub version: u64,
    /// The version that it replaced; `None` for the first.
    pub replaced: Option<u64>,
}

/// What an operator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator<'a> {
    /// What, as `lift`.
    pub verb: &'a str,
    /// To what.
    pub target: &'a str,
}

/// Entries that are missing here. They have no numbers: seq has no holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub cause: GapCause,
    /// How many; `None` where nobody knows.
    pub count: Option<u64>,
    /// The seq that the first of them had or would have had, where that is known.
    pub first_seq: Option<u64>,
    /// When the first was lost, where that is known.
    pub since: Option<Timestamp>,
    /// When the last was lost, where that is known.
    pub until: Option<Timestamp>,
}

/// Why entries are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapCause {
    /// They came faster than the disk took them, and the queue was full.
    QueueFull,
    /// The last start found the end of the file half written, and cut it off: what was in it
    /// had not been said to be durable.
    TornTail,
    /// The disk was full, or failed, for so long that what waited for it found no room.
    WriteFailed,
    /// The last start found more entries behind the last checkpoint than a crash can leave there,
    /// and did not adopt them. They lie beside the segments.
    Unsigned,
}

/// Entries that no checkpoint covered when the ledger was opened: what a crash left of the last
/// moments, as far as anybody can know. They are kept, and signed from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The seq of the first.
    pub first_seq: u64,
    /// How many.
    pub count: u64,
}

/// Entries that are not kept any longer, because there is a bound. The tree still has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The seq of the first that is kept.
    pub first_kept: u64,
    /// Whether the others were put elsewhere; else they are gone.
    pub archived: bool,
}

/// A policy came into effect in the place of another one of the same version, whose text was another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The version of both.
    pub version: u64,
    /// The SHA-256 of the text before.
    pub before: [u8; 32],
    /// The SHA-256 of the text that holds since.
    pub after: [u8; 32],
}

impl GapCause {
    /// Whether version 2 of the encoding has it.
    pub(super) const fn is_old(self) -> bool {
        matches!(self, Self::QueueFull | Self::TornTail)
    }

    /// The name, as `queue-full`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::TornTail => "torn-tail",
            Self::WriteFailed => "write-failed",
            Self::Unsigned => "unsigned",
        }
    }
}

wire!(Start<'a> { service, instance, version, policy_version });
wire!(Stop { sent, accepted, settled });
wire!(PolicyChange { version, replaced });
wire!(Operator<'a> { verb, target });
wire!(Gap { cause, count, first_seq, since, until });
wire_enum!(GapCause {
    1 => Self::QueueFull = Self::QueueFull,
    2 => Self::TornTail = Self::TornTail,
    3 => Self::WriteFailed = Self::WriteFailed,
    4 => Self::Unsigned = Self::Unsigned,
});
wire!(Adopted { first_seq, count });
wire!(Dropped { first_kept, archived });
wire!(Rewritten { version, before, after });

impl<'a> Wire<'a> for Counts {
    fn put(&self, out: &mut Vec<u8>) {
        let all = [self.begun].into_iter().chain(ended(self));
        all.for_each(|number| number.put(out));
    }

    fn get(from: &mut Reader<'a>) -> Result<Self, EntryError> {
        let [begun, delivered, rejected, failed, not_delivered, indeterminate, open] =
            <[u64; 7]>::get(from)?;
        let answered_early = if from.version == 1 { 0 } else { u64::get(from)? };
        Ok(Self {
            begun,
            delivered,
            answered_early,
            rejected,
            failed,
            not_delivered,
            indeterminate,
            open,
        })
    }
}

impl Stop {
    /// Whether begun = delivered + rejected + failed + not delivered + indeterminate + open +
    /// answered early.
    #[must_use]
    pub fn balances(&self) -> bool {
        // Of numbers that somebody else may have written: their sum can be beyond u64.
        let ended = ended(&self.sent).into_iter().map(u128::from);
        ended.sum::<u128>() == u128::from(self.sent.begun)
    }
}

/// What became of those that were begun, in the order of the encoding.
fn ended(counts: &Counts) -> [u64; 7] {
    let Counts {
        begun: _,
        delivered,
        answered_early,
        rejected,
        failed,
        not_delivered,
        indeterminate,
        open,
    } = *counts;
    [delivered, rejected, failed, not_delivered, indeterminate, open, answered_early]
}
