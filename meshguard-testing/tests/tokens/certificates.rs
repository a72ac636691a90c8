//! Tokens that are bound to a certificate (RFC 8705 §3).

use http::StatusCode;
use meshguard_testing::{FaultHop, certificate_thumbprint};
use serde_json::json;

use crate::shop::{BOUND, CALLEE, CALLER, HOP, Shop, get, mesh};

#[tokio::test]
async fn a_token_of_the_callers_own_certificate_is_let_in_and_anothers_is_not() {
    let shop = Shop::new(BOUND).await;
    let bound = |hash: &str| shop.token(json!({ "cnf": { "x5t#S256": hash } }));
    let own = bound(&certificate_thumbprint(&shop.svid));
    assert_eq!(shop.with_bearer(&own).await.status(), StatusCode::OK);

    // The same workload, with another certificate.
    let another = shop.ca.svid(&CALLER).unwrap();
    let stolen = bound(&certificate_thumbprint(&another));
    let answer = shop.with_bearer(&stolen).await;
    let reason = "the token is bound to another certificate";
    shop.refused(&answer, "Bearer error=\"invalid_token\"", reason);
    let answer = shop.with_bearer(&bound("AAAA")).await;
    shop.refused(&answer, "Bearer error=\"invalid_token\"", "the token's cnf is malformed");
    let unbound = shop.with_bearer(&shop.token(json!({}))).await;
    assert_eq!(unbound.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_token_of_a_certificate_does_not_come_through_a_hop() {
    let shop = Shop::new(BOUND).await;
    let addr = shop.uri.strip_prefix("https://").unwrap().parse().unwrap();
    let hop = FaultHop::builder(addr).tls(&shop.ca, &HOP).unwrap().start().await.unwrap();
    let caller = mesh(&shop.ca, &shop.svid, BOUND);
    let channel = caller.channel(&format!("https://{}", hop.addr()), CALLEE).unwrap().via(HOP);
    let hash = certificate_thumbprint(&shop.svid);
    let token = shop.token(json!({ "cnf": { "x5t#S256": hash } }));
    let answer = get(&channel, &[("authorization", &format!("Bearer {token}"))]).await;
    let reason = "the token is bound to a certificate and came through a hop";
    shop.refused(&answer, "Bearer error=\"invalid_token\"", reason);
}
