//! A body as authenticated records, and back.
//!
//! ```text
//! 0x00 | u32 length | type u8 | payload | tag 16       length counts type + payload + tag
//! ```
//!
//! The framing is gRPC's own, so that a gRPC hop sees gRPC messages. Type's low nibble is 1
//! for DATA, 2 for FIN and 3 for BATCH; DATA's high nibble is the original gRPC flag byte. The
//! payload of BATCH is several gRPC messages, each behind its prefix.

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
const BATCH: u8 = 3;

/// The largest payload of a record that has several messages, in bytes.
pub const MAX_BATCH: usize = super::RECORD;

/// A sealed body has at most this many records: a nonce is never used twice.
pub const MAX_SEALED_RECORDS: u64 = 1 << 32;
/// A sealed body has at most this many payload bytes: 256 GiB.
pub const MAX_SEALED_BYTES: u64 = 1 << 38;

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::*;
    use crate::delivery::grpc::Run;
    use crate::delivery::{Aead, AeadKey, SessionKeys, Suite};

    struct Unused;

    impl Aead for Unused {
        fn key(&self, _: &[u8; 16]) -> Box<dyn AeadKey> {
            unreachable!("nothing is sealed")
        }
    }

    /// What a receiver says of a batch that its sender, which has the keys, made of this.
    fn said(frames: &[u8], appends: bool) -> RecordErrorKind {
        let keys = SessionKeys::derive(Suite::Mac, &mut [3; 32]);
        let mut encoder = Encoder::new(Suite::Mac, &keys.request_body, &[7; 32], &Unused);
        let mut out = BytesMut::new();
        encoder.batch(Run { frames, count: 0 }, &mut out).unwrap();
        let decoder = Decoder::new(Suite::Mac, &keys.request_body, &[7; 32], &Unused, 4);
        let mut decoder = decoder.of_messages();
        decoder.push(out.freeze());
        let mut appended = BytesMut::new();
        if appends {
            decoder.append(1 << 16, 1 << 16, &mut appended);
        }
        assert!(appended.is_empty());
        decoder.poll().unwrap_err().kind()
    }

    #[test]
    fn a_batch_that_is_no_messages_fails_whole() {
        for frames in
            [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x01a\0", b"\x02\0\0\0\0", b"\0\0\0\0\x05abcde"]
        {
            for appends in [false, true] {
                assert_eq!(said(frames, appends), RecordErrorKind::Message, "{frames:?}");
            }
        }
        let long = Bytes::from(vec![0; MAX_BATCH + 5]);
        assert_eq!(said(&long, false), RecordErrorKind::TooLarge);
    }
}
