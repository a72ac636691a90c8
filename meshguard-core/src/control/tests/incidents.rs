//! When an incident is opened, and when it is over.

use super::super::{Event, IncidentState, MAX_CLOSED, MAX_OPEN};
use super::world::*;
use crate::baseline::{EdgeKey, Feature, Score};
use crate::reflex::{Plan, Signal};

#[test]
fn a_window_above_the_threshold_opens_an_incident_and_one_below_does_not() {
    let mut world = World::new(reflex("do='alert'"));
    world.score(&caller(1), &errors(21.3));
    world.tells(&[]);
    world.score(&caller(1), &errors(21.4));
    world.tells(&["i-1 opened", "a-1 alert applied"]);
    assert!(world.control.is_open(&caller(1)) && !world.control.is_open(&caller(2)));
    let incident = world.control.incidents().next().unwrap();
    assert_eq!(incident.feature, Some(Feature::Errors));
    assert_eq!(&*incident.text, "errors 22.4 %, normally 1.0 %, 20.4 spreads above: 21.4 bits");
}

#[test]
fn the_threshold_follows_the_length_of_the_windows() {
    let mut world = World::new(reflex("do='alert'"));
    let long = |bits| Score { windows_per_day: 8_640.0, ..errors(bits) };
    world.score(&caller(1), &long(17.9));
    world.tells(&[]);
    world.score(&caller(1), &long(18.1));
    world.tells(&["i-1 opened", "a-1 alert applied"]);
}

#[test]
fn the_default_plan_tells_and_does_nothing_else() {
    let mut world = World::new(Plan::default());
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 400, &errors(BITS));
    world.tells(&["i-1 opened", "a-1 alert applied", "i-1 escalated"]);
    assert_eq!(world.control.restrictions().count(), 0);
}

#[test]
fn a_signal_that_is_to_last_is_reset_by_one_window_below() {
    let text = "[[reflex]]\nname='r'\ndo='alert'\n\
                on={signal='errors', false_alarms='1 in 30 days', for='3s'}";
    let mut world = World::new(plan(text));
    for bits in [BITS, BITS, BITS, FEW, BITS, BITS, BITS] {
        world.windows(&caller(1), 1, &errors(bits));
    }
    world.tells(&[]);
    world.windows(&caller(1), 1, &errors(BITS));
    world.tells(&["i-1 opened", "a-1 alert applied"]);
}

#[test]
fn a_feature_that_was_not_observed_says_nothing() {
    let mut world = World::new(reflex("do='alert'"));
    let mut score = errors(BITS);
    score.measures[Feature::Errors.index()].observed = false;
    world.score(&caller(1), &score);
    score.measures[Feature::Errors.index()].observed = true;
    score.measures[Feature::Errors.index()].bits = f32::NAN;
    world.score(&caller(1), &score);
    world.tells(&[]);
}

#[test]
fn there_is_one_incident_for_an_edge_and_a_reflex() {
    let mut text = String::new();
    for (name, signal) in [("r", "errors"), ("q", "any")] {
        text += &format!(
            "[[reflex]]\nname='{name}'\ndo='alert'\non={{signal='{signal}', false_alarms='1 in 30 days'}}\n"
        );
    }
    let mut world = World::new(plan(&text));
    world.windows(&caller(1), 9, &errors(BITS));
    world.windows(&caller(2), 1, &errors(BITS));
    let opened = |told: &String| told.ends_with("opened");
    assert_eq!(world.told().into_iter().filter(opened).count(), 4);
    let at: Vec<_> = world.control.incidents().map(|i| (i.edge.clone(), i.signal)).collect();
    let errors = Signal::Feature(Feature::Errors);
    assert_eq!(at[..2], [(caller(1), errors), (caller(1), Signal::Any)]);
    assert_eq!(at[2..], [(caller(2), errors), (caller(2), Signal::Any)]);
}

#[test]
fn silence_is_a_signal() {
    let text =
        "[[reflex]]\nname='r'\ndo='alert'\non={signal='silence', false_alarms='1 in 30 days'}";
    let mut world = World::new(plan(text));
    world.score(&caller(1), &silence(FEW));
    world.tells(&[]);
    world.score(&caller(1), &silence(BITS));
    world.tells(&["i-1 opened", "a-1 alert applied"]);
    assert_eq!(&*world.control.incidents().next().unwrap().text, "it has fallen still: 30.0 bits");
}

#[test]
fn an_incident_is_resolved_when_the_signal_stays_away() {
    let mut world = World::new(reflex("do='alert'"));
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 30, &errors(FEW));
    world.tells(&["i-1 opened", "a-1 alert applied"]);
    world.windows(&caller(1), 1, &errors(FEW));
    world.tells(&["i-1 resolved"]);
    assert!(!world.control.is_open(&caller(1)));
}

