//! Steps: taken where the one before did not help, measured, held, undone.

use super::super::{ActionState, Effect, Event, IncidentState};
use super::world::*;
use crate::baseline::{Feature, Score};
use crate::reflex::Signal;

const QUARANTINE: &str = "do='quarantine'\nttl='1m'";
const LADDER: &str = "do={tighten={rate='10/s'}}\nthen={after='10s', do='quarantine'}\nttl='5m'";

#[test]
fn the_next_step_is_taken_when_the_one_before_did_not_help() {
    let mut world = World::new(reflex("do='alert'\nthen={after='10s', do='quarantine'}"));
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 9, &errors(BITS));
    world.tells(&["i-1 opened", "a-1 alert applied"]);
    world.windows(&caller(1), 1, &errors(BITS));
    world.tells(&["a-2 quarantine applied", "i-1 acting"]);
    assert!(world.control.restriction(&caller(1)).unwrap().quarantine);
}

#[test]
fn the_next_step_is_not_taken_where_the_signal_is_gone() {
    let mut world = World::new(reflex("do='alert'\nthen={after='10s', do='quarantine'}"));
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 60, &errors(FEW));
    world.tells(&["i-1 opened", "a-1 alert applied", "i-1 resolved"]);
}

#[test]
fn the_next_step_waits_while_the_metric_is_falling() {
    let steps = "do='alert'\nthen={after='10s', unless='falling', do='quarantine'}";
    for (falling, restricted) in [(24.0, false), (BITS, true)] {
        let mut world = World::new(reflex(steps));
        world.score(&caller(1), &errors(BITS));
        world.windows(&caller(1), 10, &errors(falling));
        assert_eq!(world.restricted(&caller(1)), restricted, "{falling}");
    }
}

#[test]
fn a_step_is_not_taken_on_no_reading_at_all() {
    let mut world = World::new(reflex("do='alert'\nthen={after='10s', do='quarantine'}"));
    world.score(&caller(1), &errors(BITS));
    world.wait(200_000);
    assert!(!world.restricted(&caller(1)));
}

#[test]
fn what_works_is_held_to_its_expiry_and_then_the_edge_is_on_probation() {
    let mut world = World::new(reflex(LADDER));
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 9, &errors(FEW));
    world.tells(&["i-1 opened", "a-1 tighten applied", "i-1 acting"]);
    world.windows(&caller(1), 1, &errors(FEW));
    world.tells(&["a-1 tighten effective", "i-1 measuring"]);
    world.windows(&caller(1), 289, &errors(FEW));
    assert!(world.restricted(&caller(1)));
    world.windows(&caller(1), 1, &errors(FEW));
    world.tells(&["a-1 tighten expired"]);
    assert!(!world.restricted(&caller(1)) && world.control.is_open(&caller(1)));
    world.windows(&caller(1), 299, &errors(FEW));
    world.tells(&[]);
    world.windows(&caller(1), 1, &errors(FEW));
    world.tells(&["i-1 resolved"]);
}

#[test]
fn what_does_not_help_is_undone_and_the_next_step_taken() {
    let mut world = World::new(reflex(LADDER));
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 10, &errors(BITS));
    world.tells(&[
        "i-1 opened",
        "a-1 tighten applied",
        "i-1 acting",
        "a-1 tighten no effect",
        "a-1 tighten undone",
        "a-2 quarantine applied",
    ]);
    let restriction = world.control.restriction(&caller(1)).unwrap();
    assert!(restriction.quarantine && restriction.tighten.rate.is_none());
}

#[test]
fn past_the_last_step_all_is_undone_and_the_reflex_rests() {
    let mut world = World::new(reflex("do={tighten={rate='10/s'}}\nttl='1m'"));
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 2, &errors(60.0));
    world.tells(&[
        "i-1 opened",
        "a-1 tighten applied",
        "i-1 acting",
        "a-1 tighten worse",
        "a-1 tighten undone",
        "i-1 reverted",
    ]);
    assert!(!world.restricted(&caller(1)));
    world.windows(&caller(1), 59, &errors(BITS));
    world.tells(&[]);
    world.windows(&caller(1), 1, &errors(BITS));
    assert_eq!(world.told()[0], "i-2 opened");
}

#[test]
fn one_window_is_not_enough_to_measure_an_effect() {
    let mut world = World::new(reflex("do={tighten={rate='10/s'}}"));
    world.score(&caller(1), &errors(BITS));
    world.told();
    world.windows(&caller(1), 1, &errors(BITS));
    world.tells(&[]);
}

