//! Operators, and a plan that changes.

use super::super::{IncidentId, IncidentState};
use super::world::*;
use crate::identity::SpiffeId;

const QUARANTINE: &str = "do='quarantine'\nttl='1m'";

fn quarantined() -> World {
    let mut world = World::new(reflex(QUARANTINE));
    world.score(&caller(1), &errors(BITS));
    assert!(world.restricted(&caller(1)));
    world.told();
    world
}

#[test]
fn a_false_alarm_is_lifted_and_costs_nothing_and_does_not_come_again_at_once() {
    let mut world = quarantined();
    assert_eq!(world.control.trust(&caller(1)), 0.0);
    assert!(world.control.false_alarm(IncidentId(1), world.now));
    world.tells(&["a-1 quarantine lifted: an operator called it a false alarm", "i-1 false alarm"]);
    assert!(!world.restricted(&caller(1)) && !world.control.is_open(&caller(1)));
    assert_eq!(world.control.trust(&caller(1)), 0.5);
    world.windows(&caller(1), 59, &errors(BITS));
    world.tells(&[]);
    world.windows(&caller(1), 1, &errors(BITS));
    assert!(world.restricted(&caller(1)));
}

#[test]
fn an_incident_that_is_over_can_still_be_called_a_false_alarm() {
    let mut world = quarantined();
    world.wait(120_000);
    let state = |world: &World| world.control.incident(IncidentId(1)).unwrap().state;
    assert_eq!(state(&world), IncidentState::Resolved);
    assert!(world.control.trust(&caller(1)) < 0.01);
    assert!(world.control.false_alarm(IncidentId(1), world.now));
    assert_eq!(state(&world), IncidentState::FalseAlarm);
    assert!(world.control.trust(&caller(1)) > 0.499);
    world.told();
    assert!(world.control.false_alarm(IncidentId(1), world.now), "again");
    world.tells(&[]);
    assert!(!world.control.false_alarm(IncidentId(2), world.now), "never was");
}

#[test]
fn an_incident_is_confirmed_open_or_over() {
    let mut world = quarantined();
    assert!(world.control.confirm(IncidentId(1), world.now));
    assert!(world.control.incident(IncidentId(1)).unwrap().confirmed);
    assert!(world.restricted(&caller(1)));
    assert!(!world.control.confirm(IncidentId(9), world.now));
}

#[test]
fn a_released_edge_is_free_and_stays_so_for_a_while() {
    let mut world = quarantined();
    assert_eq!(world.control.release(&caller(2), world.now), 0);
    assert_eq!(world.control.release(&caller(1), world.now), 1);
    world.tells(&["a-1 quarantine lifted: an operator released it", "i-1 resolved"]);
    world.windows(&caller(1), 59, &errors(BITS));
    assert!(!world.restricted(&caller(1)));
}

#[test]
fn a_peer_is_released_on_all_its_edges() {
    let mut world = World::new(reflex(QUARANTINE));
    let edges = [callee("x", "1"), callee("x", "2"), callee("y", "1")];
    for edge in &edges {
        world.score(edge, &errors(FEW));
    }
    world.score(&callee("x", "3"), &errors(FEW));
    world.score(&callee("y", "3"), &errors(FEW));
    for edge in &edges {
        world.score(edge, &errors(BITS));
    }
    let x = SpiffeId::from_static("spiffe://a/x");
    assert_eq!(world.control.release_peer(&x, world.now), 2);
    let left: Vec<_> = world.control.restrictions().map(|(edge, _)| edge.clone()).collect();
    assert_eq!(left, [callee("y", "1")]);
}

#[test]
fn the_kill_switch_lifts_everything_and_nothing_new_takes_effect() {
    let mut world = quarantined();
    world.control.freeze(world.now);
    assert!(world.control.is_frozen() && !world.restricted(&caller(1)));
    assert_eq!(world.control.trust(&caller(1)), 0.5);
    world.tells(&["a-1 quarantine lifted: the loop is frozen", "i-1 open"]);
    world.score(&caller(2), &errors(BITS));
    world.tells(&["i-2 opened", "a-2 quarantine refused: frozen"]);
    world.windows(&caller(1), 30, &errors(BITS));
    assert_eq!(world.control.restrictions().count(), 0);
    world.control.thaw(world.now);
    assert!(!world.control.is_frozen());
    assert_eq!(world.control.restrictions().count(), 0);
    world.score(&caller(3), &errors(BITS));
    assert!(world.restricted(&caller(3)));
}

#[test]
fn shadow_mode_is_everything_but_the_effect() {
    let mut plan = reflex(QUARANTINE);
    plan.governor.mode = crate::reflex::Mode::Shadow;
    let mut world = World::new(plan.clone());
    world.score(&caller(1), &errors(BITS));
    world.tells(&["i-1 opened", "a-1 quarantine shadowed", "i-1 acting"]);
    assert_eq!((world.control.restrictions().count(), world.control.revision()), (0, 0));
    assert_eq!(world.control.trust(&caller(1)), 0.5);
    plan.governor.max_share = 0.5;
    let mut world = World::new(plan);
    world.callers(2);
    world.score(&caller(0), &errors(BITS));
    world.score(&caller(1), &errors(BITS));
    assert_eq!(world.told().last().map(String::as_str), Some("a-2 quarantine refused: max_share"));
}

#[test]
fn a_plan_that_keeps_a_reflex_keeps_its_incidents_and_one_that_does_not_lifts_them() {
    let mut world = quarantined();
    let mut plan = reflex(QUARANTINE);
    plan.trust_start = 0.9;
    world.control.set_plan(plan.clone(), world.now);
    assert!(world.restricted(&caller(1)));
    assert!((world.control.trust(&caller(2)) - 0.9).abs() < 1e-6);
    plan.reflexes[0].ttl *= 2;
    world.control.set_plan(plan, world.now);
    world.tells(&["a-1 quarantine lifted: the policy's plan has changed", "i-1 reverted"]);
    assert!(!world.restricted(&caller(1)));
}

#[test]
fn a_plan_in_shadow_lifts_what_is_in_force() {
    let mut world = quarantined();
    let mut plan = reflex(QUARANTINE);
    plan.governor.mode = crate::reflex::Mode::Shadow;
    world.control.set_plan(plan, world.now);
    assert!(!world.restricted(&caller(1)));
    world.tells(&["a-1 quarantine lifted: the policy's plan has changed", "i-1 open"]);
}

#[test]
fn time_does_not_go_back() {
    let mut world = quarantined();
    world.control.handle_timeout(T0 - std::time::Duration::from_secs(1_000));
    world.control.handle_score(&caller(1), &nothing(), crate::Timestamp::EPOCH);
    assert!(world.restricted(&caller(1)));
    world.wait(60_000);
    assert!(!world.restricted(&caller(1)));
}
