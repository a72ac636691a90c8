//! A session ends at its callee while the connection lives.

use std::time::Duration;

use axum::http::StatusCode;
use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::core::control::{Cadence, Event};
use meshguard_axum::core::delivery::Outcome;
use meshguard_axum::core::reflex::ActionKind;
use meshguard_axum::{Channel, Mesh, Policy};

use super::shapes::{self, Shape};
use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, Rig, http, soon};

/// A rule that reads a header which proofs do not cover by themselves.
const TENANT: &str = "[[allow]]\nname = \"tenants\"\nfrom = [\"caller\"]\n\
                      when = { headers = { x-tenant = \"acme\" } }\n";

#[tokio::test]
async fn a_policy_that_asks_for_another_header_costs_no_call_that_can_be_repeated() {
    for (alpn, shape) in shapes::all() {
        let rig = Rig::new("", alpn).await;
        let channel = rig.caller.channel(&format!("https://{}", rig.addr), CALLEE).unwrap();
        let channel = channel.protocols(alpn);
        Shape::Get.call(&channel).await.unwrap();
        rig.callee.set_policy(rig::policy(TENANT).parse().unwrap());
        let got = shape.call(&channel).await;
        match &got {
            // Its session has answered just now, so that nothing was asked beforehand.
            Err(failed) if shape.is_stream() => {
                assert_eq!(failed.outcome(), Some(Outcome::NotDelivered), "{shape:?}: {failed:?}");
            }
            got => assert!(got.is_ok(), "{shape:?} over {alpn:?}: {got:?}"),
        }
        let got = shape.call(&channel).await;
        assert!(got.is_ok(), "{shape:?} over {alpn:?}: {got:?}");
        assert_eq!(rig.callee.sessions_open(), 1, "{shape:?} over {alpn:?}");
        rig.check_books().await;
    }
}

#[tokio::test]
async fn a_policy_that_has_bodies_sealed_costs_no_call_behind_a_hop_that_can_be_repeated() {
    for shape in [Shape::Get, Shape::Unary, Shape::ServerStream] {
        let rig = Rig::new(rig::MAC, meshguard_axum::tls::Alpn::H2).await;
        let channel = rig.channel.clone().idempotent();
        Shape::Get.call(&channel).await.unwrap();
        rig.callee.set_policy(rig::policy("").parse().unwrap());
        let got = shape.call(&channel).await;
        assert!(got.is_ok(), "{shape:?}: {got:?}");
        rig.check_books().await;
    }
}

#[tokio::test]
async fn a_callee_that_answers_renew_counts_it() {
    let rig = Rig::new("", meshguard_axum::tls::Alpn::H2).await;
    Shape::Get.call(&rig.channel).await.unwrap();
    assert_eq!(rig.callee.renewals_asked(), 0);
    rig.callee.set_policy(rig::policy(TENANT).parse().unwrap());
    Shape::Get.call(&rig.channel).await.unwrap();
    assert_eq!(rig.callee.renewals_asked(), 1);
}

/// Windows of 20 ms with ten calls in them.
const QUICK: Cadence =
    Cadence { busy: Duration::from_millis(20), quiet: Duration::from_millis(200), calls: 10 };

/// All but `/forbidden` is allowed, and who asks for that again and again is cut off.
fn quarantining() -> String {
    rig::allowing(
        "http = [\"* /take\", \"* /known/{n}\", \"* /stream/{n}\"]\ngrpc = [\"faults.Items/*\"]\n",
        r#"
        [[reflex]]
        name = "outside-intent"
        on = { signal = "refusals", false_alarms = "1 in 1 min" }
        do = ["quarantine"]
        ttl = "1h"
        [governor]
        max_share = 1.0
        min_peers = 1
        min_calls = 10
        "#,
    )
}

async fn quarantined(callee: &Mesh, told: &Told, channel: &Channel) {
    let key = EdgeKey::Caller(CALLER);
    let cut_off = |event: &Event| matches!(event, Event::Applied(a) if a.edge == key && a.kind == ActionKind::Quarantine);
    soon(async {
        while !callee.edges().iter().any(|edge| edge.edge == key) {
            http::call(channel, http::get("/known/10")).await.answer();
        }
    })
    .await;
    let misbehave = async {
        loop {
            let _ = http::call(channel, http::get("/forbidden")).await;
        }
    };
    tokio::select! {
        () = misbehave => {}
        _ = told.wait_event(cut_off) => {}
    }
}

#[tokio::test]
async fn after_a_quarantine_calls_of_all_kinds_work_at_once() {
    for (alpn, shape) in [
        (meshguard_axum::tls::Alpn::H2, Shape::Unary),
        (meshguard_axum::tls::Alpn::H2, Shape::Bidi),
        (meshguard_axum::tls::Alpn::H2, Shape::Upload),
        (meshguard_axum::tls::Alpn::Http11, Shape::Get),
        (meshguard_axum::tls::Alpn::Http11, Shape::Upload),
    ] {
        let (told, app) = (Told::default(), App::default());
        let policy: Policy = quarantining().parse().unwrap();
        let builder = Mesh::dev(CALLEE).unwrap().policy(policy).sink(told.clone());
        let callee = builder.cadence(QUICK).build().unwrap();
        let addr = rig::serve(&callee, &app).await;
        let caller = rig::mesh(CALLER, &quarantining(), &Told::default());
        let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
        let channel = channel.protocols(alpn);
        quarantined(&callee, &told, &channel).await;
        assert!(shape.call(&channel).await.is_err(), "{shape:?} while it is cut off");
        callee.release(&EdgeKey::Caller(CALLER));
        // What was put into force is swapped a moment later.
        soon(async {
            while !matches!(
                http::call(&channel, http::get("/known/10")).await,
                http::Got::Answer(StatusCode::OK, _)
            ) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let got = shape.call(&channel).await;
        assert!(got.is_ok(), "{shape:?} over {alpn:?}: {got:?}");
    }
}
