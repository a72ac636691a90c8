//! The golden vectors of the wire form, in both directions: what they hold is written again to
//! the byte, and read back; the refused ones are refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use meshguard_core::delivery::base::{Cover, RequestHead, ResponseHead};
use meshguard_core::delivery::field::{Body, Rcpt, RequestField, ResponseField, put_proof};
use meshguard_core::delivery::{
    BodyKey, Decoder, Encoder, HeadKey, Item, Proof, Receipt, ReceiptStatus, RecordErrorKind,
    SessionKeys, Sid, Suite, context, known,
};
use serde_json::Value;
use support::AwsLc;

const LIMIT: usize = 1 << 20;

fn vectors() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("data/mg1.json")).unwrap();
    let vectors = all["vectors"].as_array().unwrap().clone();
    assert_eq!(vectors.len(), 28);
    vectors
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn keys(vector: &Value) -> SessionKeys {
    let suite = Suite::from_number(vector["suite"].as_u64().unwrap() as u8).unwrap();
    SessionKeys::derive(suite, &mut unhex(&vector["master"]).try_into().unwrap())
}

fn headers(message: &Value) -> HeaderMap {
    let fields = message["headers"].as_object().unwrap().iter();
    let parsed = fields.map(|(n, v)| {
        let name = HeaderName::from_bytes(n.as_bytes()).unwrap();
        (name, HeaderValue::from_str(v.as_str().unwrap()).unwrap())
    });
    parsed.filter(|(n, _)| n != "meshguard").collect()
}

fn cover(vector: &Value) -> Cover {
    let names = vector["cover"].as_array().unwrap().iter();
    Cover::new(names.map(|n| HeaderName::from_bytes(n.as_str().unwrap().as_bytes()).unwrap()))
}

fn trailers(message: &Value) -> Option<HeaderMap> {
    let pairs = message.get("trailers")?.as_array()?.iter();
    Some(
        pairs
            .map(|pair| {
                let name = HeaderName::from_bytes(pair[0].as_str().unwrap().as_bytes()).unwrap();
                (name, HeaderValue::from_str(pair[1].as_str().unwrap()).unwrap())
            })
            .collect(),
    )
}

/// The field as it is on the wire: its text in the vector and the proof.
fn with_proof(message: &Value, proof: Proof) -> Vec<u8> {
    let mut field = message["headers"]["meshguard"].as_str().unwrap().as_bytes().to_vec();
    put_proof(&mut field, &proof);
    field
}

fn text(base: &[u8]) -> &str {
    std::str::from_utf8(base).unwrap()
}

/// The base of a request is written, proved and read back; returns proof and context.
fn request_head(vector: &Value, keys: &SessionKeys) -> (Proof, [u8; 32]) {
    let request = &vector["request"];
    let headers = headers(request);
    let method = Method::from_bytes(request["method"].as_str().unwrap().as_bytes()).unwrap();
    let head = RequestHead {
        method: &method,
        authority: request["authority"].as_str().unwrap(),
        path: request["path"].as_str().unwrap(),
        query: request["query"].as_str().unwrap(),
        headers: &headers,
    };
    let plain = request["headers"]["meshguard"].as_str().unwrap().as_bytes();
    let mut base = Vec::new();
    head.write(&cover(vector), plain, &mut base);
    assert_eq!(text(&base), request["base"].as_str().unwrap());
    let proof = proof(request, &base, &keys.request_head);

    let field = with_proof(request, proof);
    let read = RequestField::parse(&field).unwrap();
    assert_eq!((read.covered, read.proof), (plain.len(), proof));
    let void: Vec<_> =
        read.void.iter().flat_map(meshguard_core::delivery::field::Ranges::pairs).collect();
    let acks: Vec<u64> = read.acks.iter().flat_map(|a| a.seqs.iter()).collect();
    let mut again = Vec::new();
    let numbers = (read.seq, read.att, read.low);
    let acks = read.acks.map(|a| (&acks[..], a.proof));
    RequestField::write(&mut again, &read.sid, numbers, &void, &read.body, acks, read.by);
    assert_eq!(text(&again), text(plain));
    assert_eq!(read.sid, Sid::parse(vector["sid"].as_str().unwrap().as_bytes()).unwrap());
    (proof, context(&base))
}

