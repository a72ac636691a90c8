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
use meshguard_axum::{Channel, Delivery, Evidence, Mesh, Peer, Policy, Tokens, Verified};
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
            // Of a sealed body that nobody reads, not all need have come by the answer's end.
            assert_eq!(counts.begun, counts.delivered + counts.answered_early, "{counts:?}");
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
async fn a_body_that_nobody_proves_says_which_evidence_it_lacks_and_what_would_give_it() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let (channel, _caller, _callee) = pair("[[delivery]]\nmode = \"off\"", alpn).await;
        let request = Request::post("/json").header("content-type", "application/json");
        let response = channel.oneshot(request.body(Body::from("41")).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        for said in ["`verified`", "`length`", "mode = \"off\"", "`mode = \"require\"`"] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}

/// A public key (RFC 7517 appendix A.1) of an issuer whose tokens nobody has.
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

/// In a document that services share, another one's rules ask for tokens. Here `Authorization`
/// is the application's alone.
#[tokio::test]
async fn what_a_shared_document_asks_of_another_service_is_not_asked_here() {
    for (asked, expected) in [("other", StatusCode::OK), ("orders", StatusCode::UNAUTHORIZED)] {
        let text = format!(
            "mesh = \"calls.example\"\nversion = 1\n[peers]\ncheckout = \"{CHECKOUT}\"\n\
             orders = \"{ORDERS}\"\nother = \"spiffe://calls.example/other\"\n\
             [[allow]]\nname = \"all\"\nfrom = [\"checkout\"]\nto = [\"orders\", \"other\"]\n\
             http = [\"* /hello\"]\n\
             [[allow]]\nname = \"asks\"\nto = [\"{asked}\"]\nhttp = [\"GET /other\"]\n\
             when = {{ claims = {{ scope = [\"x\"] }} }}\n"
        );
        let policy = || text.parse::<Policy>().unwrap();
        let tokens = Tokens::from_jwks(JWKS).unwrap().issuer("https://a").audience("b");
        let callee = Mesh::dev(ORDERS).unwrap().policy(policy()).tokens(tokens).build().unwrap();
        let caller = Mesh::dev(CHECKOUT).unwrap().policy(policy()).build().unwrap();
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        tokio::spawn(meshguard_axum::serve(listener, app()).into_future());
        let channel = caller.channel(&format!("https://{addr}"), ORDERS).unwrap();
        // Also under a document that comes later.
        for _ in 0..2 {
            let request = Request::get("/hello").header("authorization", "Bearer the-apps-own");
            let request = request.body(Body::empty()).unwrap();
            let response = channel.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), expected, "{asked}");
            callee.set_policy(policy());
        }
    }
}

#[tokio::test]
async fn a_body_that_did_not_come_through_the_mesh_says_so() {
    let app = Router::new().route(
        "/json",
        post(|body: Result<Verified<Json<u64>>, _>| async move {
            let error: meshguard_axum::VerifiedRejection<_> = body.err().unwrap();
            error.to_string()
        }),
    );
    let request = Request::post("/json").body(Body::from("41")).unwrap();
    let response = app.oneshot(request).await.unwrap();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert!(text.starts_with(b"the request did not come through the mesh"), "{text:?}");
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
