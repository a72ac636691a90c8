//! Whatever is done to a stream of records, what comes out is a prefix of what went in, and a
//! clean end comes only with the authenticated FIN behind all of it.

#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Bytes, BytesMut};
use meshguard_core::delivery::grpc::{Splitter, prefix};
use meshguard_core::delivery::{
    Decoder, Encoder, Item, MAX_BATCH, RecordError, RecordErrorKind, SessionKeys, Suite,
};
use support::{AwsLc, Rng};

const LIMIT: usize = 4096;
const CONTEXT: [u8; 32] = [9; 32];

struct Sent {
    payloads: Vec<Vec<u8>>,
    records: Vec<Vec<u8>>,
}

/// A body of gRPC messages: some alone in a record, others together.
fn send(rng: &mut Rng, keys: &SessionKeys) -> Sent {
    let mut encoder = Encoder::new(keys.suite(), &keys.request_body, &CONTEXT, &AwsLc);
    let payloads: Vec<Vec<u8>> = (0..rng.below(8))
        .map(|_| {
            let length = [0, 1, 17, 300, LIMIT][rng.below(5)];
            rng.bytes(length)
        })
        .collect();
    let mut records: Vec<Vec<u8>> = Vec::new();
    let framed = payloads.iter().map(|m| [&prefix(0, m.len())[..], m].concat());
    let mut splitter = Splitter::new(LIMIT);
    splitter.push(framed.collect::<Vec<_>>().concat().into());
    while splitter.end().is_err() {
        let mut out = BytesMut::new();
        let most = rng.below(MAX_BATCH);
        let run = splitter.run(most);
        if run.is_several() && rng.below(2) == 0 {
            let taken = run.taken();
            encoder.batch(run, &mut out).unwrap();
            splitter.skip_run(taken);
        } else {
            let (flag, message) = splitter.poll().unwrap().unwrap();
            encoder.data(flag, &message, &mut out).unwrap();
        }
        records.push(out.to_vec());
    }
    records.push(encoder.fin(false, None, None).unwrap().to_vec());
    Sent { payloads, records }
}

/// What the decoder appends of what lies there, as payloads; now and then nothing is asked for.
fn appended(rng: &mut Rng, decoder: &mut Decoder) -> Vec<Vec<u8>> {
    let mut all = BytesMut::new();
    decoder.append([0, 1, 100_000][rng.below(3)], [0, 100, 100_000][rng.below(3)], &mut all);
    let mut payloads = Vec::new();
    while !all.is_empty() {
        let prefix = all.split_to(5);
        assert_eq!(prefix[0], 0);
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        payloads.push(all.split_to(length as usize).to_vec());
    }
    payloads
}

/// Feeds bytes in random chunks. What came out, and whether it ended cleanly.
fn receive(
    rng: &mut Rng,
    keys: &SessionKeys,
    bytes: &[u8],
) -> (Vec<Vec<u8>>, Result<(), RecordError>) {
    let decoder = Decoder::new(keys.suite(), &keys.request_body, &CONTEXT, &AwsLc, LIMIT);
    let mut decoder = decoder.of_messages();
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = [1, 5, 40, 5000][rng.below(4)];
        let n = (1 + rng.below(most)).min(rest.len());
        decoder.push(Bytes::copy_from_slice(&rest[..n]));
        rest = &rest[n..];
        loop {
            out.extend(appended(rng, &mut decoder));
            match decoder.poll() {
                Ok(Some(Item::Data { payload, .. })) => out.push(payload.to_vec()),
                Ok(Some(Item::Fin(_))) => {}
                Ok(None) => break,
                Err(error) => return (out, Err(error)),
            }
        }
    }
    let end = decoder.end();
    (out, end)
}

fn keys(suite: Suite) -> SessionKeys {
    SessionKeys::derive(suite, &mut [3; 32])
}

fn assert_prefix(sent: &Sent, got: &[Vec<u8>]) {
    assert!(got.len() <= sent.payloads.len());
    assert_eq!(got, &sent.payloads[..got.len()]);
}

#[test]
fn however_it_is_chunked_an_untouched_stream_arrives_whole() {
    let mut rng = Rng::seeded("rechunk");
    for round in 0..400 {
        let keys = keys(Suite::ALL[round % 4]);
        let sent = send(&mut rng, &keys);
        let (got, end) = receive(&mut rng, &keys, &sent.records.concat());
        assert_eq!(got, sent.payloads);
        end.unwrap();
    }
}

