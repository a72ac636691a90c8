//! An allowed access costs no allocation.

#![allow(clippy::unwrap_used)] // a helper of tests may

use http::{HeaderMap, HeaderName, HeaderValue};
use meshguard_core::policy::Policy;
use meshguard_core::{Access, Evidence, Reason, SpiffeId};
use serde_json::json;

const CHECKOUT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/ns/prod/sa/checkout");
const ORDERS: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/ns/prod/sa/orders");
const EDGE: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/ns/prod/sa/edge");

fn policy() -> Policy {
    r#"
    mesh = "shop.example"
    version = 1
    hops = ["edge"]
    [peers]
    checkout = "spiffe://shop.example/ns/prod/sa/checkout"
    orders = "spiffe://shop.example/ns/prod/sa/orders"
    prod = "spiffe://shop.example/ns/prod/**"
    edge = "spiffe://shop.example/ns/*/sa/edge"
    [[deny]]
    name = "never-admin"
    from = ["prod"]
    http = ["* /admin/{**}"]
    [[allow]]
    name = "orders"
    from = ["checkout"]
    to = ["orders"]
    http = ["GET /orders/{id}", "GET /files/{**}/meta"]
    grpc = ["shop.v1.Orders/*"]
    when = { evidence = "digest", headers = { x-tenant = "acme-*" }, claims = { level = ["4*"], share = ["0.*"] } }
    [[delivery]]
    to = ["orders"]
    seal = true
    "#
    .parse()
    .unwrap()
}

/// Allocations of one decision, whose reason must be `want`.
fn allocations(policy: &Policy, access: &Access<'_>, want: Reason<'_>) -> u64 {
    let mut seen = None;
    let count = allocation_counter::measure(|| seen = Some(policy.decide(access).ruling()));
    assert_eq!(policy.decision(seen.unwrap()).unwrap().reason(), want);
    count.count_total
}

#[test]
fn an_allowed_access_allocates_nothing() {
    let policy = policy();
    let mut map = HeaderMap::new();
    map.insert("x-tenant", HeaderValue::from_static("acme-7"));
    let covered: Vec<HeaderName> = policy.covered_headers().to_vec();
    let claims = json!({ "level": 42, "share": 0.125 });
    for access in [
        Access::http("GET", "/orders/7"),
        Access::http("GET", "/files/a/b/c/meta"),
        Access::grpc("/shop.v1.Orders/Get"),
        Access::http("GET", "/orders/7").via(EDGE),
    ] {
        let access = access.by(CHECKOUT).to(ORDERS).evidence(Evidence::Verified);
        let access = access.headers(&map, &covered).claims(&claims);
        assert_eq!(allocations(&policy, &access, Reason::Rule("orders")), 0, "{access:?}");
    }
    let denied = Access::http("GET", "/admin/x").by(CHECKOUT);
    assert_eq!(allocations(&policy, &denied, Reason::DenyRule("never-admin")), 0);
}

#[test]
fn the_counter_counts_what_an_escape_costs() {
    let access = Access::http("GET", "/%61dmin/x").by(CHECKOUT);
    assert!(allocations(&policy(), &access, Reason::DenyRule("never-admin")) > 0);
}
