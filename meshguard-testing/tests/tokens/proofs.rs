//! Tokens that are bound to a key (RFC 9449).

use http::StatusCode;
use meshguard_testing::DpopKey;
use serde_json::json;

use crate::shop::{HOLDERS, Shop, challenged};

#[tokio::test]
async fn a_token_with_a_proof_of_its_key_is_let_in() {
    let shop = Shop::new(HOLDERS).await;
    let token = shop.bound();
    for _ in 0..2 {
        let answer = shop.with_proof(&token, &shop.proof(&token)).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_proof_that_was_used_is_refused() {
    let shop = Shop::new(HOLDERS).await;
    let token = shop.bound();
    let proof = shop.proof(&token);
    assert_eq!(shop.with_proof(&token, &proof).await.status(), StatusCode::OK);
    let again = shop.with_proof(&token, &proof).await;
    shop.refused(&again, "DPoP error=\"invalid_dpop_proof\"", "the proof was used before");
    assert!(challenged(&again).contains("algs=\"ES256 ES384 EdDSA PS256 RS256\""));
}

#[tokio::test]
async fn a_proof_of_something_else_is_refused_for_its_own_reason() {
    let shop = Shop::new(HOLDERS).await;
    let token = shop.bound();
    let sound = shop.key.claims("GET", &shop.target(), &token);
    for (claim, value, reason) in [
        ("htm", json!("POST"), "the proof is for another method"),
        ("htu", json!(format!("{}/orders/8", shop.uri)), "the proof is for another target"),
        ("htu", json!("https://elsewhere.example/orders/7"), "the proof is for another target"),
        (
            "ath",
            json!("fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"),
            "the proof is for another token",
        ),
        ("iat", json!(1_562_262_618), "the proof is too old"),
        ("iat", json!(9_562_262_618_u64), "the proof is from the future"),
        ("jti", json!(""), "the proof's jti is empty or too long"),
    ] {
        let mut claims = sound.clone();
        claims[claim] = value;
        let answer = shop.with_proof(&token, &shop.key.sign(&claims)).await;
        shop.refused(&answer, "DPoP error=\"invalid_dpop_proof\"", reason);
    }
    // None of these has used the number up.
    assert_eq!(shop.with_proof(&token, &shop.key.sign(&sound)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_of_another_key_is_refused() {
    let shop = Shop::new(HOLDERS).await;
    let (token, thief) = (shop.bound(), DpopKey::new().unwrap());
    let proof = thief.proof("GET", &shop.target(), &token);
    let answer = shop.with_proof(&token, &proof).await;
    shop.refused(&answer, "DPoP error=\"invalid_token\"", "the token is bound to another key");
}

#[tokio::test]
async fn a_bound_token_does_not_come_as_a_bearer_token_nor_without_its_proof() {
    let shop = Shop::new(HOLDERS).await;
    let token = shop.bound();
    let answer = shop.with_bearer(&token).await;
    let reason = "the token is bound to a key and came as a bearer token";
    shop.refused(&answer, "DPoP error=\"invalid_token\"", reason);
    let (dpop, proof) = (format!("DPoP {token}"), shop.proof(&token));
    let answer = shop.get(&[("authorization", &dpop)]).await;
    shop.refused(&answer, "DPoP error=\"invalid_dpop_proof\"", "there is no DPoP proof");
    let twice = shop.get(&[("authorization", &dpop), ("dpop", &proof), ("dpop", &proof)]).await;
    shop.refused(&twice, "DPoP error=\"invalid_dpop_proof\"", "there is more than one DPoP proof");
    assert_eq!(shop.with_proof(&token, &proof).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_that_is_bound_to_nothing_gains_nothing_by_a_proof() {
    let shop = Shop::new(HOLDERS).await;
    let token = shop.token(json!({}));
    let answer = shop.with_proof(&token, &shop.proof(&token)).await;
    let reason = "the token is bound to no key and came with a proof";
    shop.refused(&answer, "DPoP error=\"invalid_token\"", reason);
    let answer = shop.with_bearer(&token).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN, "it holds, and proves nothing");
    let token = shop.token(json!({ "cnf": { "kid": "7" } }));
    let answer = shop.with_bearer(&token).await;
    let reason = "the token is bound by what is not understood";
    shop.refused(&answer, "Bearer error=\"invalid_token\"", reason);
}

#[tokio::test]
async fn where_no_more_proofs_are_remembered_none_is_taken() {
    let shop = Shop::with(HOLDERS, |tokens| tokens.remember_proofs(4)).await;
    let bound = |key: &DpopKey| shop.token(json!({ "cnf": { "jkt": key.thumbprint() } }));
    let ask = async |key: &DpopKey| {
        let token = bound(key);
        shop.with_proof(&token, &key.proof("GET", &shop.target(), &token)).await
    };
    assert_eq!(ask(&shop.key).await.status(), StatusCode::OK);
    let share = ask(&shop.key).await;
    assert_eq!(share.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(shop.why(&share), "too many proofs of this caller are remembered already");
    // Another key is the same caller's.
    let other = ask(&DpopKey::new().unwrap()).await;
    assert_eq!(other.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(shop.why(&other), "too many proofs of this caller are remembered already");
}
