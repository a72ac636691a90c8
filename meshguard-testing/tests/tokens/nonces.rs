//! Nonces that the service hands out (RFC 9449 §9).

use std::time::Duration;

use http::{Response, StatusCode};
use serde_json::json;

use crate::shop::{HOLDERS, Shop};

fn handed_out(answer: &Response<()>) -> Option<String> {
    Some(answer.headers().get("dpop-nonce")?.to_str().unwrap().to_owned())
}

async fn with_nonce(shop: &Shop, nonce: &str) -> Response<()> {
    let token = shop.bound();
    let mut claims = shop.key.claims("GET", &shop.target(), &token);
    claims["nonce"] = json!(nonce);
    shop.with_proof(&token, &shop.key.sign(&claims)).await
}

#[tokio::test]
async fn a_caller_learns_the_nonce_and_is_let_in_with_it() {
    let shop = Shop::with(HOLDERS, |tokens| tokens.nonces(Duration::from_secs(3600))).await;
    let token = shop.bound();
    let without = shop.with_proof(&token, &shop.proof(&token)).await;
    shop.refused(&without, "DPoP error=\"use_dpop_nonce\"", "the proof has no nonce");
    let nonce = handed_out(&without).unwrap();
    let answer = with_nonce(&shop, &nonce).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(handed_out(&answer), None, "it is good for long yet");
    let guessed = with_nonce(&shop, "AAAAAAAAAAAAAAAAAAAAAA").await;
    shop.refused(&guessed, "DPoP error=\"use_dpop_nonce\"", "the proof's nonce is not known");
    assert_eq!(handed_out(&guessed), Some(nonce));
}

#[tokio::test]
async fn a_nonce_that_is_about_to_end_is_answered_with_the_next() {
    let shop = Shop::with(HOLDERS, |tokens| tokens.nonces(Duration::from_millis(300))).await;
    let token = shop.bound();
    let mut nonce = handed_out(&shop.with_proof(&token, &shop.proof(&token)).await).unwrap();
    let told = async {
        loop {
            let answer = with_nonce(&shop, &nonce).await;
            match (answer.status(), handed_out(&answer)) {
                (StatusCode::OK, Some(next)) => return next,
                (StatusCode::OK, None) => {}
                // Too slow a machine: the nonce had ended altogether.
                (_, next) => nonce = next.unwrap(),
            }
        }
    };
    let next = tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
    assert_ne!(next, nonce);
}
