//! What does a call pay to be measured, and to ask whether anything is in force? And what does a
//! window cost, from closing it to the judgement of what it shows?

#![allow(missing_docs)] // criterion's macros

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use meshguard_core::baseline::{EdgeKey, Settings};
use meshguard_core::control::Loop;
use meshguard_core::reflex::Plan;
use meshguard_core::{SpiffeId, Timestamp};
use meshguard_tower::bench::{Calm, Observer};

const CALLER: SpiffeId = SpiffeId::from_static("spiffe://bench.example/ns/prod/sa/caller");
const LATENCY: Duration = Duration::from_micros(4_321);
const SECOND: Duration = Duration::from_secs(1);

fn call(c: &mut Criterion) {
    let observer = Observer::new(CALLER);
    let mut group = c.benchmark_group("a call");
    group.bench_function("is measured", |b| {
        b.iter(|| observer.call(black_box(LATENCY), black_box(512), black_box(9_000)));
    });
    // Both cores count on one edge: what sharding is for.
    group.bench_function("is measured, beside another thread", |b| {
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    observer.call(black_box(LATENCY), 512, 9_000);
                }
            });
            b.iter(|| observer.call(black_box(LATENCY), black_box(512), black_box(9_000)));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
    let calm = Calm::default();
    group.bench_function("asks whether anything is in force", |b| {
        b.iter(|| calm.admits(black_box(&CALLER)));
    });
    group.finish();
}

fn window(c: &mut Criterion) {
    let edge = EdgeKey::Caller(CALLER);
    let observer = Observer::new(CALLER);
    let mut state = Loop::new(Settings::default(), Plan::default());
    let mut now = Timestamp::from_unix_secs(1_700_000_000);
    let mut next = move |state: &mut Loop| {
        (0..4).for_each(|_| observer.call(LATENCY, 512, 9_000));
        let window = observer.take(now, now + SECOND);
        now = now + SECOND;
        let bits = state.handle_window(&edge, &window).score.bits;
        while state.poll_event().is_some() {}
        bits
    };
    for _ in 0..10_000 {
        next(&mut state);
    }
    let mut group = c.benchmark_group("a window");
    group.bench_function("with four calls, counted, closed, scored, learnt and judged", |b| {
        b.iter(|| next(black_box(&mut state)));
    });
    group.finish();
}

criterion_group!(benches, call, window);
criterion_main!(benches);
