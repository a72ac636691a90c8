//! What an operator says holds.

use axum::http::StatusCode;
use meshguard_axum::Channel;
use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::core::control::{Event, Incident, IncidentState};
use meshguard_axum::core::ledger::Entry;

use crate::mall::{HONEST, Mall, OUTSIDE_INTENT, WICKED};
use crate::rig::{http, soon};

/// A caller that was cut off, and the incident.
async fn cut_off(mall: &Mall) -> (Channel, Incident) {
    let (honest, wicked) = (mall.caller(HONEST), mall.caller(WICKED));
    mall.make_known(&HONEST, &mall.through_hop(&honest)).await;
    let channel = mall.through_hop(&wicked);
    mall.make_known(&WICKED, &channel).await;
    mall.misbehave(&WICKED, &channel).await;
    let incident = mall.callee.incidents().into_iter().find(|i| !i.state.is_over()).unwrap();
    assert_eq!(incident.edge, EdgeKey::Caller(WICKED));
    (mall.through_hop(&wicked), incident)
}

/// Waits until calls are let in again.
async fn let_in(channel: &Channel) {
    soon(async {
        loop {
            match http::call(channel, http::get("/known/10")).await {
                http::Got::Answer(StatusCode::OK, _) => return,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await;
}

fn verbs(mall: &Mall) -> Vec<String> {
    mall.ledger.flush_blocking().unwrap();
    let entries = mall.ledger.entries().unwrap().map(Result::unwrap);
    let verb = |entry: meshguard_axum::ledger::EntryBuf| match entry.entry() {
        Entry::Operator(operator) => Some(operator.verb.to_owned()),
        _ => None,
    };
    entries.filter_map(verb).collect()
}

#[tokio::test]
async fn a_false_alarm_lifts_what_it_had_put_into_force() {
    let mall = Mall::new(OUTSIDE_INTENT).await;
    let (channel, incident) = cut_off(&mall).await;
    assert!(mall.callee.trust(&WICKED) < mall.callee.trust(&HONEST));
    let before = mall.callee.trust(&WICKED);
    assert_eq!(mall.callee.false_alarm(incident.id).map(|i| i.id), Some(incident.id));
    let after = mall.callee.incidents().into_iter().find(|i| i.id == incident.id).unwrap();
    assert_eq!(after.state, IncidentState::FalseAlarm);
    assert!(mall.callee.trust(&WICKED) > before, "what it cost was given back");
    let_in(&channel).await;
    assert_eq!(verbs(&mall), ["false-alarm"]);
}

#[tokio::test]
async fn a_release_lifts_and_the_kill_switch_lifts_and_holds() {
    let mall = Mall::new(OUTSIDE_INTENT).await;
    let (channel, _) = cut_off(&mall).await;
    mall.callee.release(&EdgeKey::Caller(WICKED));
    let_in(&channel).await;
    mall.callee.freeze();
    assert!(mall.callee.is_frozen());
    // What would have it cut off has no effect now.
    for _ in 0..100 {
        let _ = http::call(&channel, http::get("/forbidden")).await;
    }
    http::call(&channel, http::get("/known/10")).await.answer();
    let applied = |e: &Event| matches!(e, Event::Applied(a) if a.edge == EdgeKey::Caller(WICKED));
    let before = mall.at_callee.events().iter().filter(|e| applied(e)).count();
    assert_eq!(before, 1, "the one before the release");
    assert!(mall.callee.edges().iter().all(|edge| edge.restriction.is_none()));
    mall.callee.thaw();
    assert_eq!(verbs(&mall), ["release", "freeze", "thaw"]);
}

#[tokio::test]
async fn a_true_incident_is_confirmed_and_stays() {
    let mall = Mall::new(OUTSIDE_INTENT).await;
    let (_, incident) = cut_off(&mall).await;
    assert!(mall.callee.confirm(incident.id).is_some());
    let after = mall.callee.incidents().into_iter().find(|i| i.id == incident.id).unwrap();
    assert!(after.confirmed && !after.state.is_over());
    let nobody = meshguard_axum::core::control::IncidentId(9_999);
    assert!(mall.callee.confirm(nobody).is_none() && mall.callee.false_alarm(nobody).is_none());
}
