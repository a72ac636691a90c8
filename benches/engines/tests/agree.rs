//! All engines answer alike; otherwise their times would not compare.

#![allow(clippy::unwrap_used)] // a helper of tests may

use meshguard_bench_engines::{Effect, Engine, Mesh, SIZES, Workload, agree, engines};

#[test]
fn all_engines_answer_what_the_linear_scan_answers() {
    for rules in [10, 100, 1_000] {
        for seed in 0..5 {
            let load = Workload::new(rules, seed);
            let sample = load.mixed(400, seed);
            let yes = sample.calls.iter().filter(|call| call.allowed).count();
            assert!((100..300).contains(&yes), "{rules} rules, seed {seed}: {yes} allowed");
            agree(&mut engines(&load, &sample).unwrap(), &sample).unwrap();
        }
    }
}

#[test]
fn one_rule_that_an_engine_lacks_is_noticed() {
    let load = Workload::new(100, 7);
    let sample = load.mixed(400, 7);
    for effect in [Effect::Allow, Effect::Deny] {
        let mut other = Workload::new(100, 7);
        other.rules.retain(|rule| rule.effect != effect);
        let mesh: Vec<Box<dyn Engine + '_>> = vec![Box::new(Mesh::new(&other, &sample).unwrap())];
        assert!(agree(&mut { mesh }, &sample).is_err(), "without {effect:?}");
    }
}

#[test]
fn a_timed_call_is_allowed() {
    for rules in SIZES {
        let load = Workload::new(rules, 1);
        assert!(load.allowed(64, 1).calls.iter().all(|call| call.allowed));
    }
}
