//! What does a request cost the server's CPU, by what stands between connection and routes?
//!
//! What criterion reports as time is CPU time of the server's thread per request.

#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros; a bench that cannot run panics

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use meshguard_benches::{LOADS, Rig, Variant};

fn layers(c: &mut Criterion) {
    let rig = Rig::start().unwrap();
    for load in LOADS {
        let mut group = c.benchmark_group(format!("layers/{}", load.name));
        group.sample_size(10);
        group.warm_up_time(Duration::from_millis(200));
        group.measurement_time(Duration::from_secs(1));
        for variant in Variant::ALL {
            group.bench_function(variant.to_string(), |b| {
                b.iter_custom(|count| {
                    let count = usize::try_from(count).unwrap();
                    Duration::from_nanos(rig.measure(variant, load, count).unwrap() as u64)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(all, layers);
criterion_main!(all);
