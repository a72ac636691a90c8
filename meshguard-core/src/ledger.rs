//! The ledger's format, pure: entries, frames, the tree over them, signed checkpoints, and the
//! audit that reads all of it.
//!
//! A ledger is an append-only log of *outcomes*. An entry is written from what was verified,
//! never from the hope of a send; what nobody can say is logged as that. It records no bodies:
//! digests, counts, identities, routes, decisions, actions. `docs/ledger.md` has the format to
//! the byte.
//!
//! - [`Entry`]: what is recorded, with its [`Stamp`]; one canonical encoding.
//! - [`Tree`]: the Merkle tree over the entries (RFC 6962 §2.1), in memory of its depth.
//! - [`Checkpoint`]: the tree's size and root as a C2SP signed note.
//! - [`Audit`]: verifies a ledger from its bytes and the public key alone, in constant memory.
//!
//! ```
//! use meshguard_core::Timestamp;
//! use meshguard_core::ledger::{Entry, Operator, Stamp, Tree, leaf_hash};
//! # use std::time::Duration;
//! let entry = Entry::Operator(Operator { verb: "lift", target: "spiffe://shop.example/orders" });
//! let stamp = Stamp { seq: 0, at: Timestamp::from_unix_secs(1), elapsed: Duration::ZERO };
//! let mut bytes = Vec::new();
//! entry.encode(&stamp, &mut bytes);
//! assert_eq!(Entry::decode(&bytes)?, (stamp, entry));
//!
//! let mut tree = Tree::new();
//! tree.push(leaf_hash(&bytes));
//! assert_eq!((tree.size(), tree.root()), (1, leaf_hash(&bytes)));
//! # Ok::<(), meshguard_core::ledger::EntryError>(())
//! ```

mod audit;
mod checkpoint;
mod entry;
mod frame;
mod note;
mod tree;

pub use audit::{Audit, Audited, Covered, Fault, FaultKind, Place};
pub use checkpoint::{Checkpoint, CheckpointError, RECORD_LIMIT, next_record, origin};
pub use entry::{
    Action, Adopted, Change, Decision, Dropped, Effect, End, Entry, EntryBuf, EntryError,
    EntryErrorKind, Exchange, Gap, GapCause, Incident, KINDS, MAX_TEXT, OLDEST_VERSION, Operator,
    PolicyChange, Received, Refusals, Rewritten, Sent, Stamp, Start, Stop, Unconfirmed, VERSION,
};
pub use frame::{FRAME, Frame, FrameError, MAX_ENTRY, MIN_ENTRY, put_frame, read_frame};
pub use note::{Note, NoteError, NoteSignature, Signer, Verifier, VerifierKey};
pub use tree::{Tree, TreeHash, empty_root, leaf_hash, node_hash};