#[test]
fn any_cut_gives_a_prefix_and_then_an_error() {
    let mut rng = Rng::seeded("cut");
    for round in 0..400 {
        let keys = keys(Suite::ALL[round % 4]);
        let sent = send(&mut rng, &keys);
        let whole = sent.records.concat();
        let cut = rng.below(whole.len());
        let (got, end) = receive(&mut rng, &keys, &whole[..cut]);
        assert_prefix(&sent, &got);
        let error = end.unwrap_err();
        let bytes = got.iter().map(Vec::len).sum::<usize>();
        assert_eq!(error.got(), (got.len() as u64, bytes as u64), "names what it got");
    }
}

#[test]
fn any_flipped_bit_gives_a_prefix_and_then_an_error() {
    let mut rng = Rng::seeded("flip");
    for round in 0..1000 {
        let keys = keys(Suite::ALL[round % 4]);
        let sent = send(&mut rng, &keys);
        let mut whole = sent.records.concat();
        let at = rng.below(whole.len());
        whole[at] ^= 1 << rng.below(8);
        let (got, end) = receive(&mut rng, &keys, &whole);
        assert_prefix(&sent, &got);
        end.unwrap_err();
    }
}

#[test]
fn records_swapped_repeated_left_out_or_behind_the_end_give_a_prefix_and_then_an_error() {
    let mut rng = Rng::seeded("reorder");
    for round in 0..1000 {
        let keys = keys(Suite::ALL[round % 4]);
        let sent = send(&mut rng, &keys);
        let mut records = sent.records.clone();
        let (i, j) = (rng.below(records.len()), rng.below(records.len()));
        match rng.below(4) {
            0 if i != j => records.swap(i, j),
            1 => {
                records.remove(i);
            }
            2 => records.push(vec![0]),
            _ => records.insert(j, records[i].clone()),
        }
        let (got, end) = receive(&mut rng, &keys, &records.concat());
        assert_prefix(&sent, &got);
        end.unwrap_err();
    }
}

#[test]
fn a_stream_of_one_body_is_none_of_another() {
    let mut rng = Rng::seeded("splice");
    for round in 0..200 {
        let suite = Suite::ALL[round % 4];
        let keys = keys(suite);
        let sent = send(&mut rng, &keys);
        let whole = Bytes::from(sent.records.concat());
        let others = [
            (SessionKeys::derive(suite, &mut [3; 32]).response_body, CONTEXT),
            (SessionKeys::derive(suite, &mut [4; 32]).request_body, CONTEXT),
            (SessionKeys::derive(suite, &mut [3; 32]).request_body, [8; 32]),
        ];
        for (key, context) in &others {
            let decoder = Decoder::new(suite, key, context, &AwsLc, LIMIT);
            let mut decoder = decoder.of_messages();
            decoder.push(whole.clone());
            assert!(decoder.poll().is_err());
        }
    }
}

#[test]
fn no_buffer_grows_beyond_what_came() {
    let keys = keys(Suite::Mac);
    let mut decoder = Decoder::new(keys.suite(), &keys.request_body, &CONTEXT, &AwsLc, LIMIT);
    let above = (LIMIT as u32 + 18).to_be_bytes();
    decoder.push(Bytes::copy_from_slice(&[&[0][..], &above].concat()));
    assert!(decoder.poll().is_err(), "refused at its five-byte header");
}

#[test]
fn a_batch_outside_of_grpc_is_no_record() {
    for suite in Suite::ALL {
        let keys = keys(suite);
        let mut encoder = Encoder::new(suite, &keys.request_body, &CONTEXT, &AwsLc);
        let mut splitter = Splitter::new(LIMIT);
        splitter.push(Bytes::from_static(b"\0\0\0\0\x01a\0\0\0\0\x01b"));
        let mut out = BytesMut::new();
        encoder.batch(splitter.run(MAX_BATCH), &mut out).unwrap();
        assert_eq!(encoder.totals(), (2, 2));
        let decoder = || Decoder::new(suite, &keys.request_body, &CONTEXT, &AwsLc, LIMIT);
        let mut http = decoder();
        http.push(out.clone().freeze());
        assert_eq!(http.poll().unwrap_err().kind(), RecordErrorKind::NotARecord);
        let mut grpc = decoder().of_messages();
        grpc.push(out.freeze());
        let item = |payload| Item::Data { flag: 0, payload: Bytes::from_static(payload) };
        assert_eq!(grpc.poll().unwrap(), Some(item(b"a")));
        assert_eq!(grpc.totals(), (2, 2), "what is verified counts");
        assert_eq!(grpc.poll().unwrap(), Some(item(b"b")));
        assert_eq!(grpc.poll().unwrap(), None);
    }
}
