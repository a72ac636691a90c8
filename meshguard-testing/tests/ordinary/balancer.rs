//! A plain TCP balancer before two instances of a direct callee.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh};
use meshguard_testing::Protocol;

use crate::restarts::shapes::Shape;
use crate::rig::app::App;
use crate::rig::net::Balancer;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, grpc, http, soon, stock};

/// Instances of one callee behind a balancer, and a caller.
struct Balanced {
    instances: Vec<(Mesh, App, Told)>,
    place: Balancer,
    caller: Mesh,
}

impl Balanced {
    async fn new(instances: usize) -> Self {
        let policy = rig::policy("");
        let (mut all, mut to) = (Vec::new(), Vec::new());
        for _ in 0..instances {
            let (told, app) = (Told::default(), App::default());
            let mesh = rig::mesh(CALLEE, &policy, &told);
            to.push(rig::serve(&mesh, &app).await);
            all.push((mesh, app, told));
        }
        let caller = rig::mesh(CALLER, &policy, &Told::default());
        Self { instances: all, place: Balancer::new(to).await, caller }
    }

    fn channel(&self, alpn: Alpn) -> Channel {
        let uri = format!("https://{}", self.place.addr);
        self.caller.channel(&uri, CALLEE).unwrap().protocols(alpn)
    }

    /// Between calls: what is under way would be lost with its connection.
    async fn close_connections(&self) {
        self.instances.iter().for_each(|(_, app, _)| app.close_connections());
        self.place.empty().await;
    }

    /// Calls of each instance's application.
    fn calls(&self) -> Vec<usize> {
        self.instances.iter().map(|(_, app, _)| app.calls()).collect()
    }

    /// Each handshake of a session leaves one: none of these tests ends any.
    fn handshakes(&self) -> usize {
        self.instances.iter().map(|(mesh, _, _)| mesh.sessions_open()).sum()
    }

    /// All was delivered, every answer was confirmed, and nothing was found.
    async fn check(&self, calls: usize) {
        assert_eq!(self.calls().iter().sum::<usize>(), calls);
        let counts = self.caller.counts();
        assert!(counts.balances() && counts.open == 0, "{counts:?}");
        assert_eq!(counts.delivered, calls as u64, "{counts:?}");
        let confirmed =
            || self.instances.iter().map(|(mesh, _, _)| mesh.answers_confirmed()).sum::<u64>();
        soon(async {
            while confirmed() < calls as u64 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        for (_, _, told) in &self.instances {
            assert!(told.all().is_empty(), "{:?}", told.all());
        }
    }
}

/// Calls of these kinds in turn, `each` by each of `tasks` tasks.
async fn calls(channel: &Channel, shapes: &'static [Shape], tasks: usize, each: usize) {
    let running = (0..tasks).map(|task| {
        let channel = channel.clone();
        tokio::spawn(async move {
            for n in 0..each {
                let shape = shapes[(task + n) % shapes.len()];
                let got = shape.call(&channel).await;
                assert!(got.is_ok(), "{shape:?}, call {n} of task {task}: {got:?}");
            }
        })
    });
    for done in futures_util::future::join_all(running).await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_thousand_calls_over_http1_reach_both_instances_and_none_fails() {
    const SHAPES: &[Shape] = &[Shape::Get, Shape::Post, Shape::Upload, Shape::Get];
    let balanced = Balanced::new(2).await;
    let channel = balanced.channel(Alpn::Http11);
    calls(&channel, SHAPES, 10, 100).await;
    assert!(balanced.calls().iter().all(|calls| *calls > 100), "{:?}", balanced.calls());
    assert!(balanced.handshakes() <= 8, "{}", balanced.handshakes());
    balanced.check(1000).await;
}

#[tokio::test]
async fn a_thousand_calls_over_http2_connections_that_come_and_go_and_none_fails() {
    const SHAPES: &[Shape] = &[
        Shape::Get,
        Shape::Upload,
        Shape::Unary,
        Shape::Bidi,
        Shape::Post,
        Shape::ServerStream,
        Shape::ClientStream,
    ];
    let balanced = Balanced::new(2).await;
    let channel = balanced.channel(Alpn::H2);
    for _ in 0..10 {
        calls(&channel, SHAPES, 10, 10).await;
        balanced.close_connections().await;
    }
    assert!(balanced.calls().iter().all(|calls| *calls > 100), "{:?}", balanced.calls());
    assert!(balanced.handshakes() <= 8, "{}", balanced.handshakes());
    assert_eq!(balanced.calls().iter().sum::<usize>(), 1000);
    let counts = balanced.caller.counts();
    assert!(counts.balances() && counts.delivered == 1000, "{counts:?}");
}

/// Calls that go out together over a connection to the other instance learn that together: it says
/// nothing of the session's end.
#[tokio::test]
async fn calls_that_meet_another_instance_together_end_no_session() {
    let balanced = Balanced::new(2).await;
    let channel = balanced.channel(Alpn::H2);
    for _ in 0..6 {
        calls(&channel, &[Shape::Get], 32, 1).await;
        balanced.close_connections().await;
    }
    assert!(balanced.calls().iter().all(|calls| *calls >= 32), "{:?}", balanced.calls());
    assert_eq!(balanced.handshakes(), 2);
}

#[tokio::test]
async fn with_more_instances_than_sessions_calls_still_work() {
    const SHAPES: &[Shape] = &[Shape::Get, Shape::Upload, Shape::Post];
    let balanced = Balanced::new(10).await;
    let channel = balanced.channel(Alpn::Http11);
    calls(&channel, SHAPES, 20, 10).await;
    assert_eq!(balanced.calls().iter().sum::<usize>(), 200);
    assert!(balanced.caller.sessions_out() <= 8, "{}", balanced.caller.sessions_out());
}

#[tokio::test]
async fn the_stock_stack_works_over_the_balancer_too() {
    let apps = [App::default(), App::default()];
    let mut to: Vec<SocketAddr> = Vec::new();
    for app in &apps {
        to.push(stock::serve(app.router()).await);
    }
    let place = Balancer::new(to).await;
    let done = Arc::new(AtomicUsize::new(0));
    let running = (0..10).map(|task| {
        let (addr, done) = (place.addr, Arc::clone(&done));
        tokio::spawn(async move {
            let protocol = if task % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
            let mut client = stock::Client::connect(addr, protocol).await;
            for _ in 0..100 {
                let answer = soon(client.send(http::get("/known/10"))).await.unwrap();
                assert_eq!(answer.status(), StatusCode::OK);
                http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for joined in futures_util::future::join_all(running).await {
        joined.unwrap();
    }
    assert_eq!(done.load(Ordering::Relaxed), 1000);
    assert!(apps.iter().all(|app| app.calls() > 100));
    assert_eq!(grpc::client(stock::channel(place.addr), grpc::paced(5)).await.unwrap(), 5);
}