fn response_head(vector: &Value, keys: &SessionKeys, request: &Proof) -> [u8; 32] {
    let response = &vector["response"];
    let headers = headers(response);
    let status = StatusCode::from_u16(response["status"].as_u64().unwrap() as u16).unwrap();
    let plain = response["headers"]["meshguard"].as_str().unwrap().as_bytes();
    let mut base = Vec::new();
    let head = ResponseHead { status, headers: &headers, request };
    head.write(&cover(vector), plain, &mut base);
    assert_eq!(text(&base), response["base"].as_str().unwrap());
    let proof = proof(response, &base, &keys.response_head);

    let field = with_proof(response, proof);
    let read = ResponseField::parse(&field).unwrap();
    assert_eq!((read.covered, read.proof), (plain.len(), proof));
    let mut again = Vec::new();
    ResponseField::write(&mut again, read.seq, &read.body, &read.rcpt, read.dup);
    assert_eq!(text(&again), text(plain));
    context(&base)
}

fn proof(message: &Value, base: &[u8], key: &HeadKey) -> Proof {
    let proof = key.prove(base);
    let mut text = Vec::new();
    put_proof(&mut text, &proof);
    assert_eq!(text[4..], *message["p"].as_str().unwrap().as_bytes());
    proof
}

fn chunks(message: &Value) -> Vec<Vec<u8>> {
    message["chunks"].as_array().unwrap().iter().map(unhex).collect()
}

fn is_grpc(message: &Value) -> bool {
    message["headers"]["content-type"] == "application/grpc"
}

/// A body is encoded to the very bytes of its vector and decoded back; returns its receipt.
fn body(
    message: &Value,
    keys: &SessionKeys,
    key: &BodyKey,
    context: &[u8; 32],
    receipt: Option<Receipt>,
) -> Receipt {
    let trailers = trailers(message);
    let field = message["headers"]["meshguard"].as_str().unwrap();
    if message["body"] != "records" {
        let all = chunks(message).concat();
        let d = known::digest(&all, trailers.as_ref());
        if let Some((_, stated)) = field.split_once("d=:") {
            use base64::Engine as _;
            let stated = base64::engine::general_purpose::STANDARD.decode(&stated[..44]).unwrap();
            assert_eq!(stated, d);
        }
        let status = ReceiptStatus::Consumed;
        return Receipt::known(status, att(message), all.len() as u64, d);
    }
    let records: Vec<Vec<u8>> = message["records"].as_array().unwrap().iter().map(unhex).collect();
    let aborted = is_aborted(message);
    let mut encoder = Encoder::new(keys.suite(), key, context, &AwsLc);
    let flag = u8::from(is_grpc(message) && message["headers"].get("grpc-encoding").is_some());
    for (chunk, want) in chunks(message).iter().zip(&records) {
        let mut out = BytesMut::new();
        encoder.data(flag, chunk, &mut out).unwrap();
        assert_eq!(out, want[..]);
    }
    let status = ReceiptStatus::Consumed;
    let sent = encoder.receipt(status, att(message));
    assert_eq!(sent.digest.to_vec(), unhex(&message["transcript"]));
    let fin = encoder.fin(aborted, trailers.as_ref().map(known::trailer_digest), receipt).unwrap();
    assert_eq!(fin, records.last().unwrap()[..]);
    decode(message, keys, key, context, &records, aborted);
    sent
}

fn decode(
    message: &Value,
    keys: &SessionKeys,
    key: &BodyKey,
    context: &[u8; 32],
    records: &[Vec<u8>],
    aborted: bool,
) {
    let mut decoder = Decoder::new(keys.suite(), key, context, &AwsLc, LIMIT);
    decoder.push(Bytes::from(records.concat()));
    for chunk in chunks(message) {
        match decoder.poll().unwrap() {
            Some(Item::Data { payload, .. }) => assert_eq!(payload, chunk),
            other => panic!("{other:?}"),
        }
    }
    if aborted {
        let error = decoder.poll().unwrap_err();
        assert_eq!(error.kind(), RecordErrorKind::Aborted);
        return assert_eq!(decoder.end().unwrap_err().kind(), RecordErrorKind::Aborted);
    }
    assert!(matches!(decoder.poll().unwrap(), Some(Item::Fin(_))));
    assert_eq!(decoder.poll().unwrap(), None);
    decoder.end().unwrap();
}

