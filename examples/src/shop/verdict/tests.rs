//! What the loop misses or does to the wrong one does not pass.

use http::StatusCode;
use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::core::reflex::Signal;

use super::*;
use crate::shop::attacks::scenarios;
use crate::shop::ids::{BATCH, BRANCHES, GATEWAY, INTERN, PAYMENTS};
use crate::shop::sign::Sign;
use crate::shop::truth::End;

/// An attack that the loop answers as it should, to be spoilt.
struct Case {
    scenario: Scenario,
    played: Played,
    turned_away: Vec<TurnedAway>,
    anomalies: Vec<Anomaly>,
    began: Instant,
}

fn case(name: &str) -> Case {
    let scenario = scenarios().into_iter().find(|scenario| scenario.name == name).unwrap();
    let began = Instant::now();
    let at = |ms| began + Duration::from_millis(ms);
    let played = Played {
        began: Some(began),
        stopped: Some(at(3_000)),
        ended: Some(at(9_000)),
        tried: 100,
        through: vec![at(100), at(300)],
        called_again: 5,
        ..Played::default()
    };
    let mut case = Case { scenario, played, turned_away: vec![], anomalies: vec![], began };
    case.step(400, case.opened());
    case.step(
        400,
        Deed::Taken { action: 1, incident: 1, kind: Kind::Quarantine, words: "quarantine".into() },
    );
    let (before, after) = ("40 bits".into(), "nothing".into());
    let effect = Effect::Effective;
    case.step(1_000, Deed::Measured { action: 1, effect, before, after });
    case.step(3_400, Deed::Ended { action: 1, how: "expired".into() });
    case
}

impl Case {
    fn edge(&self) -> EdgeKey {
        match &self.scenario.target {
            Target::Caller(id) => EdgeKey::Caller(id.clone()),
            Target::Address(addr) => EdgeKey::Address(*addr),
            Target::Instance(id) => EdgeKey::Callee { id: id.clone(), instance: "b".into() },
            Target::Hop => EdgeKey::HopOut(GATEWAY),
        }
    }

    fn opened(&self) -> Deed {
        let (reflex, signal) = ("a reflex".to_owned(), self.scenario.signals[0]);
        Deed::Opened { incident: 1, reflex, signal, bits: 40.0, words: "because".to_owned() }
    }

    fn step(&mut self, ms: u64, deed: Deed) {
        let (at, edge) = (self.began + Duration::from_millis(ms), self.edge());
        self.played.steps.push(Step { at, service: self.scenario.service, edge, deed });
    }

    fn spoil(mut self, of: impl Fn(&Deed) -> bool) -> Self {
        self.played.steps.retain(|step| !of(&step.deed));
        self
    }

    fn turn_away(mut self, lane: Lane, status: StatusCode) -> Self {
        let at = self.began + Duration::from_secs(2);
        self.turned_away.push(TurnedAway { lane, at, status });
        self
    }

    fn row(&self) -> ScenarioRow {
        self.judged(true)
    }

    fn judged(&self, strict: bool) -> ScenarioRow {
        let evidence = Evidence {
            began: self.began,
            strict,
            window: Duration::from_millis(200),
            turned_away: &self.turned_away,
            anomalies: &self.anomalies,
        };
        judge(&self.scenario, &self.played, &evidence)
    }

    fn problem(&self) -> String {
        let problems = self.row().problems;
        assert!(!problems.is_empty(), "it passed");
        problems.join("; ")
    }
}

#[test]
fn what_is_seen_cut_off_and_released_passes() {
    for scenario in scenarios().iter().filter(|scenario| scenario.cure != Cure::Told) {
        let row = case(scenario.name).row();
        assert!(row.passed(), "{}: {:?}", row.scenario, row.problems);
        assert_eq!((row.verdict_ms, row.verdict_windows), (Some(400.0), Some(2.0)));
        assert_eq!((row.actions.len(), row.honest_hit, row.through), (1, 0, 2));
        assert_eq!(row.actions[0].ended, Some(("expired".to_owned(), 3_000.0)));
    }
}

#[test]
fn a_missed_attack_fails() {
    let missed = case("handshake-storm").spoil(|deed| matches!(deed, Deed::Opened { .. }));
    assert!(missed.problem().contains("missed: no incident by handshake_failures"));
    let mut other = case("handshake-storm");
    other.scenario.signals = &[Signal::Silence];
    assert!(other.problem().contains("missed: no incident by silence"));
    let told = case("handshake-storm").spoil(|deed| !matches!(deed, Deed::Opened { .. }));
    assert!(told.problem().contains("never cut off"));
}

