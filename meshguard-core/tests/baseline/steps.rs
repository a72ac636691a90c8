//! Steps from one window to the next are found, and named.

use std::time::Duration;

use meshguard_core::Timestamp;
use meshguard_core::baseline::{Baselines, EdgeKey, Feature, Score, Settings, Window};

use super::traffic::{STEPS, Step, Traffic};
use super::{address, caller, learnt, seed};

/// About one false alarm in seven weeks of windows of a second.
const BITS: f32 = 22.0;
const LEARNT: u32 = 6_000;

/// What became of one kind of step.
#[derive(Clone, Copy, Default)]
struct Found {
    of: u32,
    in_time: u32,
    named: u32,
}

/// Watches for `seconds`, or two windows, until a score is over the threshold.
fn watch(
    baselines: &mut Baselines,
    edge: &EdgeKey,
    traffic: &mut Traffic,
    step: Option<Step>,
    seconds: Option<f64>,
) -> Option<Score> {
    let start = traffic.now();
    for window in 0.. {
        let next = traffic.step(step);
        let over = match seconds {
            Some(limit) => next.end.since(start).as_secs_f64() > limit,
            None => window == 2,
        };
        if over {
            return None;
        }
        let score = baselines.handle_window(edge, &next, true);
        if score.bits >= BITS {
            return Some(score);
        }
    }
    None
}

fn traffic(step: Step, seed: u64, rate: f64, quiet: bool) -> (EdgeKey, Traffic) {
    match (step, quiet) {
        (Step::Handshakes, _) => (address(seed), Traffic::address(seed, rate)),
        (_, true) => (caller(seed), Traffic::quiet(seed, rate)),
        (_, false) => (caller(seed), Traffic::busy(seed, rate)),
    }
}

/// Runs each kind of step on `edges` edges; `real` is false for the control, without a step.
fn run(edges: u64, rates: [f64; 2], learn: u32, quiet: bool, real: bool) -> [Found; 9] {
    let base = seed();
    let seconds = quiet.then_some(30.0);
    std::array::from_fn(|k| {
        let (step, feature) = STEPS[k];
        let mut found = Found::default();
        for i in 0..edges {
            let rate = rates[0] + (rates[1] - rates[0]) * i as f64 / edges as f64;
            let (edge, mut traffic) = traffic(step, base + 97 * i + k as u64, rate, quiet);
            let mut baselines = learnt(&edge, &mut traffic, learn);
            let step = real.then_some(step);
            let score = watch(&mut baselines, &edge, &mut traffic, step, seconds);
            found.of += 1;
            found.in_time += u32::from(score.is_some());
            found.named += u32::from(score.and_then(|s| s.top) == Some(feature));
        }
        println!("{step:?}: {} of {}, named {}", found.in_time, found.of, found.named);
        found
    })
}

fn total(found: &[Found; 9]) -> Found {
    found.iter().fold(Found::default(), |sum, f| Found {
        of: sum.of + f.of,
        in_time: sum.in_time + f.in_time,
        named: sum.named + f.named,
    })
}

#[test]
fn a_step_on_a_busy_edge_is_found_within_two_windows_and_named() {
    let all = total(&run(5, [220.0, 400.0], LEARNT, false, true));
    assert!(all.in_time * 100 >= all.of * 95, "{} of {}", all.in_time, all.of);
    assert!(all.named * 100 >= all.in_time * 95, "{} of {}", all.named, all.in_time);
}

#[test]
fn without_a_step_nothing_is_found() {
    let all = total(&run(2, [220.0, 400.0], LEARNT, false, false));
    assert_eq!(all.in_time, 0);
}

#[test]
fn a_step_on_a_quiet_edge_is_found_within_thirty_seconds() {
    let all = total(&run(4, [4.0, 16.0], 2 * LEARNT, true, true));
    assert!(all.in_time * 100 >= all.of * 80, "{} of {}", all.in_time, all.of);
}

/// The whole table, on edges that have seen 20,000 windows:
/// `cargo test --release -p meshguard-core --test baseline every_kind -- --ignored --nocapture`
#[test]
#[ignore = "a minute in release"]
fn every_kind_of_step_at_every_rate() {
    for (name, rates, quiet) in [
        ("220 to 400 calls a window", [220.0, 400.0], false),
        ("50 to 80 calls a window", [50.0, 80.0], false),
        ("4 to 16 calls a second, 30 s", [4.0, 16.0], true),
    ] {
        println!("{name}");
        let all = total(&run(100, rates, 20_000, quiet, true));
        println!("  in all: {} of {}, named {}", all.in_time, all.of, all.named);
        let least = [95, 0, 80][usize::from(rates[0] < 100.0) + usize::from(quiet)];
        assert!(all.in_time * 100 >= all.of * least, "{name}");
        assert!(all.named * 100 >= all.in_time * 95, "{name}");
    }
}

