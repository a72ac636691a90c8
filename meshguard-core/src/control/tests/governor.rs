//! The caps on actions.

use std::time::Duration;

use super::world::*;
use crate::baseline::Feature;
use crate::baseline::{EdgeKey, Score};
use crate::reflex::{Mode, Plan, Signal};

/// `errors` leads to quarantine, and these caps.
fn capped(caps: &str) -> Plan {
    let reflex = "[[reflex]]\nname='r'\non={signal='errors', false_alarms='1 in 30 days'}\n\
                  do='quarantine'\nttl='1m'\n";
    let free = "max_share=1\nmin_healthy=0\nmin_peers=0\nmin_calls=0\nmax_actions='10000/s'\n";
    let key = |line: &str| line.split('=').next().map(str::to_owned);
    let keeps = |line: &&str| !caps.lines().any(|cap| key(cap) == key(line));
    let rest: Vec<&str> = free.lines().filter(keeps).collect();
    plan(&format!("{reflex}[governor]\n{}\n{caps}", rest.join("\n")))
}

#[track_caller]
fn refused(world: &mut World, edge: &EdgeKey, why: &str) {
    world.told();
    world.score(edge, &errors(BITS));
    let told = world.told();
    assert!(told.last().unwrap().ends_with(&format!("refused: {why}")), "{told:?}");
    assert!(!world.restricted(edge));
}

#[test]
fn the_share_is_counted_after_the_action() {
    for (callers, restricted) in [(9, 0), (10, 1), (19, 1), (20, 2), (30, 3)] {
        let mut world = World::new(capped("max_share=0.1"));
        world.callers(callers);
        for n in 0..callers {
            world.score(&caller(n), &errors(BITS));
        }
        assert_eq!(world.control.restrictions().count(), restricted, "{callers}");
    }
}

#[test]
fn a_second_action_on_a_restricted_edge_restricts_nobody_else() {
    let mut plan = capped("max_share=0.1");
    let mut other = plan.reflexes[0].clone();
    other.name = "q".into();
    plan.reflexes.push(other);
    let mut world = World::new(plan);
    world.callers(10);
    world.score(&caller(0), &errors(BITS));
    let told = world.told();
    assert!(told.contains(&"a-2 quarantine applied".to_owned()), "{told:?}");
    refused(&mut world, &caller(1), "max_share");
}

#[test]
fn with_few_peers_nobody_is_restricted() {
    let mut world = World::new(capped("min_peers=5"));
    world.callers(4);
    refused(&mut world, &caller(0), "min_peers");
    world.callers(5);
    world.score(&caller(1), &errors(BITS));
    assert!(world.restricted(&caller(1)));
}

#[test]
fn an_edge_that_has_shown_little_is_not_restricted() {
    let mut world = World::new(capped("min_calls=100"));
    let seen = |seen| Score { seen, ..errors(BITS) };
    world.score(&caller(1), &seen(99));
    assert_eq!(world.told().last().unwrap(), "a-1 quarantine refused: min_calls");
    world.score(&caller(2), &seen(100));
    assert!(world.restricted(&caller(2)));
}

#[test]
fn so_many_actions_are_taken_in_a_time_and_alerts_are_free() {
    let mut plan = capped("max_actions='2/min'");
    plan.reflexes[0].steps[0].actions.insert(0, crate::reflex::ActionKind::Alert);
    let mut world = World::new(plan);
    for n in 0..5 {
        world.score(&caller(n), &errors(BITS));
    }
    let told = world.told();
    assert_eq!(told.iter().filter(|t| t.ends_with("alert applied")).count(), 5);
    assert_eq!(told.iter().filter(|t| t.ends_with("refused: max_actions")).count(), 3);
    assert_eq!(world.control.restrictions().count(), 2);
    world.wait(59_999);
    refused(&mut world, &caller(7), "max_actions");
    world.wait(1);
    world.score(&caller(8), &errors(BITS));
    assert!(world.restricted(&caller(8)));
}

