//! Before a body goes out that cannot be sent again, its callee is asked whether it knows the
//! session: once for all who wait, never for long, and never while the session answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Request;
use hyper::body::{Body as _, Incoming};
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh};
use tower::{Layer as _, ServiceExt as _};

use super::shapes::Shape;
use crate::rig::app::App;
use crate::rig::net::Balancer;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER};

/// What stands before a callee: counts who asks, and may never answer them.
#[derive(Clone, Default)]
struct Desk {
    asked: Arc<AtomicUsize>,
    silent: Arc<AtomicBool>,
}

impl Desk {
    async fn serve(&self, callee: &Mesh, app: &App) -> SocketAddr {
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let (desk, inner) = (self.clone(), callee.inbound().layer(app.router()));
        let outer = tower::service_fn(move |request: Request<Incoming>| {
            let (desk, inner) = (desk.clone(), inner.clone());
            async move {
                if request.uri().path().ends_with("/receipts") && request.body().is_end_stream() {
                    desk.asked.fetch_add(1, Ordering::SeqCst);
                    if desk.silent.load(Ordering::SeqCst) {
                        std::future::pending::<()>().await;
                    }
                }
                let answer: Result<_, Infallible> = inner.oneshot(request).await;
                answer
            }
        });
        let serve = meshguard_axum::serve::serve(listener.into_connections(), outer);
        tokio::spawn(async move { serve.await.unwrap() });
        addr
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A channel with a session, and no connection.
async fn idle(alpn: Alpn, desk: &Desk) -> (Channel, App, Balancer, [Mesh; 2]) {
    let (policy, app) = (rig::policy(""), App::default());
    let callee = rig::mesh(CALLEE, &policy, &Told::default());
    let caller = rig::mesh(CALLER, &policy, &Told::default());
    let place = Balancer::new(vec![desk.serve(&callee, &app).await]).await;
    let channel = caller.channel(&format!("https://{}", place.addr), CALLEE).unwrap();
    let channel = channel.protocols(alpn);
    Shape::Get.call(&channel).await.unwrap();
    app.close_connections();
    place.empty().await;
    (channel, app, place, [caller, callee])
}

async fn uploads(channel: &Channel, n: usize) {
    let calls = (0..n).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move { Shape::Upload.call(&channel).await })
    });
    for got in futures_util::future::join_all(calls).await {
        got.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_callee_is_asked_once_for_all_who_wait_and_not_again() {
    let desk = Desk::default();
    let (channel, app, _place, meshes) = idle(Alpn::H2, &desk).await;
    assert_eq!(desk.asked(), 0, "nothing that can be sent again asks");
    uploads(&channel, 20).await;
    assert_eq!(desk.asked(), 1);
    uploads(&channel, 20).await;
    assert_eq!((desk.asked(), app.calls()), (1, 41), "its session has answered just now");
    assert_eq!(meshes[1].sessions_open(), 1);
}

#[tokio::test]
async fn each_new_connection_of_http1_asks_once() {
    let desk = Desk::default();
    let (channel, app, _place, meshes) = idle(Alpn::Http11, &desk).await;
    for _ in 0..3 {
        uploads(&channel, 1).await;
    }
    assert_eq!((desk.asked(), app.calls()), (1, 4));
    assert_eq!(meshes[1].sessions_open(), 1);
}

/// Six seconds by the clock of timers and sessions, in no time.
async fn six_seconds() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_session_that_was_silent_for_seconds_is_asked_for_over_a_live_connection_too() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let desk = Desk::default();
        let (channel, app, _place, meshes) = idle(alpn, &desk).await;
        uploads(&channel, 1).await;
        assert_eq!(desk.asked(), 1, "the connection was new");
        six_seconds().await;
        Shape::Get.call(&channel).await.unwrap();
        uploads(&channel, 1).await;
        assert_eq!(desk.asked(), 1, "its session has answered just now");
        six_seconds().await;
        // It has ended meanwhile, which nobody has told the caller.
        let covers = "[[allow]]\nname = \"tenants\"\nfrom = [\"caller\"]\n\
                      when = { headers = { x-tenant = \"acme\" } }\n";
        meshes[1].set_policy(rig::policy(covers).parse().unwrap());
        uploads(&channel, 1).await;
        assert_eq!((desk.asked(), app.calls()), (2, 5), "over {alpn:?}");
    }
}

#[tokio::test]
async fn a_callee_that_does_not_say_holds_calls_back_for_two_seconds_and_fails_none() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let desk = Desk::default();
        let (channel, app, _place, _meshes) = idle(alpn, &desk).await;
        desk.silent.store(true, Ordering::SeqCst);
        let began = std::time::Instant::now();
        uploads(&channel, 5).await;
        let waited = began.elapsed();
        // All at once: not two seconds each.
        let most = Duration::from_secs(8);
        assert!(waited >= Duration::from_secs(2) && waited < most, "{waited:?} over {alpn:?}");
        assert_eq!(app.calls(), 6);
    }
}