/// Failing handshakes of an address never seen before.
fn storm(handshakes: u64, failures: u64) -> Window {
    let (_, mut traffic) = traffic(Step::Handshakes, 1, 1.0, false);
    Window { handshakes, handshake_failures: failures, ..traffic.window() }
}

#[test]
fn a_new_address_that_only_fails_handshakes_is_found_in_its_first_window() {
    let mut baselines = Baselines::new(Settings::default());
    let score = baselines.handle_window(&address(1), &storm(200, 200), true);
    assert!(score.bits >= BITS, "{}", score.bits);
    assert_eq!(score.top, Some(Feature::HandshakeFailures));
    let clean = baselines.handle_window(&address(2), &storm(200, 0), true);
    assert_eq!(clean.bits, 0.0);
    let one = baselines.handle_window(&address(3), &storm(1, 1), true);
    assert!(one.bits < 10.0, "{}", one.bits);
}

#[test]
fn what_some_addresses_show_excuses_no_other() {
    // Every third handshake of forty addresses fails.
    let mut baselines = Baselines::new(Settings::default());
    let new =
        |baselines: &mut Baselines, i| baselines.handle_window(&address(i), &storm(30, 10), true);
    let first = new(&mut baselines, 1_000);
    for i in 0..4_000 {
        baselines.handle_window(&address(i % 40), &storm(30, 10), true);
    }
    assert_eq!(new(&mut baselines, 1_001).bits, first.bits);
    // To each of them it is usual.
    assert!(new(&mut baselines, 1).bits < 8.0);
    let storm = baselines.handle_window(&address(1), &storm(300, 300), true);
    assert!(storm.bits >= 16.0, "{}", storm.bits);
}

#[test]
fn what_enough_callers_show_is_normal_of_a_new_one_however_much_a_few_call() {
    // A share of errors that is usual of a caller; two of seven fail all the time, a thousand times as often.
    let share = |callers: u64| {
        let mut baselines = Baselines::new(Settings::default());
        let mut traffic = Traffic::busy(seed(), 20.0);
        for window in 0..400 {
            for i in 0..callers {
                let (calls, errors) = if i < 2 { (300_000, 300_000) } else { (300, 30) };
                let start = Timestamp::from_unix_secs(1_709_251_200 + 10 * window);
                let end = start + Duration::from_secs(10);
                let window = Window { start, end, calls, errors, ..traffic.window() };
                baselines.handle_window(&caller(i), &window, true);
            }
        }
        let new = Window { calls: 10, asked: 10, ..traffic.window() };
        baselines.handle_window(&caller(100), &new, false).measure(Feature::Errors).normal
    };
    assert!((share(7) - 0.1).abs() < 0.02, "{}", share(7));
    // The control: four are too few to tell.
    assert!(share(4) < 0.01, "{}", share(4));
}

#[test]
fn few_windows_give_few_bits() {
    let base = seed();
    for windows in [320u32, 640, 2_560] {
        let mut traffic = Traffic::busy(base, 300.0);
        let mut baselines = learnt(&caller(0), &mut traffic, windows);
        let score = baselines.handle_window(&caller(0), &traffic.step(Some(Step::RateUp)), true);
        let most = (1_024.0 * windows as f32).log2();
        assert!(score.bits > 10.0 && score.bits <= most, "{} of {most}", score.bits);
    }
}

#[test]
fn a_level_is_silent_until_it_is_known() {
    let mut traffic = Traffic::busy(seed(), 300.0);
    let mut baselines = learnt(&caller(0), &mut traffic, 250);
    let score = baselines.handle_window(&caller(0), &traffic.step(Some(Step::RateUp)), true);
    assert_eq!(score.measure(Feature::Rate).bits, 0.0);
    assert!(score.measure(Feature::Rate).observed);
}

#[test]
fn what_was_not_observed_is_absent_and_a_rate_of_0_is_observed() {
    let (edge, mut traffic) = (caller(0), Traffic::busy(seed(), 3.0));
    let mut baselines = learnt(&edge, &mut traffic, LEARNT);
    let last = traffic.window();
    let (start, end) = (last.start, last.end);
    let empty = Window { start, end, ..Window::default() };
    let before = baselines.clone();
    let score = baselines.handle_window(&edge, &empty, true);
    for feature in Feature::ALL {
        let measure = score.measure(feature);
        assert_eq!(measure.observed, feature == Feature::Rate, "{feature}");
        assert!(measure.observed || measure == Default::default(), "{feature}");
    }
    assert!(score.bits < 14.0, "{}", score.bits);

    // The defect: what was not observed is told as 0.
    let zero = meshguard_core::baseline::Latency { p50: Duration::ZERO, p99: Duration::ZERO };
    let told = Window { calls: 1, asked: 1, latency: Some(zero), ..empty };
    let score = before.clone().handle_window(&edge, &told, true);
    assert!(score.measure(Feature::P50).bits > 14.0, "{:?}", score.measure(Feature::P50));
}
