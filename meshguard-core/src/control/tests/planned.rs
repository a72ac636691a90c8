//! Changes that were planned.

use std::time::Duration;

use super::super::{ChangeError, Changed, LONGEST_CHANGE, MAX_CHANGED, MAX_CHANGES, PlannedChange};
use super::world::*;
use crate::baseline::{Feature, Measure, Score};

const MINUTE: Duration = Duration::from_secs(60);

/// Above the threshold of 21.3 bits, by less than what is allowed for.
const RISE: f32 = 25.0;

fn change(n: usize) -> PlannedChange {
    let (of, features) = (Changed::Edges(vec![caller(n)]), vec![Feature::Rate]);
    PlannedChange { of, features, lasts: MINUTE }
}

fn rate(bits: f32) -> Score {
    let mut score = errors(0.0);
    let measure = Measure { observed: true, bits, harm: bits, value: 200.0, ..Measure::default() };
    score.measures[Feature::Rate.index()] = Measure { normal: 100.0, spreads: bits, ..measure };
    let top = Some(Feature::Rate);
    Score { bits, harm: bits, top, worst: top, ..score }
}

fn world() -> World {
    World::new(plan(&format!(
        "[[reflex]]\nname='r'\non={{signal='any', false_alarms='1 in 30 days'}}\n\
         do='quarantine'\nttl='10m'\n{FREE}"
    )))
}

#[test]
fn a_planned_change_is_no_incident_until_it_ends_and_then_at_once() {
    let mut world = world();
    world.control.expect_change(change(1), world.now).unwrap();
    assert!(world.control.stops_learning(&caller(1)) && !world.control.stops_learning(&caller(2)));
    world.windows(&caller(1), 59, &rate(RISE));
    assert_eq!(world.told(), [""; 0]);
    world.windows(&caller(1), 1, &rate(RISE));
    assert!(world.restricted(&caller(1)));
    assert_eq!(world.told(), ["i-1 opened", "a-1 quarantine applied", "i-1 acting"]);
}

#[test]
fn what_goes_far_beyond_it_is_told_and_what_it_does_not_name_is_acted_on() {
    let mut world = world();
    world.control.expect_change(change(1), world.now).unwrap();
    world.windows(&caller(1), 1, &rate(RISE + 6.0));
    world.tells(&["i-1 opened", "a-1 quarantine refused: planned"]);
    world.control.expect_change(change(2), world.now).unwrap();
    world.windows(&caller(2), 1, &errors(BITS));
    world.windows(&caller(3), 1, &rate(RISE));
    assert!(world.restricted(&caller(2)) && world.restricted(&caller(3)));
}

#[test]
fn a_change_of_a_callee_concerns_all_its_instances() {
    let mut world = world();
    let of = Changed::Callee(crate::SpiffeId::from_static("spiffe://a/orders"));
    world.control.expect_change(PlannedChange { of, ..change(1) }, world.now).unwrap();
    for (id, stops) in [("orders", true), ("billing", false)] {
        assert_eq!(world.control.stops_learning(&callee(id, "7")), stops);
    }
}

#[test]
fn what_cannot_be_expected_is_refused_by_name() {
    let mut world = world();
    let mut refused = |change: PlannedChange| {
        let now = world.now;
        world.control.expect_change(change, now).unwrap_err()
    };
    let plain = || change(1);
    let errors = PlannedChange { features: vec![Feature::Rate, Feature::Errors], ..plain() };
    assert_eq!(refused(errors), ChangeError::Feature(Feature::Errors));
    assert_eq!(refused(PlannedChange { features: vec![], ..plain() }), ChangeError::Empty);
    let nobody = Changed::Edges(vec![]);
    assert_eq!(refused(PlannedChange { of: nobody, ..plain() }), ChangeError::Empty);
    let many = Changed::Edges((0..=MAX_CHANGED).map(caller).collect());
    let too_many = ChangeError::TooManyEdges(MAX_CHANGED + 1);
    assert_eq!(refused(PlannedChange { of: many, ..plain() }), too_many);
    for lasts in [Duration::ZERO, LONGEST_CHANGE + Duration::from_nanos(1)] {
        assert_eq!(refused(PlannedChange { lasts, ..plain() }), ChangeError::Lasts(lasts));
    }
    for n in 0..MAX_CHANGES {
        world.control.expect_change(change(n), world.now).unwrap();
    }
    assert_eq!(world.control.expect_change(change(9), world.now), Err(ChangeError::TooMany));
    world.wait(86_400_000);
    assert_eq!(world.control.expect_change(change(9), world.now), Ok(()));
}
