//! The loop and policy together: what control learns of a caller, policy decides by.

#![allow(clippy::unwrap_used, clippy::panic)] // a helper of tests may

use meshguard_core::baseline::{EdgeKey, FEATURES, Feature, Measure, Score};
use meshguard_core::control::{Control, Event, IncidentId};
use meshguard_core::policy::{Policy, Unmet};
use meshguard_core::{Access, Reason, SpiffeId, Timestamp};

const CHECKOUT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");
const T0: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

fn policy() -> Policy {
    r#"
    mesh = "shop.example"
    version = 1
    [[allow]]
    name = "trusted-only"
    when = { trust = 0.45 }
    "#
    .parse()
    .unwrap()
}

fn errors(bits: f32) -> Score {
    let mut measures = [Measure::default(); FEATURES];
    measures[Feature::Errors.index()] = Measure {
        observed: true,
        bits,
        harm: bits,
        value: 0.2,
        normal: 0.01,
        spreads: bits,
        ..Measure::default()
    };
    let top = Some(Feature::Errors);
    let score = Score { bits, harm: bits, measures, top, worst: top, ..Score::default() };
    Score { windows_per_day: 86_400.0, seen: 1_000, ..score }
}

fn reason<'p>(policy: &'p Policy, control: &Control, edge: &EdgeKey) -> Reason<'p> {
    let access = Access::http("GET", "/").by(CHECKOUT).trust(control.trust(edge));
    policy.decide(&access).reason()
}

#[test]
fn an_incident_costs_the_caller_what_policy_asks_for_and_a_false_alarm_gives_it_back() {
    let policy = policy();
    assert!(policy.reads_trust());
    let edge = EdgeKey::Caller(CHECKOUT.clone());
    let mut control = Control::new(policy.plan().clone());
    control.handle_score(&edge, &errors(1.0), T0);
    assert_eq!(reason(&policy, &control, &edge), Reason::Rule("trusted-only"));

    control.handle_score(&edge, &errors(30.0), T0);
    let condition = Unmet::Trust { needs: 0.45, has: Some(control.trust(&edge)) };
    assert_eq!(reason(&policy, &control, &edge), Reason::Unmet { rule: "trusted-only", condition });

    let Some(Event::Opened(incident)) = control.poll_event() else { panic!("nothing was opened") };
    assert_eq!(incident.id, IncidentId(1));
    assert!(control.false_alarm(incident.id, T0));
    assert_eq!(reason(&policy, &control, &edge), Reason::Rule("trusted-only"));
}

#[test]
fn control_is_sent_between_threads() {
    fn sent<T: Send + Sync + 'static>() {}
    sent::<Control>();
    sent::<Event>();
}
