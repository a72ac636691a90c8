//! How fast are records made and read, beside the hash and the cipher that they cannot do
//! without? And what do a head's proof and its field cost?

#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros; a bench that cannot run panics

mod support;

use std::hint::black_box;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::SHA256;
use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use meshguard_core::delivery::base::{Cover, RequestHead, ResponseHead};
use meshguard_core::delivery::field::{Body, Rcpt, RequestField, ResponseField, put_proof};
use meshguard_core::delivery::{
    Decoder, Encoder, Item, Proof, ReceiptStatus, SessionKeys, Sid, Suite, known,
};
use sha2::{Digest as _, Sha256};
use support::AwsLc;

/// One body of so many bytes is one iteration, whatever its records' size.
const BODY: usize = 1 << 20;
const PAYLOADS: [usize; 3] = [1 << 10, 16 << 10, 64 << 10];
const CONTEXT: [u8; 32] = [7; 32];

fn keys(suite: Suite) -> SessionKeys {
    SessionKeys::derive(suite, &mut [3; 32])
}

/// A body's records, with FIN.
fn encode(keys: &SessionKeys, body: &[u8], payload: usize) -> BytesMut {
    let mut encoder = Encoder::new(keys.suite(), &keys.request_body, &CONTEXT, &AwsLc);
    let mut out = BytesMut::with_capacity(body.len() + body.len() / 16);
    for piece in body.chunks(payload) {
        encoder.data(0, piece, &mut out).unwrap();
    }
    out.extend_from_slice(&encoder.fin(false, None, None).unwrap());
    out
}

/// As [`encode`], but the payloads stay where they lie: what the mesh does where it can.
fn encode_around(keys: &SessionKeys, body: &[u8], payload: usize) -> Bytes {
    let mut encoder = Encoder::new(keys.suite(), &keys.request_body, &CONTEXT, &AwsLc);
    for piece in body.chunks(payload) {
        black_box(encoder.around(0, piece).unwrap());
    }
    encoder.fin(false, None, None).unwrap()
}

fn decode(keys: &SessionKeys, records: &Bytes, payload: usize) -> u64 {
    let mut decoder = Decoder::new(keys.suite(), &keys.request_body, &CONTEXT, &AwsLc, payload);
    decoder.push(records.clone());
    while let Some(item) = decoder.poll().unwrap() {
        if matches!(item, Item::Fin(_)) {
            break;
        }
    }
    decoder.end().unwrap();
    decoder.totals().1
}

fn raw(c: &mut Criterion) {
    let mut group = c.benchmark_group("records/raw");
    let body = vec![0x5a; BODY];
    group.throughput(Throughput::Bytes(BODY as u64));
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[1; 16]).unwrap());
    for payload in PAYLOADS {
        let name = |what: &str| format!("{what}/{payload}");
        let pieces = || body.chunks(payload);
        group.bench_function(name("sha256"), |b| {
            b.iter(|| pieces().map(Sha256::digest).for_each(|d| _ = black_box(d)));
        });
        group.bench_function(name("sha256 of aws-lc"), |b| {
            let hash = |piece| aws_lc_rs::digest::digest(&SHA256, piece);
            b.iter(|| pieces().map(hash).for_each(|d| _ = black_box(d)));
        });
        group.bench_function(name("blake3"), |b| {
            b.iter(|| pieces().map(blake3::hash).for_each(|d| _ = black_box(d)));
        });
        let mut copy = body.clone();
        group.bench_function(name("aes-128-gcm"), |b| {
            b.iter(|| {
                for (i, piece) in copy.chunks_mut(payload).enumerate() {
                    let mut nonce = [0; 12];
                    nonce[4..].copy_from_slice(&(i as u64).to_be_bytes());
                    let nonce = Nonce::assume_unique_for_key(nonce);
                    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), piece);
                    _ = black_box(tag);
                }
            });
        });
    }
    group.finish();
}

fn records(c: &mut Criterion) {
    let body = vec![0x5a; BODY];
    for suite in [Suite::Mac, Suite::MacBlake3, Suite::Seal, Suite::SealBlake3] {
        let keys = keys(suite);
        let mut group = c.benchmark_group(format!("records/{suite:?}"));
        group.throughput(Throughput::Bytes(BODY as u64));
        for payload in PAYLOADS {
            if suite.is_sealed() {
                group.bench_function(format!("encode/{payload}"), |b| {
                    b.iter(|| encode(&keys, black_box(&body), payload));
                });
            } else {
                group.bench_function(format!("encode/{payload}"), |b| {
                    b.iter(|| encode_around(&keys, black_box(&body), payload));
                });
            }
            let encoded = encode(&keys, &body, payload).freeze();
            group.bench_function(format!("decode/{payload}"), |b| {
                b.iter(|| decode(&keys, black_box(&encoded), payload));
            });
        }
        group.finish();
    }
}

fn heads(c: &mut Criterion) {
    let keys = keys(Suite::Mac);
    let (sid, cover) = (Sid::from_random([5; 16]), Cover::default());
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("1024"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("bench/1"));
    let digest = known::digest(&[0x5a; 1024], None);
    let (mut field, mut base) = (Vec::new(), Vec::new());
    let mut prove = |field: &mut Vec<u8>| -> Proof {
        let numbers = (1842, 0, 1839);
        RequestField::write(field, &sid, numbers, &[], &Body::Known(digest), None, None);
        let path = "/orders/7";
        let (method, authority) = (&Method::POST, "orders.shop.example:8443");
        let head = RequestHead { method, authority, path, query: "", headers: &headers };
        head.write(&cover, field, &mut base);
        keys.request_head.prove(&base)
    };
    let mut group = c.benchmark_group("records/head");
    group.bench_function("request: write field, base, HMAC", |b| {
        b.iter(|| {
            let proof = prove(&mut field);
            put_proof(&mut field, &proof);
        });
    });
    let proof = prove(&mut field);
    put_proof(&mut field, &proof);
    group.bench_function("request: parse field", |b| {
        b.iter(|| RequestField::parse(black_box(&field)).unwrap());
    });
    let (mut answer, mut base) = (Vec::new(), Vec::new());
    group.bench_function("response: write field, base, HMAC", |b| {
        b.iter(|| {
            let rcpt = Rcpt::of(ReceiptStatus::Consumed);
            ResponseField::write(&mut answer, 1842, &Body::Known(digest), &rcpt, false);
            let head = ResponseHead { status: StatusCode::OK, headers: &headers, request: &proof };
            head.write(&cover, &answer, &mut base);
            put_proof(&mut answer, &keys.response_head.prove(&base));
        });
    });
    group.bench_function("keys and transcript of one body", |b| {
        b.iter_batched(
            || (),
            |()| Encoder::new(keys.suite(), &keys.request_body, &CONTEXT, &AwsLc),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(all, raw, records, heads);
criterion_main!(all);
