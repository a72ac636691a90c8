//! What a handshake may take of the callee.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use meshguard_axum::tls::Alpn;
use tower::ServiceExt as _;

use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, Rig, http, soon};

const SESSION: &str = "/.well-known/meshguard/session";
const LIMIT: usize = 16 * 1024;

/// Posts what may be a handshake's body, without the protocol's help.
async fn post(rig: &Rig, bytes: usize) -> (StatusCode, HeaderMap) {
    let off = rig::policy("[[delivery]]\nmode = \"off\"\n");
    let caller = rig::mesh(CALLER, &off, &Told::default());
    let channel = caller.channel(&format!("https://{}", rig.addr), CALLEE).unwrap();
    let request = http::post(SESSION, http::pattern(bytes));
    let answer = soon(channel.protocols(Alpn::H2).oneshot(request)).await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    soon(answer.into_body().collect()).await.unwrap();
    (status, headers)
}

#[tokio::test]
async fn a_handshake_body_has_its_limit() {
    let rig = Rig::new("", Alpn::H2).await;
    let (status, _) = post(&rig, LIMIT).await;
    // Read, and no TLS.
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(rig.at_callee.named("too-large").is_empty());
    let (status, _) = post(&rig, LIMIT + 1).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    rig.at_callee.wait("too-large").await;
    assert_eq!(rig.callee.sessions_open(), 0);
}

#[tokio::test]
async fn only_posts_reach_the_protocols_own_paths_and_never_the_application() {
    let rig = Rig::new("", Alpn::H2).await;
    let off = rig::policy("[[delivery]]\nmode = \"off\"\n");
    let caller = rig::mesh(CALLER, &off, &Told::default());
    let channel = caller.channel(&format!("https://{}", rig.addr), CALLEE).unwrap();
    for (request, status) in [
        (http::get(SESSION), StatusCode::METHOD_NOT_ALLOWED),
        (http::post("/.well-known/meshguard/other", ""), StatusCode::NOT_FOUND),
        (http::post("/.well-known/meshguard/receipts", ""), StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(http::call(&channel, request).await.answer().0, status);
    }
    assert_eq!(rig.app.calls(), 0);
}

#[tokio::test]
async fn receipts_that_are_none_are_refused() {
    let rig = Rig::new("", Alpn::H2).await;
    // Proven, but no receipts: the channel proves whatever it is asked to send.
    let channel = rig.caller.channel(&format!("https://{}", rig.addr), CALLEE).unwrap();
    let got = http::call(&channel, http::post("/.well-known/meshguard/receipts", "none")).await;
    assert_eq!(got.answer().0, StatusCode::BAD_REQUEST);
    let (name, value) = (HeaderName::from_static("x-note"), HeaderValue::from_static("1"));
    let mut request = http::get("/known/10");
    request.headers_mut().insert(name, value);
    assert_eq!(http::call(&channel, request).await.answer().0, StatusCode::OK);
}
