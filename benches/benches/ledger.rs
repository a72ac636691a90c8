//! What does an entry cost the call that records it? How many entries a second does the disk
//! take, and how fast is a ledger verified?

#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros; a bench that cannot run panics

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use meshguard_core::delivery::{Outcome, Sid};
use meshguard_core::ledger::{Entry, Exchange, Sent, Stamp, Tree, leaf_hash, put_frame};
use meshguard_core::{Evidence, Timestamp};
use meshguard_tower::ledger::{Ledger, LedgerOptions, verify};

/// What a caller records of a call: about 200 bytes.
fn sent(seq: u64) -> Entry<'static> {
    Entry::Sent(Sent {
        to: "spiffe://shop.example/ns/prod/sa/orders",
        via: None,
        instance: Some("orders-7c9f4b-x2x9k"),
        method: Some("POST"),
        route: Some("/orders/{id}"),
        exchange: Some(Exchange { sid: Sid::from_random([5; 16]), seq, attempt: 0 }),
        outcome: Outcome::Delivered,
        status: Some(201),
        evidence: Evidence::Verified,
        request_bytes: 1024,
        response_bytes: 64,
        latency: Duration::from_micros(750),
        digest: Some([7; 32]),
    })
}

/// So many fit into the queue: none is lost while the writer is away.
const ROUND: u64 = 8192;

/// Calls `append` so often, in rounds after which the writer catches up unmeasured.
fn rounds(ledger: &Ledger, times: u64, mut append: impl FnMut(u64)) -> Duration {
    let (mut left, mut took) = (times, Duration::ZERO);
    while left > 0 {
        let round = left.min(ROUND);
        let begin = Instant::now();
        (0..round).for_each(&mut append);
        took += begin.elapsed();
        ledger.flush_blocking().unwrap();
        left -= round;
    }
    assert_eq!(ledger.stats().lost, 0);
    took
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger/append");
    let mut frames = Vec::with_capacity(1 << 12);
    group.bench_function("encode only", |b| {
        b.iter(|| {
            frames.clear();
            let stamp = Stamp { seq: 7, at: Timestamp::EPOCH, elapsed: Duration::ZERO };
            put_frame(black_box(&sent(7)), &stamp, &mut frames);
        });
    });
    let ledger = Ledger::memory().unwrap();
    group.bench_function("in memory", |b| {
        b.iter_custom(|times| rounds(&ledger, times, |n| _ = ledger.append(black_box(&sent(n)))));
    });
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    group.bench_function("on disk", |b| {
        b.iter_custom(|times| rounds(&ledger, times, |n| _ = ledger.append(black_box(&sent(n)))));
    });
    let round = || (0..ROUND).for_each(|n| _ = ledger.append(&sent(n)));
    let counted = allocation_counter::measure(round);
    assert_eq!(counted.count_total, 0, "an append allocates");
    group.finish();
}

fn hash(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger/hash");
    let mut frames = Vec::new();
    put_frame(&sent(7), &Stamp::default(), &mut frames);
    let mut tree = Tree::new();
    group.throughput(Throughput::Elements(1));
    group.bench_function("an entry into the tree", |b| {
        b.iter(|| tree.push(leaf_hash(black_box(&frames[8..]))));
    });
    group.finish();
}

fn durable(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger/durable and signed");
    group.sample_size(20);
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    for count in [1, 64, 1024, 16_384] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("batch of {count}"), |b| {
            b.iter(|| {
                (0..count).for_each(|n| _ = ledger.append(&sent(n)));
                ledger.flush_blocking().unwrap();
            });
        });
    }
    assert_eq!(ledger.stats().lost, 0);
    group.finish();
}

fn verification(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger/verify");
    group.sample_size(20);
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open_with(dir.path(), LedgerOptions::new()).unwrap();
    rounds(&ledger, 200_000, |n| _ = ledger.append(&sent(n)));
    ledger.close().unwrap();
    group.throughput(Throughput::Bytes(ledger.stats().bytes));
    group.bench_function("200,000 entries", |b| {
        b.iter(|| verify(dir.path(), ledger.public_key()).unwrap());
    });
    group.finish();
}

criterion_group!(all, append, hash, durable, verification);
criterion_main!(all);
