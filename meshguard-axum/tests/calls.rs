//! Calls between services on real sockets: every kind of body, every suite, both HTTP versions.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use futures_util::StreamExt as _;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Delivery, Evidence, Mesh, Peer, Policy, Verified};
use tower::ServiceExt as _;

const ORDERS: &str = "spiffe://calls.example/orders";
const CHECKOUT: &str = "spiffe://calls.example/checkout";

fn policy(delivery: &str) -> Policy {
    let text = format!(
        "mesh = \"calls.example\"\nversion = 1\n[peers]\ncheckout = \"{CHECKOUT}\"\n\
         [[allow]]\nname = \"all\"\nfrom = [\"checkout\"]\n{delivery}"
    );
    text.parse().unwrap()
}

fn app() -> Router {
    Router::new()
        .route("/hello", get(|Peer(peer): Peer| async move { peer.id().to_string() }))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/json", post(|Verified(Json(v)): Verified<Json<u64>>| async move { Json(v + 1) }))
        .route("/stream", post(|body: Body| async move { body }))
        .route("/ignore", any(|| async { "ignored" }))
        .route("/empty", any(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/evidence",
            get(|request: Request| async move {
                let delivery = request.extensions().get::<Delivery>().unwrap();
                assert_eq!(delivery.evidence(), Evidence::Verified);
            }),
        )
}

/// A served app and a channel to it.
async fn pair(delivery: &str, alpn: Alpn) -> (Channel, Mesh, Mesh) {
    let callee = Mesh::dev(ORDERS).unwrap().policy(policy(delivery)).build().unwrap();
    let caller = Mesh::dev(CHECKOUT).unwrap().policy(policy(delivery)).build().unwrap();
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr();
    tokio::spawn(meshguard_axum::serve(listener, app()).into_future());
    let channel = caller.channel(&format!("https://{addr}"), ORDERS).unwrap().protocols(alpn);
    (channel, caller, callee)
}

async fn send(channel: &Channel, method: Method, path: &str, body: Body) -> (StatusCode, Bytes) {
    let request = Request::builder().method(method).uri(path).body(body).unwrap();
    let response = channel.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

const DELIVERIES: [&str; 4] = [
    "",
    "[[delivery]]\nseal = true",
    "[[delivery]]\ntranscript = \"blake3\"",
    "[[delivery]]\nseal = true\ntranscript = \"blake3\"",
];

#[tokio::test]
async fn every_kind_of_body_arrives_in_every_suite_over_both_http_versions() {
    for delivery in DELIVERIES {
        for alpn in [Alpn::H2, Alpn::Http11] {
            println!("{delivery:?} {alpn:?}");
            let (channel, caller, _callee) = pair(delivery, alpn).await;
            let hello = send(&channel, Method::GET, "/hello", Body::empty()).await;
            assert_eq!(hello, (StatusCode::OK, CHECKOUT.into()));
            for length in [0, 1, 1000, 65_536, 65_537, 1 << 20] {
                let body: Bytes = (0..length).map(|i| (i * 7) as u8).collect::<Vec<_>>().into();
                if length <= 65_537 {
                    let echo = send(&channel, Method::POST, "/echo", body.clone().into()).await;
                    assert_eq!(echo, (StatusCode::OK, body.clone()), "{length}");
                }
                let chunks: Vec<_> = body.chunks(5000).map(Bytes::copy_from_slice).collect();
                let stream = futures_util::stream::iter(chunks).then(|chunk| async move {
                    tokio::task::yield_now().await;
                    Ok::<_, std::io::Error>(chunk)
                });
                let streamed = Body::from_stream(Box::pin(stream));
                let echo = send(&channel, Method::POST, "/stream", streamed).await;
                assert_eq!(echo, (StatusCode::OK, body), "{length}");
            }
            for path in ["/ignore", "/empty"] {
                for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
                    let (status, _) = send(&channel, method, path, Body::from("ignored")).await;
                    assert!(status.is_success(), "{path}");
                }
            }
            send(&channel, Method::GET, "/evidence", Body::empty()).await;
            let counts = caller.counts();
            assert!(counts.balances(), "{counts:?}");
            assert_eq!(counts.begun, counts.delivered, "{counts:?}");
        }
    }
}

#[tokio::test]
async fn a_verified_json_body_is_extracted() {
    let (channel, _caller, _callee) = pair("", Alpn::H2).await;
    let request = Request::post("/json").header("content-type", "application/json");
    let response = channel.oneshot(request.body(Body::from("41")).unwrap()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "42");
}

#[tokio::test]
async fn concurrent_first_calls_share_one_session_and_end_in_the_books() {
    let (channel, caller, callee) = pair("", Alpn::Both).await;
    let done = Arc::new(Mutex::new(0));
    let calls = (0..100).map(|_| {
        let (channel, done) = (channel.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let hello = send(&channel, Method::GET, "/hello", Body::empty()).await;
            assert_eq!(hello.0, StatusCode::OK);
            *done.lock().unwrap() += 1;
        })
    });
    futures_util::future::join_all(calls).await.into_iter().for_each(|r| r.unwrap());
    assert_eq!(*done.lock().unwrap(), 100);
    assert_eq!(callee.sessions_open(), 1);
    assert_eq!((caller.counts().begun, caller.counts().delivered), (100, 100));
}
