//! What is recorded.

mod buf;
mod delivery;
mod error;
mod life;
mod reaction;
mod wire;

use std::time::Duration;

pub use buf::EntryBuf;
pub use delivery::{End, Exchange, Received, Sent, Unconfirmed};
pub use error::{EntryError, EntryErrorKind};
pub use life::{Adopted, Dropped, Gap, GapCause, Operator, PolicyChange, Rewritten, Start, Stop};
pub use reaction::{Action, Change, Decision, Effect, Incident, Refusals};
pub use wire::MAX_TEXT;

use crate::time::Timestamp;
use wire::{Reader, Wire};

/// The newest version of the encoding. An entry's first byte is the oldest one that has what the
/// entry says, from 2 on: see [`Entry::version`].
pub const VERSION: u8 = 3;
/// The oldest version that is still read. It has no exchanges that were answered early.
pub const OLDEST_VERSION: u8 = 1;
/// The oldest version that is written. It has the kinds up to 12 and two causes of gaps.
const BASE_VERSION: u8 = 2;
/// How many kinds of entry there are; their numbers are 1 to this.
pub const KINDS: usize = 16;

/// One entry: what happened. Borrows its texts, so that making one costs nothing.
///
/// Texts are [escaped](crate::escape) in the encoding. Those of more than [`MAX_TEXT`] bytes are
/// cut there, visibly: they then end with "…". Identities are SPIFFE IDs as text; a route is the matched template, never a raw path.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Entry<'a> {
    /// The service began.
    Start(Start<'a>),
    /// The service ended in order, with its books.
    Stop(Stop),
    /// A policy came into effect.
    Policy(PolicyChange),
    /// An exchange as its caller knows it.
    Sent(Sent<'a>),
    /// An exchange as its callee knows it.
    Received(Received<'a>),
    /// Policy's answer to a request.
    Decision(Decision<'a>),
    /// A verdict in its life.
    Incident(Incident<'a>),
    /// An action, applied or ended.
    Action(Action<'a>),
    /// What an action was measured to have done.
    Effect(Effect<'a>),
    /// What an operator did.
    Operator(Operator<'a>),
    /// Entries that are missing.
    Gap(Gap),
    /// Answers that nobody will confirm.
    Unconfirmed(Unconfirmed<'a>),
    /// Refusals of one caller that have no entries of their own.
    Refusals(Refusals<'a>),
    /// Entries without a signature that were kept.
    Adopted(Adopted),
    /// Entries that are not kept any longer.
    Dropped(Dropped),
    /// A policy came into effect in the place of another one of the same version.
    Rewritten(Rewritten),
}

/// When an entry was recorded, and as which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The entry's number, from 0, without holes: its leaf in the tree.
    pub seq: u64,
    /// The wall clock.
    pub at: Timestamp,
    /// The monotonic clock, since the process opened the ledger; below 584 years.
    pub elapsed: Duration,
}

/// Matches every kind with its number, once: encoder, decoder and names cannot disagree.
macro_rules! kinds {
    ($($number:literal $kind:ident $name:literal),* $(,)?) => {
        impl<'a> Entry<'a> {
            /// The kind's number: an entry's second byte, 1 to [`KINDS`].
            #[must_use]
            pub const fn number(&self) -> u8 {
                match self { $(Self::$kind(_) => $number,)* }
            }

            /// The kind's name, as `sent`.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$kind(_) => $name,)* }
            }

            fn put(&self, out: &mut Vec<u8>) {
                match self { $(Self::$kind(fields) => fields.put(out),)* }
            }

            fn get(number: u8, from: &mut Reader<'a>) -> Result<Self, EntryError> {
                match number {
                    $($number => Wire::get(from).map(Self::$kind),)*
                    _ => Err(EntryError::new(1, EntryErrorKind::Kind(number))),
                }
            }
        }
    };
}

kinds! {
    1 Start "start",
    2 Stop "stop",
    3 Policy "policy",
    4 Sent "sent",
    5 Received "received",
    6 Decision "decision",
    7 Incident "incident",
    8 Action "action",
    9 Effect "effect",
    10 Operator "operator",
    11 Gap "gap",
    12 Unconfirmed "unconfirmed",
    13 Refusals "refusals",
    14 Adopted "adopted",
    15 Dropped "dropped",
    16 Rewritten "rewritten",
}

impl<'a> Entry<'a> {
    /// The version that it is written in: the oldest that has its kind and all of its values, so
    /// that an older reader reads what it can know.
    #[must_use]
    pub const fn version(&self) -> u8 {
        match self {
            Self::Refusals(_) | Self::Adopted(_) | Self::Dropped(_) | Self::Rewritten(_) => VERSION,
            Self::Gap(gap) if !gap.cause.is_old() => VERSION,
            _ => BASE_VERSION,
        }
    }

    /// Appends the encoding to `out`. Allocates nothing where `out` has room.
    pub fn encode(&self, stamp: &Stamp, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.version(), self.number()]);
        stamp.put(out);
        self.put(out);
    }

    /// Reads one entry, which must be all of `bytes`.
    ///
    /// # Errors
    /// Whatever no version since [`OLDEST_VERSION`] would have written: another version, also than
    /// [the entry's](Self::version), an unknown kind, a field that is short or not canonical,
    /// trailing bytes; with the place. A text that an older version wrote may hold what is
    /// escaped today.
    pub fn decode(bytes: &'a [u8]) -> Result<(Stamp, Self), EntryError> {
        let mut from = Reader::new(bytes);
        let version = u8::get(&mut from)?;
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(EntryError::new(0, EntryErrorKind::Version(version)));
        }
        from.version = version;
        let number = u8::get(&mut from)?;
        let stamp = Stamp::get(&mut from)?;
        let entry = Self::get(number, &mut from)?;
        from.end()?;
        if version.max(BASE_VERSION) != entry.version() {
            return Err(EntryError::new(0, EntryErrorKind::Version(version)));
        }
        Ok((stamp, entry))
    }
}

wire::wire!(Stamp { seq, at, elapsed });
