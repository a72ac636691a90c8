//! The ledger: an append-only, tamper-evident log of outcomes, in memory or on disk.
//!
//! ```
//! use meshguard_tower::ledger::{Entry, Ledger, Operator};
//!
//! let ledger = Ledger::memory()?;
//! ledger.append(&Entry::Operator(Operator { verb: "lift", target: "spiffe://shop.example/orders" }));
//! ledger.flush_blocking()?;
//! assert_eq!(ledger.entries()?.count(), 1);
//! assert_eq!(ledger.verify()?.entries, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`append`](Ledger::append) never waits for the disk: it encodes into a bounded queue, and one
//! thread writes all that waits, hashes it into the tree and signs checkpoints. What finds the
//! queue full is lost, counted, and told by a [`Gap`]. So an entry is durable a window later
//! (10 ms, and a disk's flush), signed a second later; [`flush`](Ledger::flush) waits for both.
//!
//! [`verify`] reads a ledger from its files and public key alone. The files are described in
//! `docs/ledger.md`, and what they prove in `docs/notes/ledger.md`.

mod entries;
mod error;
mod feed;
mod flows;
mod handle;
mod key;
mod open;
mod options;
mod queue;
mod refusals;
mod stats;
mod store;
mod verify;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub use entries::{Entries, read};
pub use error::{LedgerError, LedgerErrorKind, VerifyError, VerifyErrorKind};
pub use flows::{FlowReader, MAX_EXCHANGES, Methods};
pub use handle::Ledger;
pub use meshguard_core::ledger::{
    Action, Adopted, Audited as Verified, Change, Checkpoint, CheckpointError, Decision, Dropped,
    Effect, End, Entry, EntryBuf, EntryError, EntryErrorKind, Exchange, Fault, FaultKind, Gap,
    GapCause, Incident, Operator, Place, PolicyChange, Received, Refusals, Rewritten, Sent, Stamp,
    Start, Stop, Unconfirmed, VerifierKey,
};
pub use open::OpenReport;
pub use options::LedgerOptions;
pub(crate) use queue::Condition;
#[cfg(test)]
pub(crate) use refusals::{MAX_CALLERS, MAX_KINDS, REFUSALS};
pub(crate) use refusals::{Refusal, Refusals as RefusalCounts};
pub use stats::{LedgerState, Stats};
pub use verify::{checkpoint, verify, verify_against};