#[test]
fn an_attack_that_was_not_run_fails_where_all_must_be() {
    let mut case = case("slow-loris");
    case.played = Played { cannot: Some("no such address".into()), ..Played::default() };
    assert!(case.problem().contains("not run: no such address"));
    let row = case.judged(false);
    assert!(row.passed() && row.not_run.as_deref() == Some("no such address"));
}

#[test]
fn an_attack_that_another_service_sees_is_missed_by_its_own() {
    let mut case = case("outside-intent");
    case.played.steps.iter_mut().for_each(|step| step.service = "gateway");
    assert!(case.problem().contains("missed"));
}

#[test]
fn a_cut_without_a_measured_effect_fails() {
    let case = case("outside-intent").spoil(|deed| matches!(deed, Deed::Measured { .. }));
    assert!(case.problem().contains("no effect was measured"));
}

#[test]
fn an_attacker_who_gets_through_although_cut_off_fails_it() {
    let mut case = case("stolen-credential");
    case.played.through.push(case.began + Duration::from_millis(2_000));
    assert_eq!(case.row().through_when_cut, 1);
    assert!(case.problem().contains("got through 1 times"));
    case.played.through = vec![case.began + Duration::from_millis(4_000)];
    assert!(case.row().passed(), "it was free again");
}

#[test]
fn a_restriction_without_an_end_fails() {
    let case = case("stolen-credential").spoil(|deed| matches!(deed, Deed::Ended { .. }));
    assert!(case.problem().contains("did not end"));
}

#[test]
fn whoever_is_honest_and_cut_off_fails_it() {
    for edge in [
        EdgeKey::Caller(BRANCHES[3].clone()),
        EdgeKey::Caller(BATCH),
        EdgeKey::HopIn(GATEWAY),
        EdgeKey::Address([127, 0, 0, 1].into()),
        EdgeKey::Callee { id: PAYMENTS, instance: "a".into() },
    ] {
        for kind in [Kind::Tighten, Kind::Quarantine] {
            let mut case = case("outside-intent");
            case.step(1_500, Deed::Taken { action: 9, incident: 9, kind, words: "cut".into() });
            case.played.steps.last_mut().unwrap().edge = edge.clone();
            assert!(case.problem().contains("who is honest"), "{edge}");
        }
    }
    let mut alert = case("outside-intent");
    alert.step(
        1_500,
        Deed::Taken { action: 9, incident: 9, kind: Kind::Alert, words: "told".into() },
    );
    alert.played.steps.last_mut().unwrap().edge = EdgeKey::Caller(BATCH);
    assert!(alert.row().passed(), "to tell is no harm");
}

#[test]
fn an_honest_call_that_is_turned_away_fails_it_and_one_of_the_suspect_does_not() {
    let case = || case("outside-intent");
    assert_eq!(case().scenario.target, Target::Caller(INTERN));
    for status in [StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY] {
        for lane in [Lane::Branch, Lane::Batch, Lane::Front, Lane::H2] {
            let case = case().turn_away(lane, status);
            assert!(case.problem().contains("1 honest calls were hit"), "{lane:?} {status}");
        }
        let row = case().turn_away(Lane::Intern, status).row();
        assert!(row.passed() && row.suspects_hit == 1);
    }
    let mut failed = case();
    let (at, what) = (failed.began, What::Error(End::Caller, Sign::patience()));
    failed.anomalies.push(Anomaly { lane: Lane::Branch, key: None, at, what });
    assert!(failed.problem().contains("1 honest calls were hit"));
}

#[test]
fn a_sick_instance_may_fail_orders_until_it_is_cut_off_and_is_called_again_afterwards() {
    let sick = || case("sick-instance");
    let mut early = sick().turn_away(Lane::Front, StatusCode::BAD_GATEWAY);
    early.turned_away[0].at = early.began + Duration::from_millis(300);
    assert!(early.row().passed() && early.row().unserved == Some((1, 0)));
    let late = sick().turn_away(Lane::Front, StatusCode::BAD_GATEWAY);
    assert!(late.problem().contains("although the instance was cut off"));
    let mut never = sick();
    never.played.called_again = 0;
    assert!(never.problem().contains("not called again"));
}

#[test]
fn a_bad_hop_is_told_and_never_restricted() {
    let told = case("truncating-hop").spoil(|deed| !matches!(deed, Deed::Opened { .. }));
    assert!(told.row().passed(), "{:?}", told.row().problems);
    assert!(case("truncating-hop").problem().contains("a hop was restricted"));
    let missed = case("truncating-hop").spoil(|_| true);
    assert!(missed.problem().contains("missed"));
}
