//! An instance that is sick is not called.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::core::control::Event;
use meshguard_axum::core::reflex::ActionKind;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallErrorKind, Channel, Mesh, Outcome, Policy};

use crate::mall::{HONEST, QUICK, policy};
use crate::rig::net::Balancer;
use crate::rig::tell::Told;
use crate::rig::{CALLEE, http, soon};

const SICK: &str = r#"
    [[reflex]]
    name = "sick"
    on = { signal = "errors", false_alarms = "1 in 1 min" }
    do = ["quarantine"]
    ttl = "1h"
    [governor]
    min_healthy = 0.5
    min_calls = 10
"#;

/// An instance of the callee.
struct Instance {
    mesh: Mesh,
    addr: SocketAddr,
    channel: Channel,
    sick: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

impl Instance {
    async fn new(caller: &Mesh, delivery: &str) -> Self {
        let (sick, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_sick, count) = (Arc::clone(&sick), Arc::clone(&calls));
        let answer = move || {
            count.fetch_add(1, Ordering::Relaxed);
            let sick = is_sick.load(Ordering::Relaxed);
            async move { if sick { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK } }
        };
        let app = Router::new()
            .route("/known/{n}", get(answer))
            .route("/known/hangs", get(std::future::pending::<()>));
        let policy: Policy = policy(delivery).parse().unwrap();
        let mesh = Mesh::dev(CALLEE).unwrap().policy(policy).build().unwrap();
        let listener = mesh.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        tokio::spawn(async move { meshguard_axum::serve(listener, app).await.unwrap() });
        let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
        Self { mesh, addr, channel, sick, calls }
    }

    async fn call(&self) -> http::Got {
        http::call(&self.channel, http::get("/known/1")).await
    }
}

/// Calls until two instances are known by themselves, beside the addresses that they were first
/// known by.
async fn known(caller: &Mesh, channels: &[&Channel]) {
    let measured = || caller.edges().iter().filter(|e| e.window.calls > 0).count();
    soon(async {
        while measured() < 2 {
            for channel in channels {
                http::call(channel, http::get("/known/1")).await.answer();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_sick_instance_is_not_called_and_the_last_healthy_one_is_whatever_it_answers() {
    the_sick_one_is_not_called("").await;
}

#[tokio::test]
async fn neither_is_one_whose_deliveries_are_not_proved() {
    the_sick_one_is_not_called("[[delivery]]\nmode = \"off\"\n").await;
}

async fn the_sick_one_is_not_called(delivery: &str) {
    let told = Told::default();
    let policy: Policy = policy(&format!("{delivery}{SICK}")).parse().unwrap();
    let builder = Mesh::dev(HONEST).unwrap().policy(policy).sink(told.clone());
    let caller = builder.cadence(QUICK).build().unwrap();
    let (one, two) =
        (Instance::new(&caller, delivery).await, Instance::new(&caller, delivery).await);
    known(&caller, &[&one.channel, &two.channel]).await;
    let channel = one.channel.clone();
    let hanging =
        tokio::spawn(async move { http::call(&channel, http::get("/known/hangs")).await });
    one.sick.store(true, Ordering::Relaxed);
    let calling = async {
        loop {
            let _ = one.call().await;
            two.call().await.answer();
        }
    };
    let cut_off =
        |event: &Event| matches!(event, Event::Applied(a) if a.kind == ActionKind::Quarantine);
    let event = tokio::select! {
        () = calling => return,
        event = told.wait_event(cut_off) => event,
    };
    let Event::Applied(action) = event else { panic!("{event:?}") };
    assert!(matches!(&action.edge, EdgeKey::Callee { id, .. } if *id == CALLEE), "{action:?}");
    let calls = one.calls.load(Ordering::Relaxed);
    let error = one.call().await.failed();
    assert_eq!(
        (error.kind(), error.outcome()),
        (&CallErrorKind::Restricted, Outcome::NotDelivered)
    );
    assert_eq!(one.calls.load(Ordering::Relaxed), calls, "nothing was sent");
    // A call that is given up does not make it one that answers.
    hanging.abort();
    soon(async {
        while caller.edges().iter().all(|edge| edge.window.unanswered == 0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The other one falls sick, too: it is the last.
    two.sick.store(true, Ordering::Relaxed);
    let refused =
        |event: &Event| matches!(event, Event::Refused { action: a, .. } if a.edge != action.edge);
    let calling = async {
        loop {
            assert_eq!(two.call().await.answer().0, StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    tokio::select! {
        () = calling => {}
        _ = told.wait_event(refused) => {}
    }
    assert_eq!(two.call().await.answer().0, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(caller.counts().balances());
}

/// A connection through a balancer ends where it ends: only another one may meet another instance.
#[tokio::test]
async fn a_sick_instance_behind_a_balancer_is_left_for_another_at_most_once_a_second() {
    const CALLS: usize = 50;
    for alpn in [Alpn::H2, Alpn::Http11] {
        let told = Told::default();
        let policy: Policy = policy(SICK).parse().unwrap();
        let builder = Mesh::dev(HONEST).unwrap().policy(policy).sink(told.clone());
        let caller = builder.cadence(QUICK).build().unwrap();
        let (one, two) = (Instance::new(&caller, "").await, Instance::new(&caller, "").await);
        let place = Balancer::new(vec![one.addr]).await;
        let channel = caller.channel(&format!("https://{}", place.addr), CALLEE).unwrap();
        let channel = channel.protocols(alpn);
        let call = || http::call(&channel, http::get("/known/1"));
        known(&caller, &[&channel, &two.channel]).await;
        one.sick.store(true, Ordering::Relaxed);
        let calling = async {
            loop {
                let _ = call().await;
                two.call().await.answer();
            }
        };
        let cut_off =
            |event: &Event| matches!(event, Event::Applied(a) if a.kind == ActionKind::Quarantine);
        tokio::select! {
            () = calling => return,
            _ = told.wait_event(cut_off) => {}
        }
        let (before, since) = (one.mesh.handshakes().completed(), Instant::now());
        for _ in 0..CALLS {
            assert_eq!(*call().await.failed().kind(), CallErrorKind::Restricted, "{alpn:?}");
        }
        // What is owed may want a connection of its own, besides.
        let left = one.mesh.handshakes().completed() - before;
        assert!(left <= 2 * (1 + since.elapsed().as_secs()), "{alpn:?}: {left}");
        place.move_to(two.addr);
        soon(async {
            while !matches!(call().await, http::Got::Answer(StatusCode::OK, _)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}
