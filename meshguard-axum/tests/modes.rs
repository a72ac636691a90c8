//! Peers that do not speak the delivery protocol: required, preferred, off.

#![allow(clippy::unwrap_used)]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use http::{Request, StatusCode};
use meshguard_axum::{
    CallErrorKind, Channel, Delivery, Evidence, Mesh, Policy, SessionError, serve,
};
use tower::ServiceExt as _;

const CALLEE: &str = "spiffe://modes.example/callee";
const CALLER: &str = "spiffe://modes.example/caller";

fn policy(mode: &str) -> Policy {
    let text = format!(
        "mesh = \"modes.example\"\nversion = 1\n[peers]\ncaller = \"{CALLER}\"\n\
         [[allow]]\nname = \"all\"\nfrom = [\"caller\"]\n[[delivery]]\nmode = \"{mode}\""
    );
    text.parse().unwrap()
}

fn mesh(id: &str, mode: &str) -> Mesh {
    Mesh::dev(id).unwrap().policy(policy(mode)).build().unwrap()
}

fn app() -> Router {
    Router::new().route("/", get(|| async { "hello" })).route(
        "/evidence",
        post(|d: axum::Extension<Delivery>, _: Bytes| async move { d.evidence().to_string() }),
    )
}

/// Serves in the mesh.
async fn meshed(callee: &Mesh, caller: &Mesh) -> Channel {
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    tokio::spawn(serve(listener, app()).into_future());
    caller.channel(&uri, CALLEE).unwrap()
}

/// Serves with the same identity, but without the delivery protocol.
async fn plain(callee: &Mesh, caller: &Mesh) -> Channel {
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    let serving = serve::serve(listener.into_connections(), app());
    tokio::spawn(serving.into_future());
    caller.channel(&uri, CALLEE).unwrap()
}

async fn get_status(channel: &Channel) -> Result<StatusCode, CallErrorKind> {
    let request = Request::get("/").body(Body::empty()).unwrap();
    let response = channel.clone().oneshot(request).await;
    response.map(|r| r.status()).map_err(|e| e.kind().clone())
}

#[tokio::test]
async fn where_it_is_required_an_unproven_request_is_unauthorized() {
    let (callee, caller) = (mesh(CALLEE, "require"), mesh(CALLER, "off"));
    let channel = meshed(&callee, &caller).await;
    assert_eq!(get_status(&channel).await, Ok(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn where_it_is_off_a_body_is_held_against_its_own_head_and_never_called_verified() {
    let (callee, caller) = (mesh(CALLEE, "off"), mesh(CALLER, "off"));
    let channel = meshed(&callee, &caller).await;
    let request = Request::post("/evidence").body(Body::from("x")).unwrap();
    let response = channel.clone().oneshot(request).await.unwrap();
    let body = axum::body::to_bytes(Body::new(response.into_body()), 100).await.unwrap();
    assert_eq!(body, Evidence::Length.as_str());
    let wrong = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:";
    let request = Request::post("/evidence").header("content-digest", wrong);
    let response = channel.oneshot(request.body(Body::from("x")).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(caller.counts().begun, 0, "what nothing proves is in no books");
}

#[tokio::test]
async fn where_it_is_required_a_callee_that_does_not_speak_it_is_not_called() {
    let (callee, caller) = (mesh(CALLEE, "require"), mesh(CALLER, "require"));
    let channel = plain(&callee, &caller).await;
    let error = get_status(&channel).await.unwrap_err();
    let not_spoken = SessionError::NotSpoken(StatusCode::NOT_FOUND);
    assert_eq!(error, CallErrorKind::Session(not_spoken));
}

#[tokio::test]
async fn where_it_is_preferred_the_first_success_binds_both_sides() {
    let (callee, caller) = (mesh(CALLEE, "prefer"), mesh(CALLER, "prefer"));
    let never_spoke = plain(&callee, &caller).await;
    assert_eq!(get_status(&never_spoke).await, Ok(StatusCode::OK));
    let speaks = meshed(&callee, &caller).await;
    assert_eq!(get_status(&speaks).await, Ok(StatusCode::OK));
    assert_eq!(caller.counts().delivered, 1);
    let silent_again = plain(&callee, &caller).await;
    assert_eq!(get_status(&silent_again).await, Err(CallErrorKind::Downgrade));
    let unproven = mesh(CALLER, "off");
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    tokio::spawn(serve(listener, app()).into_future());
    let channel = unproven.channel(&uri, CALLEE).unwrap();
    assert_eq!(get_status(&channel).await, Ok(StatusCode::UNAUTHORIZED));
}
