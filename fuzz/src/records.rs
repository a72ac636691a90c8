//! Records.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::{Bytes, BytesMut};
use meshguard_core::delivery::grpc::{Splitter, prefix};
use meshguard_core::delivery::{
    Aead, AeadError, AeadKey, Decoder, Encoder, Item, SessionKeys, Suite,
};

/// The longest payload of a record that is taken.
const LIMIT: usize = 4096;
const CONTEXT: [u8; 32] = [9; 32];

/// The first four bytes choose the suite, the chunks, and one byte to change; the rest is
/// - what came from the transport: nothing of it may be passed on, nor end cleanly;
/// - a body, whose records end cleanly as they are, and never do once that byte is changed or
///   cut off: then what comes out is a beginning of what went in.
pub fn records(data: &[u8]) {
    let Some((&[suite, chunk, at, change], rest)) = data.split_first_chunk() else { return };
    let keys = SessionKeys::derive(Suite::ALL[usize::from(suite % 4)], &mut [3; 32]);
    let chunk = usize::from(chunk).max(1);
    let (out, sound) = decode(&keys, rest, chunk);
    assert!(out.is_empty() && !sound, "what nobody proved was passed on");

    let pieces: Vec<&[u8]> = rest.chunks(1 + usize::from(change) * 8).collect();
    for sent in [encode(&keys, &pieces), encode_batches(&keys, &pieces, usize::from(at) * 64)] {
        let (out, sound) = decode(&keys, &sent, chunk);
        assert!(sound && out.iter().eq(&pieces), "what was proved was not passed on");

        let at = usize::from(at) * sent.len() / 256;
        let mut changed = sent.to_vec();
        changed[at] ^= change.max(1);
        for forged in [&changed[..], &sent[..at]] {
            let (out, sound) = decode(&keys, forged, chunk);
            assert!(!sound, "a clean end of what was tampered with");
            assert!(out.len() <= pieces.len() && out.iter().zip(&pieces).all(|(a, b)| a == b));
        }
    }
}

/// The same as messages of gRPC, as many in a record as fit into `most` bytes.
fn encode_batches(keys: &SessionKeys, pieces: &[&[u8]], most: usize) -> BytesMut {
    let mut encoder = Encoder::new(keys.suite(), &keys.request_body, &CONTEXT, &AwsLc);
    let framed = pieces.iter().map(|m| [&prefix(0, m.len())[..], m].concat());
    let mut splitter = Splitter::new(LIMIT);
    splitter.push(framed.collect::<Vec<_>>().concat().into());
    let mut out = BytesMut::new();
    while splitter.end().is_err() {
        let run = splitter.run(most);
        if run.is_several() {
            let taken = run.taken();
            encoder.batch(run, &mut out).expect("a short body");
            splitter.skip_run(taken);
        } else {
            let (flag, message) = splitter.poll().expect("framed").expect("whole");
            encoder.data(flag, &message, &mut out).expect("a short body");
        }
    }
    out.extend_from_slice(&encoder.fin(false, None, None).expect("the first FIN"));
    out
}

/// A body's records, with FIN.
pub(crate) fn encode(keys: &SessionKeys, pieces: &[&[u8]]) -> BytesMut {
    let mut encoder = Encoder::new(keys.suite(), &keys.request_body, &CONTEXT, &AwsLc);
    let mut out = BytesMut::new();
    for piece in pieces {
        encoder.data(0, piece, &mut out).expect("a short body");
    }
    out.extend_from_slice(&encoder.fin(false, None, None).expect("the first FIN"));
    out
}

/// What comes out of the transport's bytes, and whether it ended cleanly.
fn decode(keys: &SessionKeys, bytes: &[u8], chunk: usize) -> (Vec<Bytes>, bool) {
    let decoder = Decoder::new(keys.suite(), &keys.request_body, &CONTEXT, &AwsLc, LIMIT);
    let mut decoder = decoder.of_messages();
    let mut out = Vec::new();
    for piece in bytes.chunks(chunk) {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.poll() {
                Ok(Some(Item::Data { payload, .. })) => out.push(payload),
                Ok(Some(Item::Fin(_))) => {}
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.end(), Err(error), "a failure was forgotten");
                    return (out, false);
                }
            }
        }
    }
    let sound = decoder.end().is_ok();
    assert_eq!(sound, decoder.is_finished());
    (out, sound)
}

/// AES-128-GCM by aws-lc-rs, as the mesh gives it to core.
struct AwsLc;

struct Key(LessSafeKey);

impl Aead for AwsLc {
    fn key(&self, key: &[u8; 16]) -> Box<dyn AeadKey> {
        let key = UnboundKey::new(&AES_128_GCM, key).expect("16 bytes are an AES-128 key");
        Box::new(Key(LessSafeKey::new(key)))
    }
}

impl AeadKey for Key {
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], in_out: &mut [u8]) -> Result<[u8; 16], AeadError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), in_out);
        tag.map_err(|_| AeadError)?.as_ref().try_into().map_err(|_| AeadError)
    }

    fn open(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        out: &mut [u8],
    ) -> Result<(), AeadError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out);
        opened.map_err(|_| AeadError)
    }
}
