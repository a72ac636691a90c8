//! 205 Reset Content: nothing should be in it (RFC 9110 §15.3.6), but HTTP gives it a body as it does
//! to any status (RFC 9112 §6.3), and what a handler puts there arrives.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use http_body_util::BodyExt as _;
use meshguard_axum::tls::Alpn;
use meshguard_testing::Protocol;

use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, MAC, SEALED, http, soon, stock};

const PATHS: [&str; 3] = ["/empty", "/known", "/stream"];

fn app() -> Router {
    let stream = || async { (StatusCode::RESET_CONTENT, http::halves(&http::pattern(40))) };
    Router::new()
        .route("/empty", get(|| async { StatusCode::RESET_CONTENT }))
        .route("/known", get(|| async { (StatusCode::RESET_CONTENT, "anew") }))
        .route("/stream", get(stream))
}

/// What the stock stack makes of it.
async fn stock(protocol: Protocol) -> Vec<(StatusCode, axum::body::Bytes)> {
    let mut client = stock::Client::connect(stock::serve(app()).await, protocol).await;
    let mut all = Vec::new();
    for path in PATHS {
        let request = http::request(Method::GET, path, Body::empty());
        let answer = soon(client.send(request)).await.unwrap();
        let status = answer.status();
        all.push((status, soon(answer.into_body().collect()).await.unwrap().to_bytes()));
    }
    all
}

#[tokio::test]
async fn a_205_arrives_as_on_the_stock_stack() {
    for (protocol, alpn) in [(Protocol::Http1, Alpn::Http11), (Protocol::Http2, Alpn::H2)] {
        let want = stock(protocol).await;
        assert_eq!(want[1].1, "anew");
        for suite in [MAC, SEALED] {
            let policy = rig::policy(suite);
            let callee = rig::mesh(CALLEE, &policy, &Told::default());
            let listener = callee.listen("127.0.0.1:0").await.unwrap();
            let uri = format!("https://{}", listener.local_addr());
            tokio::spawn(meshguard_axum::serve(listener, app()).into_future());
            let caller = rig::mesh(CALLER, &policy, &Told::default());
            let channel = caller.channel(&uri, CALLEE).unwrap().protocols(alpn);
            for (path, want) in PATHS.into_iter().zip(&want) {
                let got = http::call(&channel, http::get(path)).await.answer();
                assert_eq!(got, *want, "{path} {suite} {alpn:?}");
            }
        }
    }
}
