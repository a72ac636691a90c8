//! The delivery protocol `mg1`: every body is present, verified and accounted for, or the
//! failure is typed and named.
//!
//! What is known when a message head is made is proved *in the head*; what is not travels in
//! authenticated records to an authenticated end. A body that merely *ended* proves nothing:
//! an end without its FIN is truncation, whatever the transport says.
//!
//! The pieces, from the bottom up:
//!
//! - [`SessionKeys`]: the keys of one session, derived from its TLS exporter.
//! - [`field`]: the one header field, its grammar and its writer.
//! - [`base`]: the bytes that a head's proof is computed over.
//! - [`known`]: the digest of a body that is known when its head is made.
//! - [`Encoder`] and [`Decoder`]: a body as records, and back.
//! - [`Receipt`]: the receiver's statement of what it got.
//! - [`Sender`] and [`Receiver`]: what each side of a session keeps for each exchange.
//! - [`Verdict`]: what follows from each fault; and [`Forgeries`], which wrong tags are no bug.
//! - [`Settings`]: what both sides of a session tell each other first.

pub mod base;
mod crypto;
pub mod field;
mod forgeries;
pub mod grpc;
mod keys;
pub mod known;
mod outcome;
mod receipt;
mod receiver;
mod record;
mod sender;
mod settings;
mod sid;
mod suite;
mod transcript;
mod verdict;

pub use crypto::{Aead, AeadError, AeadKey};
pub use forgeries::{Forgeries, MAX_PRINCIPALS, SESSIONS, WITHIN};
pub use keys::{BodyKey, HeadKey, Proof, ReceiptKey, SessionKeys, context};
pub use outcome::{Accepted, Answers, Counts, Failure, Outcome, Unknown};
pub use receipt::{RECEIPT_LEN, Receipt, ReceiptStatus};
pub use receiver::{Claim, Finding, GRACE, MAX_AWAITING, MAX_OWED, Owed, Receiver, Refusal};
pub use record::{
    Decoder, Encoder, Exceeded, Fin, Item, MAX_BATCH, MAX_SEALED_BYTES, MAX_SEALED_RECORDS,
    OVERHEAD, RecordError, RecordErrorKind, RecordHead,
};
pub use sender::{Admission, FLUSH, Sender, Ticket, WindowFull};
pub use settings::{Settings, SettingsError};
pub use sid::Sid;
pub use suite::{Hash, Suite};
pub use transcript::Transcript;
pub use verdict::{BAD_PROOF, Fault, Verdict};

/// The path prefix of the protocol's own requests.
pub const PREFIX: &str = "/.well-known/meshguard/";
/// The ALPN protocol of a session's own handshake.
pub const ALPN: &[u8] = b"meshguard/1";
/// The label under which session keys are exported from TLS (RFC 8446 §7.5).
pub const EXPORTER: &[u8] = b"EXPORTER-meshguard-mg1";
/// Seqs that may be under way in one session at a time.
pub const WINDOW: u64 = 4096;
/// Payload bytes in one HTTP body record.
pub const RECORD: usize = 16_384;
/// Payload bytes in one HTTP body record that settings may at most ask for.
pub const MAX_RECORD: usize = 1 << 20;
/// Bytes of the longest gRPC message that is taken by default.
pub const MESSAGE: usize = 4 * 1024 * 1024;
/// Bytes of the longest gRPC message that settings may at most allow: a record's length has 32
/// bits, and counts its type and tag.
pub const MAX_MESSAGE: usize = u32::MAX as usize - 17;
/// Bytes of a body that is proved in its head rather than in records.
pub const MAX_KNOWN: usize = 64 * 1024;
/// Seqs that one request may acknowledge.
pub const MAX_ACKS: usize = 256;
/// Ranges of seqs that a list in the field has at most.
pub const MAX_RANGES: usize = 256;
/// Numbers in the field are below this: 15 decimal digits.
pub const MAX_NUMBER: u64 = 1_000_000_000_000_000;