#[test]
fn the_last_instances_of_a_callee_are_left() {
    let mut world = World::new(capped("min_healthy=0.5"));
    for n in 0..4 {
        world.score(&callee("x", &n.to_string()), &errors(0.0));
    }
    world.score(&callee("y", "0"), &errors(0.0));
    for n in 0..4 {
        world.score(&callee("x", &n.to_string()), &errors(BITS));
    }
    assert_eq!(world.control.restrictions().count(), 2);
    assert!(world.told().contains(&"a-3 quarantine refused: min_healthy".to_owned()));
    let mut world = World::new(capped("min_healthy=0"));
    world.score(&callee("x", "0"), &errors(0.0));
    refused(&mut world, &callee("x", "0"), "last instance");
}

#[test]
fn a_hop_is_never_restricted() {
    let mut world = World::new(capped(""));
    refused(&mut world, &hop(), "hop");
    let other = EdgeKey::HopOut(crate::SpiffeId::from_static("spiffe://a/hop"));
    refused(&mut world, &other, "hop");
}

#[test]
fn an_address_counts_as_the_callers_behind_it() {
    let behind = |peers, bits| Score { peers, ..errors(bits) };
    let mut world = World::new(capped("max_share=0.1\nmin_peers=5"));
    world.score(&address(1), &behind(0, BITS));
    assert!(world.restricted(&address(1)), "it costs nobody");
    world.callers(20);
    world.score(&address(2), &behind(2, BITS));
    assert!(world.restricted(&address(2)));
    world.score(&address(3), &behind(1, 0.0));
    refused(&mut world, &address(3), "max_share");
}

#[test]
fn callers_that_turn_out_to_be_behind_a_restricted_address_lift_it() {
    let mut world = World::new(capped("max_share=0.1"));
    world.callers(20);
    world.score(&address(1), &errors(BITS));
    assert!(world.restricted(&address(1)));
    world.score(&address(1), &Score { peers: 3, ..nothing() });
    assert!(!world.restricted(&address(1)));
}

#[test]
fn of_an_address_and_of_a_callee_only_the_rate_is_asked() {
    let mut plan = capped("");
    plan.reflexes[0].steps =
        reflex("do={tighten={rate='10/s', evidence='verified'}}").reflexes[0].steps.clone();
    let mut world = World::new(plan.clone());
    world.score(&callee("x", "2"), &errors(0.0));
    for edge in [address(1), callee("x", "1")] {
        world.score(&edge, &errors(BITS));
        let asked = world.control.restriction(&edge).unwrap().tighten;
        assert!(asked.rate.is_some() && asked.evidence.is_none());
    }
    world.score(&caller(1), &errors(BITS));
    assert!(world.control.restriction(&caller(1)).unwrap().tighten.evidence.is_some());
    plan.reflexes[0].steps = reflex("do={tighten={direct=true}}").reflexes[0].steps.clone();
    let mut world = World::new(plan);
    refused(&mut world, &address(1), "not applicable");
}

#[test]
fn what_was_refused_is_done_once_it_is_permitted_and_still_called_for() {
    let mut world = World::new(capped("min_calls=100"));
    let score = |seen| Score { seen, ..errors(BITS) };
    world.score(&caller(0), &score(60));
    assert!(!world.restricted(&caller(0)));
    let told = world.told();
    world.windows(&caller(0), 1, &score(90));
    assert!(world.told().is_empty(), "told once: {told:?}");
    world.windows(&caller(0), 1, &Score { seen: 120, ..errors(FEW) });
    assert!(!world.restricted(&caller(0)), "it is quiet now");
    world.windows(&caller(0), 1, &score(150));
    assert!(world.restricted(&caller(0)));
    // What an operator has lifted is not done again by itself.
    world.control.release(&caller(0), world.now);
    world.windows(&caller(0), 2, &score(200));
    assert!(!world.restricted(&caller(0)));
}

