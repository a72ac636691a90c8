//! What operators answer: a false alarm, or a true incident.

use meshguard_core::baseline::{Baselines, EdgeKey, Feature, Score, Window};

use super::traffic::{Step, Traffic};
use super::{caller, learnt, seed};

const BITS: f32 = 20.0;

fn score(baselines: &Baselines, edge: &EdgeKey, window: &Window) -> Score {
    baselines.clone().handle_window(edge, window, false)
}

#[test]
fn a_false_alarm_does_not_come_again_and_all_others_still_do() {
    let (edge, mut traffic) = (caller(0), Traffic::busy(seed(), 300.0));
    let mut baselines = learnt(&edge, &mut traffic, 8_000);
    let mut other = Traffic::busy(seed() + 1, 300.0);
    super::teach(&mut baselines, &caller(1), &mut other, 8_000);
    let alarm = traffic.step(Some(Step::RequestBytes));
    let told = baselines.handle_window(&edge, &alarm, false);
    assert!(told.bits >= BITS, "{}", told.bits);

    // The control: without an answer it comes again.
    super::teach(&mut baselines, &edge, &mut traffic, 40);
    assert!(score(&baselines, &edge, &alarm).bits >= BITS);

    baselines.false_alarm(&edge, &told);
    let again = score(&baselines, &edge, &alarm);
    assert!(again.bits < 14.0, "{}", again.bits);
    for (step, feature) in [(Step::RateUp, Feature::Rate), (Step::P99, Feature::P99)] {
        let still = score(&baselines, &edge, &traffic.step(Some(step)));
        assert!(still.bits >= BITS && still.top == Some(feature), "{step:?}: {}", still.bits);
    }
    let elsewhere = score(&baselines, &caller(1), &other.step(Some(Step::RequestBytes)));
    assert!(elsewhere.bits >= BITS, "{}", elsewhere.bits);
}

#[test]
fn a_false_alarm_of_one_size_does_not_excuse_a_far_larger_one() {
    let (edge, mut traffic) = (caller(0), Traffic::busy(seed(), 300.0));
    let mut baselines = learnt(&edge, &mut traffic, 8_000);
    let mut window = traffic.window();
    window.request_bytes = window.request_bytes * 7 / 4;
    let told = baselines.handle_window(&edge, &window, false);
    assert!(told.bits >= BITS, "{}", told.bits);
    baselines.false_alarm(&edge, &told);
    super::teach(&mut baselines, &edge, &mut traffic, 40);
    let again = score(&baselines, &edge, &window);
    assert!(again.bits < 14.0, "{}", again.bits);
    window.request_bytes *= 20;
    let larger = score(&baselines, &edge, &window);
    assert!(larger.bits > 18.0, "{}", larger.bits);
}

#[test]
fn a_false_alarm_of_silence_does_not_come_again() {
    let (edge, mut traffic) = (caller(0), Traffic::busy(seed(), 100.0));
    let mut baselines = learnt(&edge, &mut traffic, 3_000);
    let idle = std::time::Duration::from_secs(10);
    let told = baselines.silence(&edge, idle).unwrap();
    assert!(told.silence >= BITS, "{}", told.silence);
    baselines.false_alarm(&edge, &told);
    assert!(baselines.silence(&edge, idle).unwrap().silence < 12.0);
}

/// Twenty windows of an attack that are learnt, confirmed or not; then its like a while later.
fn after_an_incident(confirm: bool) -> (f32, f32) {
    let (edge, mut traffic) = (caller(0), Traffic::busy(seed(), 300.0));
    let mut baselines = learnt(&edge, &mut traffic, 8_000);
    let normal = score(&baselines, &edge, &traffic.window()).measure(Feature::RequestBytes).normal;
    // Two windows of it pass before the incident is opened.
    for window in 0..100 {
        baselines.handle_window(&edge, &traffic.step(Some(Step::RequestBytes)), true);
        if window == 1 {
            baselines.keep(&edge, true);
        }
    }
    if confirm {
        baselines.confirm(&edge);
    }
    baselines.keep(&edge, false);
    let now = score(&baselines, &edge, &traffic.window()).measure(Feature::RequestBytes).normal;
    super::teach(&mut baselines, &edge, &mut traffic, 40);
    (score(&baselines, &edge, &traffic.step(Some(Step::RequestBytes))).bits, now / normal)
}

#[test]
fn a_confirmed_incident_is_not_learnt() {
    let (bits, moved) = after_an_incident(true);
    assert!(bits >= BITS, "{bits}");
    assert!((moved - 1.0).abs() < 0.01, "{moved}");

    // The control, and the defect: what is not taken back becomes usual.
    let (bits, moved) = after_an_incident(false);
    assert!(bits < 14.0, "{bits}");
    assert!(moved > 1.02, "{moved}");
}

#[test]
fn an_attack_stays_surprising_while_it_is_being_judged() {
    let (edge, mut traffic) = (caller(0), Traffic::busy(seed(), 300.0));
    let mut baselines = learnt(&edge, &mut traffic, 8_000);
    for window in 0..20 {
        let score = baselines.handle_window(&edge, &traffic.step(Some(Step::RequestBytes)), true);
        assert!(score.bits >= BITS, "{} in window {window}", score.bits);
    }
}

#[test]
fn what_is_not_to_be_learnt_is_not() {
    let (edge, mut traffic) = (caller(0), Traffic::busy(seed(), 300.0));
    let mut baselines = learnt(&edge, &mut traffic, 5_000);
    let before = baselines.known(&edge);
    for _ in 0..500 {
        let score = baselines.handle_window(&edge, &traffic.step(Some(Step::Errors)), false);
        assert!(score.bits >= BITS, "{}", score.bits);
    }
    assert_eq!(baselines.known(&edge), before);
}

/// The most bits of the windows after an attack that lasted, once the edge behaves again.
fn after_it_behaves(resume: bool) -> f32 {
    let (edge, mut traffic) = (caller(0), Traffic::busy(seed(), 300.0));
    let mut baselines = learnt(&edge, &mut traffic, 8_000);
    for _ in 0..20 {
        let attack = traffic.step(Some(Step::Errors));
        baselines.handle_window(&edge, &attack, false);
    }
    if resume {
        baselines.resume(&edge);
    }
    let mut bits = || baselines.handle_window(&edge, &traffic.window(), false).bits;
    (0..4).map(|_| bits()).fold(0.0, f32::max)
}

#[test]
fn who_behaves_again_is_not_judged_by_what_it_did_before_it_was_restricted() {
    let bits = after_it_behaves(true);
    assert!(bits < 12.0, "{bits}");
    // The control: what was followed of late would have it restricted again.
    let bits = after_it_behaves(false);
    assert!(bits >= BITS, "{bits}");
}
