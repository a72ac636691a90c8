//! What a token let in lasts no longer than the token, nor than the trust in its key.

use std::fs;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use meshguard_axum::Tokens;
use meshguard_testing::TokenIssuer;
use serde_json::json;
use tower::ServiceExt as _;

use crate::shop::{AUDIENCE, ISSUER, Shop, WRITERS};

/// The answer without an end, after its first bytes.
async fn endless(shop: &Shop, token: &str) -> Body {
    let request = Request::get("/endless").header("authorization", format!("Bearer {token}"));
    let request = request.body(Body::empty()).unwrap();
    let answer = shop.channel.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = Body::new(answer.into_body());
    let first = body.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "first");
    body
}

async fn is_ended(mut body: Body) {
    let next = tokio::time::timeout(Duration::from_secs(20), body.frame()).await;
    assert!(next.expect("in time").expect("no clean end").is_err());
}

fn in_seconds(seconds: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_secs() + seconds
}

#[tokio::test]
async fn an_open_answer_ends_with_its_token() {
    let shop = Shop::with(WRITERS, |tokens| tokens.leeway(Duration::ZERO)).await;
    let long = endless(&shop, &shop.token(json!({}))).await;
    let short = endless(&shop, &shop.token(json!({ "exp": in_seconds(2) }))).await;
    is_ended(short).await;
    assert_eq!(shop.callee.streams_open(), 1, "the other one goes on");
    drop(long);
}

#[tokio::test]
async fn an_open_answer_ends_when_the_key_of_its_token_is_trusted_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let (old, new) = (TokenIssuer::new(ISSUER).unwrap(), TokenIssuer::new(ISSUER).unwrap());
    fs::write(&path, old.jwks()).unwrap();
    let tokens = Tokens::from_jwks_file(&path).unwrap().issuer(ISSUER).audience(AUDIENCE);
    let shop = Shop::of(WRITERS, old, tokens).await;
    let open = endless(&shop, &shop.token(json!({}))).await;
    fs::write(&path, new.jwks()).unwrap();
    shop.callee.reload().unwrap();
    is_ended(open).await;
}
