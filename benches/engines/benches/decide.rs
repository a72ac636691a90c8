//! The table's decisions with criterion's statistics.

#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros; a bench that cannot run panics

use criterion::{Criterion, criterion_group, criterion_main};
use meshguard_bench_engines::{SIZES, Workload, agree, engines};

fn decide(c: &mut Criterion) {
    for rules in SIZES {
        let load = Workload::new(rules, rules as u64);
        let sample = load.allowed(256, 2);
        let mut all = engines(&load, &sample).unwrap();
        agree(&mut all, &sample).unwrap();
        let mut group = c.benchmark_group(format!("engines/{rules}"));
        group.sample_size(20);
        for engine in &mut all {
            let mut at = 0;
            group.bench_function(engine.name(), |b| {
                b.iter(|| {
                    at += 1;
                    engine.decide(at, 1)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(all, decide);
criterion_main!(all);
