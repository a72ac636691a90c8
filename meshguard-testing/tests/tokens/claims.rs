//! What a token says, and who may say it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Request, StatusCode};
use meshguard_axum::{Mesh, Tokens};
use meshguard_testing::TokenIssuer;
use serde_json::json;
use tower::ServiceExt as _;

use crate::shop::{AUDIENCE, CALLEE, ISSUER, Shop, WRITERS, challenged};

#[tokio::test]
async fn a_claim_decides() {
    let shop = Shop::new(WRITERS).await;
    assert_eq!(shop.with_bearer(&shop.token(json!({}))).await.status(), StatusCode::OK);
    let reader = shop.with_bearer(&shop.token(json!({ "scope": "orders:read" }))).await;
    assert_eq!(reader.status(), StatusCode::FORBIDDEN);
    assert_eq!(shop.why(&reader), "asks matched, but the claim scope has no value it needs");
    let nobody = shop.get(&[]).await;
    shop.refused(&nobody, "Bearer, DPoP algs=", "asks matched, but no token has the claim scope");
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_refused_for_its_own_reason() {
    let shop = Shop::new(WRITERS).await;
    let foreign = TokenIssuer::new(ISSUER).unwrap();
    let (none, hour) = (json!(null), 3600);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = now.as_secs();
    for (token, reason) in [
        (shop.token(json!({ "exp": now - hour })), "the token has expired"),
        (shop.token(json!({ "exp": "never" })), "the token's exp is malformed"),
        (shop.token(json!({ "nbf": now + hour })), "the token is not valid yet"),
        (shop.token(json!({ "nbf": "now" })), "the token's nbf is malformed"),
        (shop.token(json!({ "iss": "https://evil.example" })), "the token is of another issuer"),
        (shop.token(json!({ "iss": [ISSUER] })), "the token's iss is malformed"),
        (
            shop.token(json!({ "aud": "https://elsewhere.example" })),
            "the token is for another audience",
        ),
        (shop.token(json!({ "aud": [] })), "the token is for another audience"),
        (shop.token(json!({ "aud": none })), "the token's aud is malformed"),
        (foreign.token(json!({ "aud": AUDIENCE })), "the token's key is not known"),
        ("a.b".into(), "the token does not have three parts"),
        ("a.b.c".into(), "the token's header is malformed"),
        // {"alg":"none"}
        ("eyJhbGciOiJub25lIn0.e30.".into(), "the token's alg is not accepted"),
    ] {
        let answer = shop.with_bearer(&token).await;
        shop.refused(&answer, "Bearer error=\"invalid_token\"", reason);
    }
}

#[tokio::test]
async fn a_request_has_one_token() {
    let shop = Shop::new(WRITERS).await;
    let bearer = format!("Bearer {}", shop.token(json!({})));
    for headers in [
        vec![("authorization", &*bearer), ("authorization", &*bearer)],
        vec![("authorization", "Bearer")],
        vec![("authorization", "Bearer a, Bearer b")],
    ] {
        let answer = shop.get(&headers).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{headers:?}");
        assert_eq!(challenged(&answer), "Bearer error=\"invalid_request\"");
    }
    // Another scheme is the application's; there are no claims.
    let other = shop.get(&[("authorization", "Basic YTpi")]).await;
    assert_eq!(shop.why(&other), "asks matched, but no token has the claim scope");
}

#[tokio::test]
async fn grpc_is_told_in_its_own_words() {
    let shop = Shop::new(WRITERS).await;
    let request = Request::post("/orders.v1.Orders/Get").header("content-type", "application/grpc");
    let request = request.header("authorization", "Bearer a.b.c").body(Body::empty()).unwrap();
    let answer = shop.channel.clone().oneshot(request).await.unwrap().map(drop);
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["grpc-status"], HeaderValue::from_static("16"));
    assert_eq!(challenged(&answer), "Bearer error=\"invalid_token\"");
    assert_eq!(shop.why(&answer), "the token's header is malformed");
}

#[tokio::test]
async fn a_policy_that_asks_for_no_token_looks_at_none() {
    let shop = Shop::new("").await;
    assert_eq!(shop.with_bearer("no.such.token").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_service_that_verifies_no_tokens_has_no_claims() {
    let shop = Shop::new(WRITERS).await;
    let policy = crate::shop::policy(WRITERS).parse().unwrap();
    let plain = Mesh::dev(CALLEE).unwrap().policy(policy).build().unwrap();
    let listener = plain.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    tokio::spawn(meshguard_axum::serve(listener, axum::Router::new()).into_future());
    let caller = crate::shop::mesh(&shop.ca, &shop.svid, "");
    let channel = caller.channel(&uri, CALLEE).unwrap();
    let bearer = format!("Bearer {}", shop.token(json!({})));
    let answer = crate::shop::get(&channel, &[("authorization", &bearer)]).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

/// As configuration is rolled out: a new file in the old one's place.
fn put(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, path).unwrap();
}

#[tokio::test]
async fn keys_that_are_replaced_verify_nothing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let (old, new) = (TokenIssuer::new(ISSUER).unwrap(), TokenIssuer::new(ISSUER).unwrap());
    put(&path, &old.jwks());
    let tokens = Tokens::from_jwks_file(&path).unwrap().issuer(ISSUER).audience(AUDIENCE);
    let shop = Shop::of(WRITERS, old, tokens).await;
    let (before, after) = (
        shop.token(json!({})),
        new.token(json!({
            "aud": AUDIENCE, "scope": "orders:write",
        })),
    );
    assert_eq!(shop.with_bearer(&before).await.status(), StatusCode::OK);
    assert_eq!(shop.with_bearer(&after).await.status(), StatusCode::UNAUTHORIZED);

    put(&path, "{\"keys\": []}");
    let refused = shop.callee.reload().unwrap_err().to_string();
    assert_eq!(refused, "no key that can be used");
    assert_eq!(shop.with_bearer(&before).await.status(), StatusCode::OK, "the last good ones hold");

    put(&path, &new.jwks());
    let taken = async { while shop.with_bearer(&after).await.status() != StatusCode::OK {} };
    tokio::time::timeout(Duration::from_secs(20), taken).await.unwrap();
    let answer = shop.with_bearer(&before).await;
    shop.refused(&answer, "Bearer error=\"invalid_token\"", "the token's key is not known");
}

#[tokio::test]
async fn what_tokens_are_verified_by_has_to_be_said() {
    let issuer = TokenIssuer::new(ISSUER).unwrap();
    let build = |tokens: Tokens| Mesh::dev(CALLEE).unwrap().tokens(tokens).build();
    let tokens = || Tokens::from_jwks(&issuer.jwks()).unwrap();
    let why = |built: Result<Mesh, _>| {
        built.map(drop).map_err(|e: meshguard_axum::BuildError| e.to_string())
    };
    let unnamed = why(build(tokens().audience(AUDIENCE))).unwrap_err();
    assert_eq!(unnamed, "no issuer of tokens: name one with issuer()");
    let unnamed = why(build(tokens().issuer(ISSUER))).unwrap_err();
    assert_eq!(unnamed, "no audience of tokens: name one with audience()");
    assert_eq!(why(build(tokens().issuer(ISSUER).audience(AUDIENCE))), Ok(()));
}