#[test]
fn an_address_with_a_hop_behind_it_concerns_everybody() {
    let mut world = World::new(capped("max_share=0.5"));
    world.callers(10);
    let score = Score { peers: u32::MAX, ..errors(BITS) };
    world.score(&address(1), &score);
    assert!(!world.restricted(&address(1)));
    world.score(&address(2), &Score { peers: 1, ..score });
    assert!(world.restricted(&address(2)));
}

#[test]
fn a_refused_step_is_told_once_and_the_next_is_tried() {
    let mut plan = capped("max_share=0.5");
    plan.reflexes[0].steps =
        reflex("do='quarantine'\nthen={after='5s', do='quarantine'}").reflexes[0].steps.clone();
    let mut world = World::new(plan);
    world.callers(1);
    world.score(&caller(0), &errors(BITS));
    world.windows(&caller(0), 4, &errors(BITS));
    world.tells(&["i-1 opened", "a-1 quarantine refused: max_share"]);
    world.score(&caller(1), &errors(0.0));
    world.windows(&caller(0), 1, &errors(BITS));
    world.tells(&["a-2 quarantine applied", "i-1 acting"]);
}

#[test]
fn a_hard_signal_needs_no_history_but_keeps_to_the_share() {
    let mut plan = capped("max_share=0.1\nmin_calls=100");
    plan.reflexes[0].on = crate::reflex::Trigger::new(Signal::Revoked, None);
    let mut world = World::new(plan);
    world.callers(10);
    for n in 20..23 {
        world.control.handle_signal(&caller(n), Signal::Revoked, "", world.now);
    }
    assert_eq!(world.control.restrictions().count(), 1);
}

/// Errors lead to quarantine, a forgery too; and these caps.
fn with_forgeries(caps: &str) -> Plan {
    let mut plan = capped(caps);
    let mut forged = plan.reflexes[0].clone();
    forged.name = "forged".into();
    forged.on = crate::reflex::Trigger::new(Signal::Forged, None);
    plan.reflexes.push(forged);
    plan
}

#[test]
fn a_hard_signal_takes_the_place_of_a_restriction_that_is_a_matter_of_chance() {
    let mut world = World::new(with_forgeries("max_share=0.1"));
    world.callers(20);
    world.score(&caller(0), &errors(BITS));
    world.score(&caller(1), &errors(BITS));
    world.told();
    world.control.handle_signal(&caller(2), Signal::Forged, "", world.now);
    world.tells(&[
        "i-3 opened",
        "a-2 quarantine lifted: one that comes before it needed its place",
        "i-2 open",
        "a-3 quarantine applied",
        "i-3 acting",
    ]);
    // Among hard ones the cap holds as ever, and what was lifted does not take the place back.
    world.control.handle_signal(&caller(3), Signal::Forged, "", world.now);
    world.control.handle_signal(&caller(4), Signal::Forged, "", world.now);
    world.windows(&caller(1), 3, &errors(BITS));
    let restricted: Vec<_> = (0..5).filter(|n| world.restricted(&caller(*n))).collect();
    assert_eq!(restricted, [2, 3]);
}

#[test]
fn where_twice_as_many_calls_depart_a_restriction_of_fewer_makes_room() {
    let mut world = World::new(capped("max_share=0.1"));
    world.callers(10);
    let failing = |rate: f32| {
        let mut score = errors(BITS);
        score.measures[Feature::Rate.index()].value = rate;
        score
    };
    world.score(&caller(0), &failing(10.0));
    assert!(world.restricted(&caller(0)));
    world.score(&caller(1), &failing(19.0));
    assert!(!world.restricted(&caller(1)), "not twice as many");
    world.told();
    world.score(&caller(2), &failing(21.0));
    let told = world.told();
    assert!(told[1].ends_with("lifted: one that comes before it needed its place"), "{told:?}");
    assert!(world.restricted(&caller(2)) && !world.restricted(&caller(0)));
    // It does not take the place back.
    world.windows(&caller(0), 10, &failing(30.0));
    assert!(world.restricted(&caller(2)) && !world.restricted(&caller(0)));
}

