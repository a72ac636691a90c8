//! What most siblings share is one incident, and nobody is restricted for it; who stands out among them
//! is.

use std::time::Duration;

use super::super::Control;
use super::world::*;
use crate::baseline::{Departure, EdgeKey, FEATURES, Feature, Measure, Score};

/// A window in which a feature was `value`, usually `normal`, so many spreads away.
fn window(feature: Feature, value: f32, normal: f32, spreads: f32) -> Score {
    let mut measures = [Measure::default(); FEATURES];
    let usual = Measure { observed: true, ..Measure::default() };
    measures[Feature::Rate.index()] = Measure { value: 100.0, normal: 100.0, ..usual };
    let bits = if spreads.abs() > 5.0 { BITS } else { 0.0 };
    let harm = if spreads > 0.0 { bits } else { 0.0 };
    let departure = Departure { value, normal, spreads };
    let measure = Measure { bits, harm, value, normal, followed: value, departure, ..usual };
    measures[feature.index()] = Measure { spreads, ..measure };
    let top = (bits > 0.0).then_some(feature);
    let score = Score { bits, harm, measures, top, worst: top, ..Score::default() };
    Score { windows_per_day: 86_400.0, seen: 10_000, ..score }
}

/// Failures of 100 calls, of which one in a hundred is usual.
fn failing(share: f32) -> Score {
    let spreads = if share > 0.01 { 4.0 + 20.0 * share } else { 0.0 };
    window(Feature::Errors, share, 0.01, spreads)
}

struct Siblings(World);

impl Siblings {
    fn new(edges: &[EdgeKey]) -> Self {
        let plan = reflex("do='quarantine'");
        let mut world = World::new(plan.clone());
        world.control = Control::new(plan);
        let mut siblings = Self(world);
        for _ in 0..3 {
            siblings
                .all(&edges.iter().map(|edge| (edge.clone(), failing(0.01))).collect::<Vec<_>>());
        }
        assert_eq!(siblings.0.told(), [""; 0]);
        siblings
    }

    /// A second, at the end of which each has a window.
    fn all(&mut self, windows: &[(EdgeKey, Score)]) {
        self.0.wait(1_000);
        windows.iter().for_each(|(edge, score)| self.0.score(edge, score));
    }
}

fn callers(count: usize) -> Vec<EdgeKey> {
    (0..count).map(caller).collect()
}

fn each(edges: &[EdgeKey], share: impl Fn(usize) -> f32) -> Vec<(EdgeKey, Score)> {
    edges.iter().enumerate().map(|(n, edge)| (edge.clone(), failing(share(n)))).collect()
}

#[test]
fn what_most_callers_share_is_one_incident_and_restricts_nobody() {
    let edges = callers(5);
    let mut siblings = Siblings::new(&edges);
    for _ in 0..20 {
        siblings.all(&each(&edges, |n| if n == 4 { 0.01 } else { 0.2 }));
    }
    let told = siblings.0.told();
    let opened = told.iter().filter(|told| told.ends_with("opened")).count();
    assert_eq!(opened, 1, "{told:?}");
    assert!(told.contains(&"a-1 quarantine refused: siblings".to_owned()), "{told:?}");
    assert_eq!(told.iter().filter(|told| told.ends_with("too")).count(), 3, "{told:?}");
    assert!(edges.iter().all(|edge| !siblings.0.restricted(edge)));
    let incident = siblings.0.control.incidents().next().unwrap();
    assert!(incident.shared && incident.alike.len() == 3);
    // Trust is that of before.
    assert!(edges.iter().all(|edge| siblings.0.control.trust(edge) >= 0.5));
}

#[test]
fn one_caller_alone_is_restricted_once_the_others_windows_are_seen() {
    let edges = callers(5);
    let mut siblings = Siblings::new(&edges);
    siblings.0.wait(1_000);
    siblings.0.score(&edges[0], &failing(0.3));
    assert!(!siblings.0.restricted(&edges[0]), "the others may depart alike");
    for edge in &edges[1..4] {
        siblings.0.wait(50);
        siblings.0.score(edge, &failing(0.01));
    }
    assert!(siblings.0.restricted(&edges[0]), "most do not");
}

#[test]
fn a_window_waits_for_its_siblings_no_longer_than_two_of_its_own_lengths() {
    let edges = callers(5);
    let mut siblings = Siblings::new(&edges);
    siblings.0.wait(1_000);
    siblings.0.score(&edges[0], &failing(0.3));
    siblings.0.wait(1_999);
    assert!(!siblings.0.restricted(&edges[0]));
    siblings.0.wait(1);
    assert!(siblings.0.restricted(&edges[0]));
}

