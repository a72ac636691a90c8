//! What does a closed window cost: scored and learnt, for a feature? And an edge, in memory?

#![allow(missing_docs, clippy::print_stdout)] // criterion's macros; a size is no time

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use meshguard_core::baseline::{Baselines, EdgeKey, Latency, Settings, Window};
use meshguard_core::{SpiffeId, Timestamp};

const CALLER: SpiffeId = SpiffeId::from_static("spiffe://bench.example/ns/prod/sa/caller");
const LEARNT: usize = 20_000;

/// A second of a busy caller, with all that a caller's window can show: eight features.
fn window(random: &mut u64, start: Timestamp) -> Window {
    let mut below = |n: u64| {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*random >> 33) % n
    };
    let calls = 200 + below(60);
    Window {
        start,
        end: start + Duration::from_secs(1),
        calls,
        errors: u64::from(below(20) == 0),
        latency: Some(Latency {
            p50: Duration::from_micros(4_000 + below(800)),
            p99: Duration::from_micros(20_000 + below(9_000)),
        }),
        request_bytes: calls * (500 + below(90)),
        response_bytes: calls * (9_000 + below(900)),
        asked: calls,
        refused: u64::from(below(50) == 0),
        receipts: calls,
        missing_receipts: u64::from(below(500) == 0),
        longest_gap: Duration::from_micros(20_000 + below(20_000)),
        ..Window::default()
    }
}

fn score(c: &mut Criterion) {
    let edge = EdgeKey::Caller(CALLER);
    let mut random = 7;
    let windows: Vec<Window> = (0..LEARNT as u64)
        .map(|i| window(&mut random, Timestamp::from_unix_secs(1_700_000_000 + i)))
        .collect();
    let mut baselines = Baselines::new(Settings::default());
    for window in &windows {
        baselines.handle_window(&edge, window, true);
    }
    #[allow(clippy::print_stdout)] // a bench says what it found
    {
        println!("{} bytes an edge of nine features, beside its name", Baselines::bytes_of_one());
    }

    let mut group = c.benchmark_group("score");
    group.throughput(Throughput::Elements(8)); // features
    let mut each = windows.iter().cycle();
    group.bench_function("window", |b| {
        b.iter(|| {
            baselines.handle_window(&edge, black_box(each.next().unwrap_or(&windows[0])), true)
        });
    });
    group.finish();
    let idle = Duration::from_secs(3);
    c.bench_function("silence", |b| b.iter(|| baselines.silence(black_box(&edge), idle)));
    c.bench_function("snapshot of one edge", |b| b.iter(|| baselines.snapshot()));
}

criterion_group!(benches, score);
criterion_main!(benches);