fn att(message: &Value) -> u8 {
    u8::from(message["headers"]["meshguard"].as_str().unwrap().contains("att=1"))
}

/// Only the request of the vector that says so is aborted.
fn is_aborted(message: &Value) -> bool {
    message.get("aborted").is_some()
}

#[test]
fn every_vector_is_written_to_the_byte_and_read_back() {
    for mut vector in vectors() {
        let name = vector["name"].as_str().unwrap().to_owned();
        println!("suite {}: {name}", vector["suite"]);
        if name.contains("aborted") {
            vector["request"]["aborted"] = Value::Bool(true);
        }
        let keys = keys(&vector);
        let (proof, request_context) = request_head(&vector, &keys);
        let response_context = response_head(&vector, &keys, &proof);
        let request = body(&vector["request"], &keys, &keys.request_body, &request_context, None);
        assert_eq!(request.to_bytes().to_vec(), unhex(&vector["request_receipt"]));
        let later = vector["response"]["headers"]["meshguard"].as_str().unwrap().contains("later");
        let mut response = body(
            &vector["response"],
            &keys,
            &keys.response_body,
            &response_context,
            later.then_some(request),
        );
        response.att = request.att;
        assert_eq!(response.to_bytes().to_vec(), unhex(&vector["response_receipt"]));
        receipts(&vector, &keys, &request, &response);
    }
}

/// The receipt's proof in the answer's head, and the acknowledgement of the answer.
fn receipts(vector: &Value, keys: &SessionKeys, request: &Receipt, response: &Receipt) {
    let field = with_proof(&vector["response"], Proof([0; 16]));
    let read = ResponseField::parse(&field).unwrap();
    if let Rcpt::Now { proof: Some(t), .. } = read.rcpt {
        assert_eq!(t, keys.receipt.receipt(read.seq, request));
    }
    let ack = keys.receipt.acks([(read.seq, response)].into_iter());
    let text = format!(
        "seq=9999, low=1, body=none, {}, p=:AAAAAAAAAAAAAAAAAAAAAA==:",
        vector["ack"].as_str().unwrap()
    );
    let text = format!("sid=\"{}\", {text}", vector["sid"].as_str().unwrap());
    let acks = RequestField::parse(text.as_bytes()).unwrap().acks.unwrap();
    assert_eq!(acks.proof, ack);
    assert_eq!(acks.seqs.iter().collect::<Vec<_>>(), [read.seq]);
}

#[test]
fn the_refused_duplicate_is_refused() {
    use meshguard_core::Timestamp;
    use meshguard_core::delivery::{Receiver, Refusal};
    let vector = vectors().into_iter().find(|v| v["name"] == "a duplicate is refused").unwrap();
    let keys = keys(&vector);
    let (proof, _) = request_head(&vector, &keys);
    let field = with_proof(&vector["request"], proof);
    let field = RequestField::parse(&field).unwrap();
    let mut receiver = Receiver::new(4096);
    let now = Timestamp::from_unix_secs(1_763_755_200);
    let claim = receiver.claim(&field, &keys.receipt, now, now).unwrap();
    receiver.settled(claim);
    let refused = receiver.claim(&field, &keys.receipt, now, now);
    assert_eq!(refused, Err(Refusal::Duplicate { settled: true }));
    let answer = with_proof(&vector["response"], Proof([0; 16]));
    let answer = ResponseField::parse(&answer).unwrap();
    assert!(answer.dup && answer.body == Body::None);
}

#[test]
fn any_change_of_a_vectors_records_is_refused() {
    for vector in vectors().iter().filter(|v| v["request"]["body"] == "records") {
        let keys = keys(vector);
        let (_, context) = request_head(vector, &keys);
        let records: Vec<Vec<u8>> =
            vector["request"]["records"].as_array().unwrap().iter().map(unhex).collect();
        let whole = records.concat();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let mut decoder =
                Decoder::new(keys.suite(), &keys.request_body, &context, &AwsLc, LIMIT);
            decoder.push(Bytes::from(bytes));
            let clean = loop {
                match decoder.poll() {
                    Ok(Some(_)) => {}
                    Ok(None) => break decoder.end().is_ok(),
                    Err(_) => break false,
                }
            };
            assert!(!clean, "byte {at} of {}", vector["name"]);
        }
    }
}
