//! A restart costs no call on a direct channel, and behind a hop at most one.

use axum::http::StatusCode;
use meshguard_axum::Channel;
use meshguard_axum::core::delivery::{Outcome, Unknown};
use meshguard_axum::tls::Alpn;
use meshguard_testing::Protocol;

use super::shapes::{self, Shape};
use crate::rig::app::App;
use crate::rig::net::Balancer;
use crate::rig::restarting::Restarting;
use crate::rig::{MAC, grpc, http, soon, stock};

#[tokio::test]
async fn a_restart_costs_no_call_of_any_kind_on_a_direct_channel() {
    for (alpn, shape) in shapes::all() {
        let mut callee = Restarting::new("").await;
        let caller = callee.caller();
        let channel = callee.direct(&caller, alpn);
        Shape::Get.call(&channel).await.unwrap();
        for restarts in 1..=2 {
            callee.restart().await;
            let got = shape.call(&channel).await;
            assert!(got.is_ok(), "{shape:?} over {alpn:?}, restart {restarts}: {got:?}");
            assert_eq!(callee.app.calls(), 1 + restarts, "{shape:?} over {alpn:?}");
            assert_eq!(callee.callee.sessions_open(), 1, "{shape:?} over {alpn:?}");
        }
        let counts = caller.counts();
        assert!(counts.balances() && counts.open == 0, "{counts:?}");
        assert_eq!(counts.delivered, 3, "{shape:?} over {alpn:?}: {counts:?}");
        assert!(callee.told.all().is_empty(), "{:?}", callee.told.all());
    }
}

#[tokio::test]
async fn the_stock_stack_loses_no_call_in_a_restart_either() {
    let app = App::default();
    let (addr, serving) = stock::serve_at("127.0.0.1:0".parse().unwrap(), app.router()).await;
    let place = Balancer::new(vec![addr]).await;
    let channel = stock::channel(place.addr);
    assert_eq!(grpc::client(channel.clone(), grpc::ready(1)).await.unwrap(), 1);
    let (addr, _next) = stock::serve_at("127.0.0.1:0".parse().unwrap(), app.router()).await;
    place.move_to(addr);
    serving.abort();
    let _ = serving.await;
    place.deserted().await;
    // It connects again by itself, and has no sessions that could be unknown.
    assert_eq!(grpc::client(channel.clone(), grpc::ready(1)).await.unwrap(), 1);
    assert_eq!(grpc::client(channel, grpc::paced(5)).await.unwrap(), 5);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut client = stock::Client::connect(place.addr, protocol).await;
        let halves = http::halves(&http::pattern(100));
        let answer = soon(client.send(http::post("/take", halves))).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

/// What some ask of one session that is gone tells the others nothing of another one.
#[tokio::test]
async fn calls_of_all_kinds_that_meet_restart_after_restart_together_all_pass() {
    let mut callee = Restarting::new("").await;
    let caller = callee.caller();
    let channel = callee.direct(&caller, Alpn::H2);
    let shapes: Vec<_> = shapes::all().filter(|(alpn, _)| *alpn == Alpn::H2).collect();
    for restarts in 1..=6 {
        callee.restart().await;
        let calls = shapes.iter().cycle().take(4 * shapes.len()).map(|(_, shape)| {
            let (channel, shape) = (channel.clone(), *shape);
            tokio::spawn(async move { (shape, shape.call(&channel).await) })
        });
        for called in futures_util::future::join_all(calls).await {
            let (shape, got) = called.unwrap();
            assert!(got.is_ok(), "{shape:?}, restart {restarts}: {got:?}");
        }
    }
    let counts = caller.counts();
    assert!(counts.balances() && counts.open == 0, "{counts:?}");
}

#[tokio::test]
async fn streams_that_meet_a_restart_together_share_one_session() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let mut callee = Restarting::new("").await;
        let caller = callee.caller();
        let channel = callee.direct(&caller, alpn);
        Shape::Get.call(&channel).await.unwrap();
        for _ in 0..2 {
            callee.restart().await;
            let calls = (0..30).map(|n| {
                let channel = channel.clone();
                let shape = if n % 3 == 0 { Shape::Get } else { Shape::Upload };
                tokio::spawn(async move { shape.call(&channel).await })
            });
            for got in futures_util::future::join_all(calls).await {
                got.unwrap().unwrap();
            }
            assert_eq!(callee.callee.sessions_open(), 1, "{alpn:?}");
        }
        let counts = caller.counts();
        assert!(counts.balances() && counts.open == 0, "{counts:?}");
        assert_eq!(counts.delivered, 61, "{counts:?}");
    }
}

#[tokio::test]
async fn behind_a_hop_a_restart_costs_at_most_the_first_call_that_cannot_be_repeated() {
    // Side by side: each waits for its turn to open a session.
    let all = ["", MAC].into_iter().flat_map(|more| shapes::all().map(move |(a, s)| (more, a, s)));
    let running = all.map(|(more, alpn, shape)| tokio::spawn(behind_a_hop(more, alpn, shape)));
    for done in futures_util::future::join_all(running).await {
        done.unwrap();
    }
}

async fn behind_a_hop(more: &str, alpn: Alpn, shape: Shape) {
    let mut callee = Restarting::new(more).await;
    let hop = callee.hop().await;
    let caller = callee.caller();
    let channel = crate::rig::through(&caller, &hop, alpn);
    Shape::Get.call(&channel).await.unwrap();
    for _ in 0..2 {
        // At once: the session is younger than a hop may have it renewed.
        callee.restart().await;
        if let Err(failed) = past_hop(shape, &channel).await {
            assert!(shape != Shape::Get, "{shape:?} over {alpn:?}: {failed:?}");
            let unproven = Outcome::Indeterminate(Unknown::Unproven);
            assert_eq!(failed.outcome(), Some(unproven), "{shape:?}: {failed:?}");
        }
        let got = past_hop(shape, &channel).await;
        assert!(got.is_ok(), "{shape:?} over {alpn:?}: {got:?}");
    }
    let counts = caller.counts();
    assert!(counts.balances() && counts.open == 0, "{counts:?}");
}

/// The hop answers 502 where its own connection to the callee has ended under a request: that is
/// nothing that a channel could mend. Each connection that rests may have one such at its other
/// end.
async fn past_hop(shape: Shape, channel: &Channel) -> Result<(), shapes::Failed> {
    for _ in 0..20 {
        match shape.call(channel).await {
            Err(failed) if failed.is_unproven(StatusCode::BAD_GATEWAY) => {}
            got => return got,
        }
    }
    shape.call(channel).await
}

#[tokio::test]
async fn what_is_declared_idempotent_survives_a_restart_behind_a_hop() {
    for shape in [Shape::Get, Shape::Post, Shape::Unary, Shape::ServerStream] {
        let mut callee = Restarting::new("").await;
        let hop = callee.hop().await;
        let caller = callee.caller();
        let channel = crate::rig::through(&caller, &hop, Alpn::H2).idempotent();
        Shape::Get.call(&channel).await.unwrap();
        for restarts in 1..=2 {
            callee.restart().await;
            let got = shape.call(&channel).await;
            assert!(got.is_ok(), "{shape:?}: {got:?}");
            assert_eq!(callee.app.calls(), 1 + restarts, "{shape:?}");
        }
    }
}
