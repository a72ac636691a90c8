//! Trust, as the loop moves it.

use super::super::HALF_EARNED;
use super::world::*;
use crate::reflex::Signal;

fn near(trust: f32, want: f32) {
    assert!((trust - want).abs() < 0.01, "{trust} is not {want}");
}

#[test]
fn trust_starts_where_the_plan_says_and_is_earned_by_deliveries() {
    let mut world = World::new(plan("[trust]\nstart=0.2"));
    near(world.control.trust(&caller(1)), 0.2);
    world.control.handle_deliveries(&caller(1), HALF_EARNED, world.now);
    near(world.control.trust(&caller(1)), 0.6);
    near(world.control.trust(&caller(2)), 0.2);
    let all: Vec<_> = world.control.trusted().map(|(edge, _)| edge.clone()).collect();
    assert_eq!(all, [caller(1)]);
}

#[test]
fn what_is_earned_a_little_at_a_time_is_kept() {
    let mut world = World::new(plan(""));
    for _ in 0..1_000 {
        world.control.handle_deliveries(&caller(1), 1, world.now);
        world.wait(61_000);
    }
    assert!(world.control.trust(&caller(1)) > 0.51);
}

#[test]
fn an_opened_incident_takes_trust_by_its_severity() {
    let mut world = World::new(reflex("do='alert'"));
    world.callers(40);
    world.score(&caller(1), &errors(21.4));
    world.score(&caller(2), &errors(41.3));
    near(world.control.trust(&caller(1)), 0.25);
    near(world.control.trust(&caller(2)), 0.0625);
    near(world.control.trust(&caller(3)), 0.5);
}

#[test]
fn a_quarantine_and_a_hard_signal_take_all_of_it() {
    let mut world = World::new(reflex("do='quarantine'"));
    world.score(&caller(1), &errors(BITS));
    assert_eq!(world.control.trust(&caller(1)), 0.0);
    world.control.handle_signal(&caller(2), Signal::Contradiction, "", world.now);
    assert_eq!(world.control.trust(&caller(2)), 0.0);
}

#[test]
fn trust_comes_back_in_days() {
    let mut world = World::new(reflex("do='quarantine'"));
    world.score(&caller(1), &errors(BITS));
    world.wait(86_400_000);
    near(world.control.trust(&caller(1)), 0.25);
    world.wait(86_400_000);
    near(world.control.trust(&caller(1)), 0.375);
}

#[test]
fn a_fault_of_our_own_does_not_make_everybody_untrusted() {
    let mut plan = reflex("do='alert'");
    plan.governor.max_share = 0.1;
    let mut world = World::new(plan);
    world.callers(50);
    for n in 0..50 {
        world.score(&caller(n), &errors(BITS));
    }
    let lowered = world.control.trusted().filter(|(_, trust)| *trust < 0.5).count();
    assert_eq!(lowered, 5);
}
