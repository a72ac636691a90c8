//! The callee restarts: its sessions are gone, and nobody can prove that they are.

use axum::http::StatusCode;
use meshguard_axum::CallErrorKind;
use meshguard_axum::core::delivery::{Outcome, Unknown};
use meshguard_axum::tls::Alpn;

use crate::rig::restarting::Restarting;
use crate::rig::{self, MAC, http};

#[tokio::test]
async fn a_direct_channel_renews_its_session_and_sends_again() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let mut callee = Restarting::new("").await;
        let caller = callee.caller();
        let channel = callee.direct(&caller, alpn);
        http::call(&channel, http::get("/known/10")).await.answer();
        for (calls, request) in
            [http::get("/known/10"), http::post("/take", "x")].into_iter().enumerate()
        {
            callee.restart().await;
            let (status, _) = http::call(&channel, request).await.answer();
            assert_eq!((status, callee.app.calls()), (StatusCode::OK, calls + 2));
            assert_eq!(callee.callee.sessions_open(), 1);
        }
        let counts = caller.counts();
        assert!(counts.balances() && counts.open == 0, "{counts:?}");
        assert_eq!(counts.delivered, 3, "{counts:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_streamed_is_sent_once_and_in_a_session_that_lives() {
    let mut callee = Restarting::new("").await;
    let caller = callee.caller();
    let channel = callee.direct(&caller, Alpn::H2);
    http::call(&channel, http::get("/known/10")).await.answer();
    callee.restart().await;
    // The callee was asked first.
    let body = http::halves(&http::pattern(100));
    let (status, _) = http::call(&channel, http::post("/take", body)).await.answer();
    assert_eq!((status, callee.app.calls()), (StatusCode::OK, 2));
    let counts = caller.counts();
    assert_eq!((counts.delivered, counts.not_delivered), (2, 0), "{counts:?}");
}

#[tokio::test]
async fn behind_a_hop_only_what_is_safe_is_sent_again() {
    for more in ["", MAC] {
        let mut callee = Restarting::new(more).await;
        let hop = callee.hop().await;
        let caller = callee.caller();
        let channel = rig::through(&caller, &hop, Alpn::H2);
        http::call(&channel, http::get("/known/10")).await.answer();

        callee.restart().await;
        let error = http::call(&channel, http::post("/take", "x")).await.failed();
        assert_eq!(*error.kind(), CallErrorKind::Unproven(StatusCode::UNAUTHORIZED), "{error}");
        assert_eq!(error.outcome(), Outcome::Indeterminate(Unknown::Unproven));
        assert_eq!(callee.app.calls(), 1);
        let (status, _) = http::call(&channel, http::get("/known/10")).await.answer();
        assert_eq!((status, callee.app.calls()), (StatusCode::OK, 2));
        let declared = channel.clone().idempotent();
        http::call(&declared, http::get("/known/10")).await.answer();

        callee.restart().await;
        let (status, _) = http::call(&channel, http::get("/known/10")).await.answer();
        assert_eq!((status, callee.app.calls()), (StatusCode::OK, 4));
        let (status, _) = http::call(&declared, http::post("/take", "x")).await.answer();
        assert_eq!((status, callee.app.calls()), (StatusCode::OK, 5));
        let counts = caller.counts();
        assert!(counts.balances() && counts.open == 0, "{counts:?}");
    }
}

#[tokio::test]
async fn calls_that_meet_a_session_under_renewal_wait_for_it_and_share_it() {
    let mut callee = Restarting::new("").await;
    let caller = callee.caller();
    let channel = callee.direct(&caller, Alpn::H2);
    http::call(&channel, http::get("/known/10")).await.answer();
    for _ in 0..3 {
        callee.restart().await;
        let calls = (0..50).map(|n| {
            let channel = channel.clone();
            tokio::spawn(async move {
                let request =
                    if n % 2 == 0 { http::get("/known/10") } else { http::post("/take", "x") };
                http::call(&channel, request).await.answer().0
            })
        });
        for status in futures_util::future::join_all(calls).await {
            assert_eq!(status.unwrap(), StatusCode::OK);
        }
        assert_eq!(callee.callee.sessions_open(), 1);
    }
    assert_eq!(callee.app.calls(), 151);
    let counts = caller.counts();
    assert!(counts.balances() && counts.open == 0, "{counts:?}");
    assert_eq!(counts.delivered, 151, "{counts:?}");
}

#[tokio::test]
async fn behind_a_hop_what_its_route_declares_idempotent_is_sent_again() {
    let route = "[[route]]\nhttp = [\"POST /take\"]\nidempotent = true\n";
    let mut callee = Restarting::new(route).await;
    let hop = callee.hop().await;
    let channel = rig::through(&callee.caller(), &hop, Alpn::H2);
    http::call(&channel, http::get("/known/10")).await.answer();
    callee.restart().await;
    let error = http::call(&channel, http::post("/echo", "x")).await.failed();
    assert_eq!(error.outcome(), Outcome::Indeterminate(Unknown::Unproven));
    http::call(&channel, http::get("/known/10")).await.answer();
    callee.restart().await;
    let (status, _) = http::call(&channel, http::post("/take", "x")).await.answer();
    assert_eq!((status, callee.app.calls()), (StatusCode::OK, 3));
}
