//! A body as authenticated records, and back.
//!
//! ```text
//! 0x00 | u32 length | type u8 | payload | tag 16       length counts type + payload + tag
//! ```
//!
//! The framing is gRPC's own, so that a gRPC hop sees gRPC messages. Type's low nibble is 1
//! for DATA and 2 for FIN; DATA's high nibble is the original gRPC flag byte.

mod cipher;
mod decoder;
mod encoder;
mod error;
mod fin;

pub use decoder::{Decoder, Item};
pub use encoder::{Encoder, RecordHead};
pub use error::{Exceeded, RecordError, RecordErrorKind};
pub use fin::Fin;

/// Bytes that a record adds to its payload.
pub const OVERHEAD: usize = 5 + 1 + TAG;

const HEADER: usize = 5;
const TAG: usize = 16;
const DATA: u8 = 1;
const FIN: u8 = 2;

/// A sealed body has at most this many records: a nonce is never used twice.
pub const MAX_SEALED_RECORDS: u64 = 1 << 32;
/// A sealed body has at most this many payload bytes: 256 GiB.
pub const MAX_SEALED_BYTES: u64 = 1 << 38;