#[test]
fn who_stands_out_among_those_that_depart_is_restricted() {
    let edges = callers(5);
    let mut siblings = Siblings::new(&edges);
    for second in 0..4 {
        // 100 calls of which a tenth fails are as many as one in five by chance, and not nine in ten.
        siblings.all(&each(&edges, |n| match n {
            0 if second == 3 => 0.9,
            1 => 0.2,
            _ => 0.1,
        }));
        assert_eq!(siblings.0.restricted(&edges[0]), second == 3, "{second}");
        assert!(edges[1..].iter().all(|edge| !siblings.0.restricted(edge)));
    }
}

#[test]
fn where_most_depart_a_little_who_departs_more_by_chance_is_not_restricted() {
    let edges = callers(12);
    let mut siblings = Siblings::new(&edges);
    // Of 90 calls 3.5 % are 15 % as often as one in ten thousand: one is among them once.
    let share = |n: usize| match n {
        0 => 0.15,
        n if n % 4 == 3 => 0.01,
        _ => 0.035,
    };
    for _ in 0..4 {
        siblings.all(&each(&edges, share));
        assert!(edges.iter().all(|edge| !siblings.0.restricted(edge)), "{:?}", siblings.0.told());
    }
    // The control: alone with it, it is.
    let mut alone = Siblings::new(&edges);
    (0..2).for_each(|_| alone.all(&each(&edges, |n| if n == 0 { 0.15 } else { 0.01 })));
    assert!(alone.0.restricted(&edges[0]));
}

#[test]
fn who_had_a_shared_incident_and_stands_out_later_is_restricted() {
    let edges = callers(12);
    let mut siblings = Siblings::new(&edges);
    (0..3).for_each(|_| siblings.all(&each(&edges, |_| 0.1)));
    let shared: Vec<_> = siblings.0.control.incidents().map(|i| i.edge.clone()).collect();
    let [whose] = &*shared else { panic!("{shared:?}") };
    assert!(!siblings.0.restricted(whose));
    let stands_out = |n: usize| if edges[n] == *whose { 0.9 } else { 0.1 };
    siblings.all(&each(&edges, stands_out));
    assert!(siblings.0.restricted(whose), "{:?}", siblings.0.told());
}

#[test]
fn who_comes_back_later_than_its_siblings_is_not_restricted_for_it() {
    let edges = callers(5);
    let mut siblings = Siblings::new(&edges);
    for second in 0..20 {
        siblings.all(&each(&edges, |n| if second < 5 || n == 0 { 0.2 } else { 0.01 }));
        assert!(!siblings.0.restricted(&edges[0]), "{second}");
    }
}

#[test]
fn the_instances_of_a_callee_that_are_sick_together_are_the_callee_and_one_alone_is_not() {
    let instances: Vec<_> = ["1", "2", "3"].map(|name| callee("orders", name)).into();
    let mut sick = Siblings::new(&instances);
    sick.all(&each(&instances, |_| 0.3));
    sick.all(&each(&instances, |_| 0.3));
    assert!(instances.iter().all(|edge| !sick.0.restricted(edge)));
    let mut one = Siblings::new(&instances);
    one.all(&each(&instances, |n| if n == 1 { 0.3 } else { 0.01 }));
    assert!(one.0.restricted(&instances[1]));
    // Another service's instances are no siblings of these.
    let mut others = instances.clone();
    others[1] = callee("billing", "1");
    let mut others_too = Siblings::new(&others);
    others_too.all(&each(&others, |_| 0.3));
    let told = others_too.0.told();
    assert!(told.iter().any(|told| told.ends_with("refused: last instance")), "{told:?}");
}

#[test]
fn an_instance_that_answers_no_more_is_not_the_healthy_one_that_stays() {
    let instances = [callee("orders", "1"), callee("orders", "2")];
    let plan = plan(
        "[[reflex]]\nname='r'\non={signal='errors', false_alarms='1 in 30 days'}\n\
         do='quarantine'\nttl='10m'\n[governor]\nmin_healthy=0.5\nmin_peers=0\nmin_calls=0\n",
    );
    let mut siblings = Siblings::new(&instances);
    siblings.0.control = Control::new(plan);
    let calm = each(&instances, |_| 0.01);
    siblings.all(&calm);
    // The second is gone: the first is all that is left, whatever it answers.
    siblings.0.wait(20_000);
    siblings.0.score(&instances[0], &failing(0.01));
    siblings.0.wait(1_000);
    siblings.0.score(&instances[0], &failing(0.3));
    siblings.0.wait(3_000);
    assert_eq!(siblings.0.told(), ["i-1 opened", "a-1 quarantine refused: last instance"]);
    // It is cut off once there is another one, and called again as soon as that is gone.
    let mut siblings = Siblings::new(&instances);
    siblings.0.wait(8_000);
    siblings.0.score(&instances[0], &failing(0.3));
    siblings.0.wait(4_000);
    assert!(siblings.0.restricted(&instances[0]));
    siblings.0.wait(2_900);
    assert!(siblings.0.restricted(&instances[0]), "the other one has answered 14.9 s ago");
    siblings.0.wait(200);
    assert!(!siblings.0.restricted(&instances[0]));
}

