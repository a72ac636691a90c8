//! An allowed decision allocates nothing, however many rules there are.

#![allow(clippy::unwrap_used)] // a helper of tests may

use meshguard_bench_engines::{Cedar, Engine, Mesh, SIZES, Workload};

fn allocations(engine: &mut impl Engine, calls: usize) -> u64 {
    allocation_counter::measure(|| assert_eq!(engine.decide(0, calls), calls)).count_total
}

#[test]
fn an_allowed_decision_allocates_nothing() {
    for rules in SIZES {
        let load = Workload::new(rules, 1);
        let sample = load.allowed(256, 1);
        let mut mesh = Mesh::new(&load, &sample).unwrap();
        assert_eq!(allocations(&mut mesh, 256), 0, "{rules} rules");
    }
}

#[test]
fn the_counter_counts() {
    let load = Workload::new(10, 1);
    let sample = load.allowed(16, 1);
    assert!(allocations(&mut Cedar::new(&load, &sample).unwrap(), 16) > 16);
}
