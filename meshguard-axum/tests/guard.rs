//! What is served is guarded, whichever way it was put together.

#![allow(clippy::unwrap_used, clippy::panic)]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use meshguard_axum::{Access, CallErrorKind, Channel, Decision, Mesh, Peer, Policy, Reason};
use tower::ServiceExt as _;

const CALLEE: &str = "spiffe://guard.example/callee";
const CALLER: &str = "spiffe://guard.example/caller";

fn policy() -> Policy {
    let text = format!(
        "mesh = \"guard.example\"\nversion = 3\n[peers]\ncaller = \"{CALLER}\"\n\
         [[allow]]\nname = \"open\"\nfrom = [\"caller\"]\nhttp = [\"* /open/{{**}}\"]"
    );
    text.parse().unwrap()
}

fn mesh(id: &str) -> Mesh {
    Mesh::dev(id).unwrap().policy(policy()).build().unwrap()
}

async fn served(callee: &Mesh, app: Router) -> (Channel, Mesh) {
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    tokio::spawn(meshguard_axum::serve(listener, app).into_future());
    let caller = mesh(CALLER);
    (caller.channel(&uri, CALLEE).unwrap(), caller)
}

async fn call(channel: &Channel, method: Method, path: &str, body: &str) -> (StatusCode, Bytes) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = channel.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn routes_and_fallbacks_added_after_a_layer_are_guarded_all_the_same() {
    let callee = mesh(CALLEE);
    let app = Router::new()
        .route("/open/before", get(|| async { "before" }))
        .layer(callee.inbound())
        .route("/open/after", get(|| async { "after" }))
        .route("/closed", get(|| async { "never" }))
        .nest("/open/nested", Router::new().route("/a", get(|| async { "nested" })))
        .fallback(|| async { "never" });
    let (channel, _caller) = served(&callee, app).await;
    for (path, want) in
        [("/open/before", "before"), ("/open/after", "after"), ("/open/nested/a", "nested")]
    {
        assert_eq!(call(&channel, Method::GET, path, "").await, (StatusCode::OK, want.into()));
    }
    for path in ["/closed", "/elsewhere", "/"] {
        assert_eq!(call(&channel, Method::GET, path, "").await.0, StatusCode::FORBIDDEN, "{path}");
    }
    for path in ["/open/../closed", "/open//before", "/open/%2e%2e/closed", "/open/a%2fb"] {
        assert_eq!(
            call(&channel, Method::GET, path, "").await.0,
            StatusCode::BAD_REQUEST,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_layer_of_the_users_own_is_idle_and_bodies_pass_through_it() {
    let callee = mesh(CALLEE);
    let app = Router::new()
        .route("/open/echo", post(|body: Bytes| async move { body }))
        .route(
            "/open/who",
            get(|Peer(peer): Peer, Decision(why): Decision| async move {
                assert_eq!(why.reason(), Reason::Rule("open"));
                assert_eq!((why.route(), why.policy_version()), (Some("/open/{**}"), 3));
                peer.id().to_string()
            }),
        )
        .layer(callee.inbound());
    let (channel, caller) = served(&callee, app).await;
    assert_eq!(call(&channel, Method::POST, "/open/echo", "x").await, (StatusCode::OK, "x".into()));
    assert_eq!(call(&channel, Method::GET, "/open/who", "").await.1, CALLER);
    assert_eq!(caller.counts().delivered, 2);
}

#[tokio::test]
async fn a_layer_without_the_meshs_own_socket_lets_nobody_in() {
    let app =
        Router::new().route("/open/a", get(|| async { "never" })).layer(mesh(CALLEE).inbound());
    let response = app.oneshot(Request::get("/open/a").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_extractor_without_the_mesh_says_so() {
    let app = Router::new().route("/", get(|_: Peer| async { "never" }));
    let response = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_refusal_has_a_number_that_its_operator_can_look_up() {
    let callee = mesh(CALLEE);
    let (channel, _caller) = served(&callee, Router::new()).await;
    let request = Request::get("/closed?q=1").body(Body::empty()).unwrap();
    let response = channel.oneshot(request).await.unwrap();
    let number = response.headers()["meshguard-decision"].to_str().unwrap();
    let id = meshguard_axum::DecisionId::parse(number).unwrap();
    let explanation = callee.explain(id).unwrap();
    assert_eq!(explanation.asked, "GET /closed");
    assert_eq!(explanation.from.as_deref(), Some(CALLER));
    assert_eq!(explanation.policy_version, 3);
    let caller = CALLER.parse().unwrap();
    let reason = policy().decide(&Access::http("GET", "/closed").by(&caller)).reason().to_string();
    assert_eq!(explanation.reason, reason);
}

#[tokio::test]
async fn a_header_that_a_new_policy_asks_for_is_covered_from_the_next_call_on() {
    let callee = mesh(CALLEE);
    let app = Router::new().route("/open/a", get(|| async { "let in" }));
    let (channel, _caller) = served(&callee, app).await;
    let with = |tenant: Option<&str>| {
        let request = Request::get("/open/a");
        let request = tenant.into_iter().fold(request, |r, t| r.header("x-tenant", t));
        channel.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    assert_eq!(with(None).await.unwrap().status(), StatusCode::OK);
    let text = format!(
        "mesh = \"guard.example\"\nversion = 4\n[peers]\ncaller = \"{CALLER}\"\n\
         [[allow]]\nname = \"tenants\"\nfrom = [\"caller\"]\n\
         when = {{ headers = {{ x-tenant = \"acme-*\" }} }}"
    );
    callee.set_policy(text.parse().unwrap());
    assert_eq!(with(Some("acme-eu")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(with(Some("globex")).await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(with(None).await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_channel_accepts_nobody_but_its_callee() {
    let callee = mesh(CALLEE);
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    tokio::spawn(meshguard_axum::serve(listener, Router::new()).into_future());
    let channel = mesh(CALLER).channel(&uri, "spiffe://guard.example/another").unwrap();
    let error = channel.oneshot(Request::get("/open/a").body(Body::empty()).unwrap()).await;
    let error = error.err().unwrap();
    assert_eq!(*error.kind(), CallErrorKind::Connect, "{error}");
    assert!(
        error.to_string().contains("another SPIFFE ID") || error.to_string().contains("wrong"),
        "{error}"
    );
}