#[test]
fn a_quarantined_edge_shows_nothing_more_and_that_is_its_effect() {
    for score in [Some(nothing()), Some(silence(60.0)), None] {
        let text = "[[reflex]]\nname='any'\ndo='alert'\non={signal='any', false_alarms='1 in 30 days'}\n\
                    [[reflex]]\nname='still'\ndo='alert'\non={signal='silence', false_alarms='1 in 30 days'}\n";
        let mut plan = plan(&format!("{text}{FREE}"));
        plan.reflexes.insert(0, reflex(QUARANTINE).reflexes[0].clone());
        plan.reflexes[1].on.signal = Signal::Feature(Feature::Rate);
        let mut world = World::new(plan);
        world.score(&caller(1), &errors(BITS));
        for _ in 0..59 {
            world.wait(1_000);
            score.iter().for_each(|score| world.score(&caller(1), score));
        }
        world.tells(&[
            "i-1 opened",
            "a-1 quarantine applied",
            "i-1 acting",
            "a-1 quarantine effective",
            "i-1 measuring",
        ]);
        // Nor when it is over: a peer that was cut off comes back slowly, or not at all.
        for _ in 0..30 {
            world.wait(1_000);
            score.iter().for_each(|score| world.score(&caller(1), score));
        }
        world.tells(&["a-1 quarantine expired"]);
    }
}

#[test]
fn a_tightened_edge_of_which_nothing_is_read_any_more_is_relieved() {
    let mut world = World::new(reflex("do={tighten={evidence='verified'}}"));
    world.score(&caller(1), &errors(BITS));
    world.told();
    world.windows(&caller(1), 9, &nothing());
    world.tells(&[]);
    world.windows(&caller(1), 1, &nothing());
    world.tells(&["a-1 tighten effective", "i-1 measuring"]);
}

#[test]
fn a_silence_is_not_relieved_by_more_of_it() {
    let text = "[[reflex]]\nname='r'\ndo={tighten={rate='1/s'}}\n\
                on={signal='silence', false_alarms='1 in 30 days'}\n";
    let mut world = World::new(plan(&format!("{text}{FREE}")));
    world.score(&caller(1), &silence(BITS));
    world.told();
    world.wait(10_000);
    world.tells(&["a-1 tighten no effect", "a-1 tighten undone", "i-1 reverted"]);
}

#[test]
fn a_rate_that_our_own_limit_pushed_below_normal_is_no_departure() {
    let text = "[[reflex]]\nname='r'\ndo={tighten={rate='10/s'}}\n\
                on={signal='any', false_alarms='1 in 30 days'}\n";
    let mut world = World::new(plan(&format!("{text}{FREE}")));
    let rate = |spreads: f32| {
        let mut score = errors(0.0);
        let measure = &mut score.measures[Feature::Rate.index()];
        (measure.bits, measure.spreads) = (40.0, spreads);
        measure.harm = if spreads > 0.0 { 40.0 } else { 0.0 };
        let (harm, top) = (measure.harm, Some(Feature::Rate));
        Score { bits: 40.0, harm, top, worst: top, ..score }
    };
    world.score(&caller(1), &rate(20.0));
    world.windows(&caller(1), 2, &rate(-20.0));
    world.tells(&[
        "i-1 opened",
        "a-1 tighten applied",
        "i-1 acting",
        "a-1 tighten effective",
        "i-1 measuring",
    ]);
}

#[test]
fn a_recurrence_on_probation_goes_back_to_the_step_that_worked_for_twice_as_long() {
    let mut world = World::new(reflex("do='alert'\nthen={after='5s', do='quarantine'}\nttl='20m'"));
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 5, &errors(BITS));
    // Else it would be let in after half an hour.
    let id = world.control.incidents().next().unwrap().id;
    assert!(world.control.confirm(id, world.now));
    let mut minutes = Vec::new();
    for _ in 0..4 {
        let left = world.control.restriction(&caller(1)).unwrap().until.since(world.now);
        minutes.push(left.as_secs() / 60);
        world.wait(u64::try_from(left.as_millis()).unwrap());
        assert!(!world.restricted(&caller(1)));
        world.windows(&caller(1), 2, &errors(BITS));
    }
    assert_eq!(minutes, [20, 40, 60, 60]);
    let told = world.told();
    assert_eq!(told.iter().filter(|t| t.ends_with("opened")).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|t| t.contains("alert")).count(), 1, "{told:?}");
}

#[test]
fn a_cut_doubles_on_edges_with_long_windows_too() {
    // Windows of 10 s, as long as an instance is first cut off for.
    let long = |score: Score| Score { windows_per_day: 8_640.0, ..score };
    let mut world = World::new(reflex("do='quarantine'"));
    let (instance, mut cuts) = (callee("orders", "1"), Vec::new());
    let mut was = false;
    world.score(&callee("orders", "2"), &long(errors(0.0)));
    for _ in 0..60 {
        let is = world.restricted(&instance);
        if is && !was {
            let until = world.control.restriction(&instance).unwrap().until;
            cuts.push(until.since(world.now).as_secs());
        }
        was = is;
        world.wait(10_000);
        world.score(&callee("orders", "2"), &long(errors(0.0)));
        world.score(&instance, &long(if is { nothing() } else { errors(BITS) }));
    }
    assert!(cuts.starts_with(&[10, 20, 40, 80]), "{cuts:?}");
}