#[test]
fn a_hard_signal_of_one_callee_displaces_nothing_of_another() {
    let mut world = World::new(with_forgeries("min_healthy=0.5"));
    for id in ["x", "y"] {
        for n in 0..2 {
            world.score(&callee(id, &n.to_string()), &errors(0.0));
        }
    }
    world.score(&callee("x", "0"), &errors(BITS));
    world.score(&callee("y", "0"), &errors(BITS));
    world.control.handle_signal(&callee("x", "1"), Signal::Forged, "", world.now);
    let restricted = |id, n| world.restricted(&callee(id, n));
    assert!(restricted("x", "1") && !restricted("x", "0") && restricted("y", "0"));
}

#[test]
fn neither_addresses_nor_other_restrictions_use_up_the_actions_of_a_hard_signal() {
    let mut world = World::new(with_forgeries("max_actions='2/min'"));
    let storm = |n| {
        let mut score = errors(BITS);
        score.seen = 10_000 + n as u64;
        score
    };
    for n in 0..20 {
        world.score(&address(n), &storm(n));
    }
    let count = |world: &World| world.control.restrictions().count();
    assert_eq!(count(&world), 2, "addresses have their own");
    for n in 0..5 {
        world.score(&caller(n), &errors(BITS));
    }
    assert_eq!(count(&world), 4, "callers theirs");
    for n in 5..9 {
        world.control.handle_signal(&caller(n), Signal::Forged, "", world.now);
    }
    assert_eq!(count(&world), 6, "and hard signals");
    assert!(world.restricted(&caller(5)) && world.restricted(&caller(6)));
}

#[test]
fn a_step_refused_for_the_rate_is_taken_as_soon_as_there_is_room() {
    let mut world = World::new(with_forgeries("max_actions='2/min'"));
    for n in 0..5 {
        world.control.handle_signal(&caller(n), Signal::Forged, "", world.now);
    }
    // Nobody states it again, and the reflex would end after a minute.
    let restricted = |world: &World| (0..5).filter(|n| world.restricted(&caller(*n))).collect();
    let now: Vec<usize> = restricted(&world);
    assert_eq!(now, [0, 1]);
    world.wait(59_999);
    assert_eq!(restricted(&world), [0, 1]);
    world.wait(1);
    assert_eq!(restricted(&world), [2, 3], "the first ones expire then");
    world.wait(60_000);
    assert_eq!(restricted(&world), [4]);
    let told = world.told();
    assert_eq!(told.iter().filter(|t| t.ends_with("refused: max_actions")).count(), 3, "{told:?}");
}

#[test]
fn for_the_rate_no_further_window_is_waited_for_but_what_is_over_is_not_restricted() {
    let refused_for = |rate: &str| {
        let mut world = World::new(capped(&format!("max_actions='{rate}'")));
        (0..3).for_each(|n| world.score(&caller(n), &errors(BITS)));
        world
    };
    let mut world = refused_for("1/s");
    world.wait(999);
    assert!(!world.restricted(&caller(1)));
    world.wait(1);
    assert!(world.restricted(&caller(1)) && !world.restricted(&caller(2)));
    // What is quiet by then gives its turn to the next.
    let mut world = refused_for("1/s");
    world.wait(500);
    world.score(&caller(1), &errors(FEW));
    world.wait(500);
    assert!(!world.restricted(&caller(1)) && world.restricted(&caller(2)));
    // And of what was not read for long nobody knows.
    let mut world = refused_for("1/min");
    world.wait(120_000);
    assert!(!world.restricted(&caller(1)));
}

