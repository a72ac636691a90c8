//! A session ends at its callee while the connection lives.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode};
use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::core::control::{Cadence, Event};
use meshguard_axum::core::reflex::ActionKind;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh, Policy};

use super::shapes::{self, Shape};
use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, Rig, http, soon};

/// A rule that reads a header which proofs do not cover by themselves.
const TENANT: &str = "[[allow]]\nname = \"tenants\"\nfrom = [\"caller\"]\n\
                      when = { headers = { x-tenant = \"acme\" } }\n";

#[tokio::test]
async fn a_policy_that_reads_another_header_costs_no_call() {
    for (alpn, shape) in shapes::all() {
        let rig = Rig::new("", alpn).await;
        let direct = rig.caller.channel(&format!("https://{}", rig.addr), CALLEE).unwrap();
        for channel in [direct.protocols(alpn), rig.channel.clone()] {
            rig.callee.set_policy(rig::policy("").parse().unwrap());
            Shape::Get.call(&channel).await.unwrap();
            let before = rig.callee.sessions_open();
            rig.callee.set_policy(rig::policy(TENANT).parse().unwrap());
            // The first in the session that was there, the second in the next one.
            for _ in 0..2 {
                let got = shape.call(&channel).await;
                assert!(got.is_ok(), "{shape:?} over {alpn:?}: {got:?}");
            }
            assert_eq!(rig.callee.sessions_open(), before + 1, "{shape:?} over {alpn:?}");
        }
        rig.check_books().await;
    }
}

#[tokio::test]
async fn what_only_another_session_can_prove_is_sent_again_in_that_one() {
    let tenant = |mut request: Request<Body>| {
        request.headers_mut().insert("x-tenant", HeaderValue::from_static("acme"));
        request
    };
    for alpn in [Alpn::H2, Alpn::Http11] {
        let rig = Rig::new("", alpn).await;
        Shape::Get.call(&rig.channel).await.unwrap();
        let conditional = rig::allowing("when = { headers = { x-tenant = \"acme\" } }\n", "");
        rig.callee.set_policy(conditional.parse().unwrap());
        // Through a hop, and of a method that is not safe: the refusal has proof.
        let answer = http::call(&rig.channel, tenant(http::post("/take", "x"))).await.answer();
        assert_eq!((answer.0, rig.app.calls()), (StatusCode::OK, 2));
        assert_eq!(rig.callee.renewals_asked(), 1);
        let without = http::call(&rig.channel, http::post("/take", "x")).await.answer();
        assert_eq!(without.0, StatusCode::FORBIDDEN, "in a session that proves it");
        rig.check_books().await;
    }
}

#[tokio::test]
async fn a_policy_that_has_bodies_sealed_costs_no_call_behind_a_hop_that_can_be_repeated() {
    for shape in [Shape::Get, Shape::Unary, Shape::ServerStream] {
        let rig = Rig::new(rig::MAC, Alpn::H2).await;
        let channel = rig.channel.clone().idempotent();
        Shape::Get.call(&channel).await.unwrap();
        rig.callee.set_policy(rig::policy("").parse().unwrap());
        let got = shape.call(&channel).await;
        assert!(got.is_ok(), "{shape:?}: {got:?}");
        rig.check_books().await;
    }
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
        on = { signal = "refusals", false_alarms = "1 in 1 min", scope = "caller" }
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
        (Alpn::H2, Shape::Unary),
        (Alpn::H2, Shape::Bidi),
        (Alpn::H2, Shape::Upload),
        (Alpn::Http11, Shape::Get),
        (Alpn::Http11, Shape::Upload),
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