#[test]
fn the_first_window_of_a_probation_does_not_count() {
    let mut world = World::new(reflex(QUARANTINE));
    world.score(&caller(1), &errors(BITS));
    world.wait(60_000);
    world.told();
    world.windows(&caller(1), 1, &errors(BITS));
    world.windows(&caller(1), 10, &errors(FEW));
    world.tells(&[]);
    assert!(!world.restricted(&caller(1)));
}

#[test]
fn what_worked_and_does_no_more_is_measured_again() {
    let mut world = World::new(reflex(LADDER));
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 20, &errors(FEW));
    world.told();
    world.windows(&caller(1), 2, &errors(BITS));
    world.tells(&[]);
    world.windows(&caller(1), 1, &errors(BITS));
    assert_eq!(
        world.told(),
        ["a-1 tighten no effect", "a-1 tighten undone", "a-2 quarantine applied", "i-1 acting"]
    );
}

#[test]
fn a_step_whose_ttl_ends_before_the_next_is_due_is_measured_at_its_end() {
    let mut world =
        World::new(reflex("do={tighten={rate='1/s'}}\nthen={after='5s', do='alert'}\nttl='5s'"));
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 1, &errors(BITS));
    world.told();
    world.wait(4_000);
    world.tells(&["a-1 tighten no effect", "a-1 tighten undone", "a-2 alert applied", "i-1 open"]);
}

#[test]
fn an_action_says_what_it_is_and_what_came_of_it() {
    let mut world = World::new(reflex(QUARANTINE));
    world.score(&caller(1), &errors(BITS));
    world.windows(&caller(1), 2, &nothing());
    let incident = world.control.incidents().next().unwrap();
    assert_eq!(incident.state, IncidentState::Measuring);
    let [action] = incident.actions.as_slice() else { panic!("{incident:?}") };
    assert_eq!((action.incident, &action.edge), (incident.id, &incident.edge));
    assert_eq!((action.since, action.expires.since(T0).as_secs()), (T0, 60));
    assert_eq!((action.state, action.effect), (ActionState::InForce, Some(Effect::Effective)));
    let measured =
        std::iter::from_fn(|| world.control.poll_event()).find_map(|event| match event {
            Event::Measured { before, after, .. } => Some((before, after)),
            _ => None,
        });
    let (before, after) = measured.unwrap();
    assert!(before.observed && before.bits == BITS && !after.observed);
}

#[test]
fn the_revision_changes_with_the_restrictions_and_with_nothing_else() {
    let mut world = World::new(reflex(QUARANTINE));
    world.callers(5);
    assert_eq!(world.control.revision(), 0);
    world.score(&caller(1), &errors(BITS));
    assert_eq!(world.control.revision(), 1);
    world.windows(&caller(1), 30, &nothing());
    assert_eq!(world.control.revision(), 1);
    world.wait(60_000);
    assert_eq!(world.control.revision(), 2);
}

/// Seconds in which the caller was restricted, of `secs` in which it departs whenever it is let in.
fn restricted_of(world: &mut World, secs: u32, departs: &Score) -> u32 {
    let (still, mut restricted) = (nothing(), 0);
    for _ in 0..secs {
        let cut = world.restricted(&caller(1));
        restricted += u32::from(cut);
        world.windows(&caller(1), 1, if cut { &still } else { departs });
    }
    restricted
}

#[test]
fn a_change_that_lasts_is_let_in_within_40_minutes_and_is_learnt() {
    let mut world = World::new(reflex("do='quarantine'"));
    let restricted = restricted_of(&mut world, 2_400, &errors(BITS));
    assert!((1_800..2_200).contains(&restricted), "{restricted}");
    assert!(!world.restricted(&caller(1)) && !world.control.stops_learning(&caller(1)));
    assert_eq!(world.told().last().map(String::as_str), Some("i-1 escalated"));
    // Time to learn it.
    assert_eq!(restricted_of(&mut world, 1_500, &errors(BITS)), 0);
    world.tells(&[]);
}

#[test]
fn no_change_lasts_that_an_operator_confirmed_or_a_hard_signal_speaks_against_or_fails_mostly() {
    for case in 0..4 {
        let mut world = World::new(reflex("do='quarantine'"));
        let departs = errors(if case == 2 { 60.0 } else { BITS });
        world.score(&caller(1), &departs);
        let id = world.control.incidents().next().unwrap().id;
        let mut last = 0;
        for _ in 0..10 {
            match case {
                0 => assert!(world.control.confirm(id, world.now)),
                1 => world.control.handle_signal(&caller(1), Signal::Revoked, "", world.now),
                _ => {}
            }
            last = restricted_of(&mut world, 300, &departs);
        }
        assert_eq!(last > 250, case < 3, "case {case}: {last} of the last 300 s");
    }
}
