//! A callee that drains: what it has not processed goes to the next one.

use std::time::Duration;

use meshguard_axum::tls::Alpn;

use super::shapes::Shape;
use crate::rig::app::App;
use crate::rig::net::Balancer;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, soon};

const SHAPES: [Shape; 7] = [
    Shape::Get,
    Shape::Upload,
    Shape::Unary,
    Shape::Bidi,
    Shape::Post,
    Shape::ServerStream,
    Shape::ClientStream,
];

/// A caller confirms within 100 ms where no other request takes the receipts along; the callee's
/// connections go on until then.
#[tokio::test]
async fn the_last_answers_before_a_drain_are_confirmed() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let (policy, app, told) = (rig::policy(""), App::default(), Told::default());
        let callee = rig::mesh(CALLEE, &policy, &told);
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async move { stopped.await.unwrap() };
        let serve = meshguard_axum::serve(listener, app.router());
        let serve = serve.with_graceful_shutdown(stopped, Duration::from_secs(15));
        let draining = tokio::spawn(async move { serve.await.unwrap() });
        let caller = rig::mesh(CALLER, &policy, &Told::default());
        let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
        let channel = channel.protocols(alpn);
        let calls = (0..20).map(|_| Shape::Get.call(&channel));
        for got in futures_util::future::join_all(calls).await {
            got.unwrap();
        }
        stop.send(()).unwrap();
        let drained = soon(draining).await.unwrap();
        assert_eq!(drained.cut, 0, "{drained:?}");
        assert_eq!(callee.answers_confirmed(), 20, "{:?}", callee.answers());
    }
}

#[tokio::test]
async fn a_callee_that_drains_costs_no_call_over_http2() {
    const TASKS: usize = 8;
    const EACH: usize = 50;
    let (policy, app) = (rig::policy(""), App::default());
    let told = Told::default();
    let before = rig::mesh(CALLEE, &policy, &told);
    let listener = before.listen("127.0.0.1:0").await.unwrap();
    let place = Balancer::new(vec![listener.local_addr()]).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async move { stopped.await.unwrap() };
    let serve = meshguard_axum::serve(listener, app.router());
    let serve = serve.with_graceful_shutdown(stopped, Duration::from_secs(15));
    let draining = tokio::spawn(async move { serve.await.unwrap() });
    let after = rig::mesh(CALLEE, &policy, &told);
    let next = rig::serve(&after, &app).await;

    let caller = rig::mesh(CALLER, &policy, &Told::default());
    let channel = caller.channel(&format!("https://{}", place.addr), CALLEE).unwrap();
    let channel = channel.protocols(Alpn::H2);
    let running = (0..TASKS).map(|task| {
        let channel = channel.clone();
        tokio::spawn(async move {
            for n in 0..EACH {
                let shape = SHAPES[(task + n) % SHAPES.len()];
                let got = shape.call(&channel).await;
                assert!(got.is_ok(), "{shape:?}, call {n} of task {task}: {got:?}");
            }
        })
    });
    let running: Vec<_> = running.collect();
    soon(async {
        while app.calls() < TASKS * EACH / 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    place.move_to(next);
    stop.send(()).unwrap();
    for done in futures_util::future::join_all(running).await {
        done.unwrap();
    }
    let drained = soon(draining).await.unwrap();
    assert_eq!(drained.cut, 0, "{drained:?}");
    assert_eq!(app.calls(), TASKS * EACH);
    assert_eq!(after.sessions_open(), 1);
    let counts = caller.counts();
    assert_eq!(counts.delivered, (TASKS * EACH) as u64, "{counts:?}");
    assert!(told.all().is_empty(), "{:?}", told.all());
}