#[test]
fn a_signal_that_comes_and_goes_is_one_incident_and_not_many() {
    let mut world = World::new(reflex("do='alert'\nttl='10m'"));
    for _ in 0..20 {
        world.windows(&caller(1), 1, &errors(BITS));
        world.windows(&caller(1), 25, &errors(FEW));
    }
    world.tells(&["i-1 opened", "a-1 alert applied"]);
}

#[test]
fn an_incident_that_goes_on_is_escalated_and_told_again_after_a_day_or_where_it_is_half_as_large_again()
 {
    let mut world = World::new(reflex("do='alert'\nttl='1m'"));
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 60, &errors(BITS));
    world.tells(&["i-1 opened", "a-1 alert applied", "i-1 escalated"]);
    assert!(!world.control.is_open(&caller(1)), "learning goes on");
    world.windows(&caller(1), 59, &errors(BITS));
    world.tells(&[]);
    world.windows(&caller(1), 3_600, &errors(1.4 * BITS));
    world.tells(&[]);
    world.windows(&caller(1), 1, &errors(1.6 * BITS));
    world.tells(&["i-2 opened", "a-2 alert applied"]);
    // Over after a minute: told again in the next half hour, the next hour, and so on only if larger.
    world.windows(&caller(1), 3_600, &errors(FEW));
    world.told();
    world.windows(&caller(1), 1, &errors(BITS));
    world.tells(&[]);
    world.wait(86_400_000);
    world.windows(&caller(1), 1, &errors(BITS));
    world.tells(&["i-3 opened", "a-3 alert applied"]);
}

#[test]
fn what_comes_and_goes_for_hours_is_told_ever_more_seldom() {
    let mut world = World::new(reflex("do='alert'\nttl='1m'"));
    let mut told = Vec::new();
    for minute in 0..600 {
        world.windows(&caller(1), 1, &errors(BITS));
        world.windows(&caller(1), 59, &errors(FEW));
        if world.told().iter().any(|told| told.ends_with("opened")) {
            told.push(minute);
        }
    }
    assert_eq!(told.len(), 5, "{told:?}");
}

#[test]
fn a_reflex_that_acts_does_so_whatever_was_told() {
    let mut world = World::new(reflex("do='quarantine'\nttl='1m'"));
    for _ in 0..3 {
        world.windows(&caller(1), 1, &errors(BITS));
        assert!(world.restricted(&caller(1)));
        world.windows(&caller(1), 300, &errors(FEW));
        assert!(!world.control.is_open(&caller(1)));
    }
}

#[test]
fn an_incident_of_an_edge_that_is_not_scored_any_more_ends_with_its_ttl() {
    let mut world = World::new(reflex("do='alert'\nttl='2m'"));
    world.score(&caller(1), &errors(BITS));
    world.wait(119_000);
    assert!(world.control.is_open(&caller(1)));
    world.wait(1_000);
    world.tells(&["i-1 opened", "a-1 alert applied", "i-1 resolved"]);
}

#[test]
fn open_incidents_are_bounded_and_the_rest_is_counted_and_told_once() {
    let mut world = World::new(reflex("do='alert'"));
    for n in 0..MAX_OPEN + 5 {
        world.score(&caller(n), &errors(BITS));
    }
    assert_eq!((world.control.incidents().count(), world.control.missed()), (MAX_OPEN, 5));
    let told = world.told();
    let full: Vec<_> = told.iter().filter(|told| told.starts_with("full")).collect();
    assert_eq!(full, ["full: 1"]);
    world.wait(400_000);
    let incidents = world.control.incidents().count();
    assert_eq!(incidents, MAX_CLOSED);
    assert!(world.control.incidents().all(|i| i.state == IncidentState::Resolved));
}

#[test]
fn addresses_do_not_take_the_places_of_callers() {
    let mut world = World::new(reflex("do='alert'"));
    for n in 0..2_000_u32 {
        let address = EdgeKey::Address(std::net::Ipv4Addr::from(n).into());
        world.score(&address, &errors(BITS));
    }
    assert_eq!(world.control.incidents().count(), MAX_OPEN / 2);
    world.score(&caller(1), &errors(BITS));
    assert!(world.control.is_open(&caller(1)));
}

#[test]
fn a_score_of_bits_alone_is_a_score() {
    let mut world = World::new(Plan::default());
    let measures = [crate::baseline::Measure::default(); crate::baseline::FEATURES];
    world.score(&caller(1), &Score { measures, top: None, ..errors(BITS) });
    world.tells(&["i-1 opened", "a-1 alert applied"]);
}

#[test]
fn events_that_nobody_polls_are_bounded_and_counted() {
    let mut world = World::new(reflex("do='alert'\nttl='1s'"));
    for n in 0..3_000 {
        world.windows(&caller(n), 1, &errors(BITS));
        world.wait(2_000);
    }
    let events: Vec<_> = std::iter::from_fn(|| world.control.poll_event()).collect();
    assert!(matches!(events.last(), Some(Event::Gap { lost }) if *lost > 1_000));
}