#[test]
fn a_callers_latency_is_its_own_only_where_its_load_rose() {
    let edges = callers(2);
    let slow = |loaded: bool| {
        let plan = plan(&format!(
            "[[reflex]]\nname='r'\non={{signal='p99', false_alarms='1 in 30 days'}}\n\
             do='quarantine'\n{FREE}"
        ));
        let mut world = World::new(plan);
        let mut score = window(Feature::P99, 0.3, 0.01, 20.0);
        let rate = &mut score.measures[Feature::Rate.index()];
        (rate.harm, rate.bits) = if loaded { (12.0, 12.0) } else { (0.0, 12.0) };
        world.score(&edges[0], &score);
        (world.restricted(&edges[0]), world.told())
    };
    assert!(slow(true).0);
    let (restricted, told) = slow(false);
    assert!(
        !restricted && told.contains(&"a-1 quarantine refused: latency".to_owned()),
        "{told:?}"
    );
}

#[test]
fn less_than_usual_is_told_and_acted_on_only_where_the_reflex_says_so() {
    let less = window(Feature::Rate, 10.0, 100.0, -20.0);
    let acts = |side: &str| {
        let plan = plan(&format!(
            "[[reflex]]\nname='r'\non={{signal='rate', false_alarms='1 in 30 days'{side}}}\n\
             do='quarantine'\n{FREE}"
        ));
        let mut world = World::new(plan);
        world.score(&caller(1), &less);
        let stops = world.control.stops_learning(&caller(1));
        (world.restricted(&caller(1)), stops, world.told())
    };
    let (restricted, stops, told) = acts("");
    assert!(!restricted && !stops, "it becomes normal by and by");
    assert_eq!(told, ["i-1 opened", "a-1 quarantine refused: side"]);
    let (restricted, stops, _) = acts(", side='both'");
    assert!(restricted && stops);
}

#[test]
fn what_was_less_and_becomes_more_is_acted_on_in_that_window() {
    let plan = plan(&format!(
        "[[reflex]]\nname='r'\non={{signal='rate', false_alarms='1 in 30 days'}}\n\
         do='quarantine'\n{FREE}"
    ));
    let mut world = World::new(plan);
    world.windows(&caller(1), 3, &window(Feature::Rate, 10.0, 100.0, -20.0));
    assert!(!world.restricted(&caller(1)));
    world.windows(&caller(1), 1, &window(Feature::Rate, 1_000.0, 100.0, 20.0));
    assert!(world.restricted(&caller(1)));
}

#[test]
fn what_policy_refuses_anyway_costs_a_caller_nothing_else_unless_the_reflex_says_so() {
    let refused = window(Feature::Refusals, 0.05, 0.0, 20.0);
    let acts = |scope: &str| {
        let plan = plan(&format!(
            "[[reflex]]\nname='r'\non={{signal='refusals', false_alarms='1 in 30 days'{scope}}}\n\
             do='quarantine'\n{FREE}"
        ));
        let mut world = World::new(plan);
        world.score(&caller(1), &refused);
        world.restricted(&caller(1))
    };
    assert!(!acts("") && acts(", scope='caller'"));
}

#[test]
fn a_limit_works_where_no_more_than_it_is_let_in_whatever_is_asked_for() {
    let limit = |admitted: f32| {
        let plan = plan(&format!(
            "[[reflex]]\nname='r'\non={{signal='rate', false_alarms='1 in 30 days'}}\n\
             do={{tighten={{rate='200/s'}}}}\n{FREE}"
        ));
        let mut world = World::new(plan);
        world.score(&caller(1), &window(Feature::Rate, 467.0, 65.0, 20.0));
        // Far above normal all the while, as the limit is.
        world.windows(&caller(1), 10, &window(Feature::Rate, admitted, 65.0, 12.0));
        world.restricted(&caller(1))
    };
    assert!(limit(200.0) && limit(150.0));
    assert!(!limit(300.0), "what lets more in than it says does not work");
}

#[test]
fn another_plan_forgets_what_waits() {
    let edges = callers(5);
    let mut siblings = Siblings::new(&edges);
    siblings.0.wait(1_000);
    siblings.0.score(&edges[0], &failing(0.3));
    siblings.0.control.set_plan(reflex("do='alert'"), siblings.0.now);
    siblings.0.wait(u64::try_from(Duration::from_secs(5).as_millis()).unwrap());
    assert_eq!(siblings.0.told(), [""; 0]);
}