#[test]
fn an_address_makes_room_for_a_caller_and_no_caller_for_an_address() {
    let behind = |peers, bits| Score { peers, ..errors(bits) };
    let mut world = World::new(capped("max_share=0.1"));
    world.callers(10);
    world.score(&address(1), &behind(1, BITS));
    assert!(world.restricted(&address(1)));
    world.score(&caller(1), &errors(BITS));
    assert!(world.restricted(&caller(1)) && !world.restricted(&address(1)));
    world.windows(&address(1), 2, &behind(1, BITS));
    assert!(world.restricted(&caller(1)) && !world.restricted(&address(1)));
    // Not even where a hard signal is stated of the address.
    let mut forged = World::new(with_forgeries("max_share=0.1"));
    forged.callers(10);
    forged.score(&address(1), &behind(1, 0.0));
    forged.control.handle_signal(&address(1), Signal::Forged, "", forged.now);
    assert!(forged.restricted(&address(1)));
    forged.score(&caller(1), &errors(BITS));
    forged.control.handle_signal(&address(1), Signal::Forged, "", forged.now);
    assert!(forged.restricted(&caller(1)) && !forged.restricted(&address(1)));
    // What concerns nobody takes nobody's place, and is not lifted.
    world.score(&address(2), &behind(0, BITS));
    world.score(&caller(2), &errors(BITS));
    assert!(world.restricted(&address(2)) && !world.restricted(&caller(2)));
}

#[test]
fn when_peers_leave_what_breaks_a_cap_is_lifted_the_newest_first() {
    let mut world = World::new(capped("max_share=0.1"));
    world.callers(20);
    world.score(&caller(0), &errors(BITS));
    world.wait(1_000);
    world.score(&caller(1), &errors(BITS));
    world.control.forget(&caller(19));
    assert!(world.restricted(&caller(0)) && !world.restricted(&caller(1)));
    let told = world.told().join("; ");
    assert!(told.contains("a-2 quarantine lifted: 2 of 19 known callers"), "{told}");
}

#[test]
fn when_the_other_instances_are_gone_a_callee_is_called_again() {
    let mut world = World::new(capped(""));
    world.score(&callee("x", "1"), &errors(0.0));
    world.score(&callee("x", "2"), &errors(BITS));
    assert!(world.restricted(&callee("x", "2")));
    world.control.forget(&callee("x", "1"));
    assert!(!world.restricted(&callee("x", "2")));
}

#[test]
fn a_plan_with_lower_caps_lifts_what_breaks_them() {
    let mut world = World::new(capped(""));
    world.callers(10);
    for n in 0..5 {
        world.score(&caller(n), &errors(BITS));
    }
    world.control.set_plan(capped("max_share=0.2"), world.now);
    assert_eq!(world.control.restrictions().count(), 2);
}

#[test]
fn a_plan_with_a_longer_time_counts_what_was_taken_before_it() {
    let mut world = World::new(capped("max_actions='1/s'"));
    for n in 0..5 {
        world.score(&caller(n), &errors(BITS));
        world.wait(1_000);
    }
    world.control.set_plan(capped("max_actions='5/min'"), world.now);
    refused(&mut world, &caller(7), "max_actions");
}

#[test]
fn a_peer_is_known_for_an_hour_after_its_last_window() {
    let mut plan = capped("max_share=0.1");
    plan.reflexes[0].ttl = Duration::from_secs(7_200);
    let mut world = World::new(plan);
    world.callers(10);
    world.wait(3_000_000);
    world.score(&caller(0), &errors(BITS));
    assert!(world.restricted(&caller(0)));
    world.wait(660_000);
    assert!(!world.restricted(&caller(0)), "nobody else is known any more");
}

#[test]
fn shadow_and_enforcement_are_counted_alike() {
    for mode in [Mode::Enforce, Mode::Shadow] {
        let mut plan = capped("max_share=0.1");
        plan.governor.mode = mode;
        let mut world = World::new(plan);
        world.callers(30);
        for n in 0..30 {
            world.score(&caller(n), &errors(BITS));
        }
        let refused = world.told().iter().filter(|t| t.ends_with("refused: max_share")).count();
        assert_eq!(refused, 27);
    }
}
