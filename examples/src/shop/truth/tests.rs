//! Whoever is fooled is found out.

use meshguard_axum::core::delivery::Outcome;

use super::*;

fn call() -> (Truth, Key) {
    let (truth, key) = (Truth::new(), Key::new(Lane::H2, Op::Order, "h2-000001"));
    truth.sent(&key, 1);
    (truth, key)
}

fn fooled(truth: &Truth) -> Vec<Fooled> {
    let fooled = truth.anomalies(0).into_iter().filter_map(|a| match a.what {
        What::Fooled(fooled) => Some(fooled),
        _ => None,
    });
    fooled.collect()
}

fn told(outcome: Outcome) -> Sign {
    Sign { outcome: Some(outcome), ..Sign::patience() }
}

#[test]
fn a_whole_call_fools_nobody() {
    let (truth, key) = call();
    truth.received(&key, 1, true);
    truth.answers(&key, 2);
    truth.accepted(&key, 2);
    assert!(truth.anomalies(0).is_empty());
    let tally = truth.tally(Lane::H2);
    assert_eq!((tally.sent, tally.received, tally.verified, tally.answered), (1, 1, 1, 1));
}

#[test]
fn a_callee_is_fooled_by_what_was_not_sent_and_by_what_comes_twice() {
    let (truth, key) = call();
    truth.received(&key, 9, false);
    truth.received(&key, 1, false);
    truth.received(&Key::new(Lane::H2, Op::Order, "h2-000002"), 1, false);
    assert_eq!(fooled(&truth), [Fooled::Request, Fooled::Twice, Fooled::Stranger]);
}

#[test]
fn a_caller_is_fooled_by_what_was_not_answered() {
    let (truth, key) = call();
    truth.accepted(&key, 2);
    truth.answers(&key, 3);
    truth.accepted(&key, 2);
    assert_eq!(fooled(&truth), [Fooled::Forged, Fooled::Answer]);
}

#[test]
fn a_caller_is_fooled_by_an_outcome_that_is_not_true() {
    let (truth, key) = call();
    truth.failed(&key, told(Outcome::NotDelivered));
    assert!(fooled(&truth).is_empty());
    truth.received(&key, 1, true);
    assert_eq!(fooled(&truth), [Fooled::Outcome]);
    let (truth, key) = call();
    truth.failed(&key, told(Outcome::Delivered));
    assert_eq!(fooled(&truth), [Fooled::Outcome]);
}
