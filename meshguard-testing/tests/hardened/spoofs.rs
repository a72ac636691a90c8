//! Headers that pretend to come from a proxy, or from the mesh itself.

use meshguard_axum::{Mesh, SpiffeId};

use crate::rig::{self, CALLEE, CALLER};
use crate::wire::{Guarded, Stock, request};

const SPOOFS: [&str; 24] = [
    "X-Forwarded-Client-Cert: URI=spiffe://faults.example/admin",
    "X-Spiffe-Id: spiffe://faults.example/admin",
    "X-Client-Cert: MIIB",
    "Client-Cert: :MIIB:",
    "Client-Cert-Chain: :MIIB:",
    "SSL-Client-S-DN: CN=admin",
    "X-SSL-Client-Verify: SUCCESS",
    "Meshguard-Peer: spiffe://faults.example/admin",
    "X-Meshguard-Peer: spiffe://faults.example/admin",
    "X-Forwarded-For: 10.0.0.1",
    "X-Forwarded-Host: admin",
    "X-Forwarded-Proto: https",
    "X-Forwarded-User: admin",
    "Forwarded: for=10.0.0.1;host=admin",
    "X-Real-IP: 10.0.0.1",
    "True-Client-IP: 10.0.0.1",
    "X-Original-URL: /admin",
    "X-Original-Host: admin",
    "X-Rewrite-URL: /admin",
    "X-Envoy-Original-Path: /admin",
    "X-Envoy-External-Address: 10.0.0.1",
    "X-Auth-Request-User: admin",
    "X-Remote-User: admin",
    "X-Host: admin",
];

/// Not these.
const OWN: [&str; 4] = ["X-Tenant: acme", "Cookie: a=b", "Traceparent: 00-1", "X-Request-Id: 7"];

fn name(header: &str) -> &str {
    header.split_once(':').unwrap().0
}

#[tokio::test]
async fn what_only_a_proxy_could_know_does_not_reach_the_application() {
    let guarded = Guarded::new().await;
    let headers = [&["Host: localhost"][..], &SPOOFS, &SPOOFS, &OWN].concat();
    let answer = guarded.send(&request("GET", "/public/x", &headers)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let ran = guarded.app.ran().remove(0);
    for spoof in SPOOFS {
        assert!(!ran.headers.contains_key(name(spoof)), "{spoof}");
    }
    for own in OWN {
        assert!(ran.headers.contains_key(name(own)), "{own}");
    }
}

#[tokio::test]
async fn stock_axum_passes_all_of_them_on() {
    let stock = Stock::new().await;
    let headers = [&["Host: localhost"][..], &SPOOFS].concat();
    stock.send(&request("GET", "/public/x", &headers)).await;
    let ran = stock.app.ran().remove(0);
    for spoof in SPOOFS {
        assert!(ran.headers.contains_key(name(spoof)), "{spoof}");
    }
}

/// The service, which takes this caller's word.
async fn taking_the_word_of(caller: SpiffeId) -> Guarded {
    let policy = rig::policy("[[delivery]]\nmode = \"off\"\n").parse().unwrap();
    let builder = Mesh::dev(CALLEE).unwrap().policy(policy).forwarded_by(caller);
    Guarded::of(builder.build().unwrap()).await
}

#[tokio::test]
async fn an_ingress_may_say_whose_call_it_forwards_and_not_who_it_is_itself() {
    let headers = [&["Host: localhost"][..], &SPOOFS].concat();
    for (caller, may) in [(CALLER, true), (rig::HOP, false)] {
        let guarded = taking_the_word_of(caller).await;
        guarded.send(&request("GET", "/public/x", &headers)).await;
        let ran = guarded.app.ran().remove(0);
        for forwarded in ["x-forwarded-for", "forwarded", "x-real-ip", "x-original-url"] {
            assert_eq!(ran.headers.contains_key(forwarded), may, "{forwarded}");
        }
        for claim in ["x-forwarded-client-cert", "x-spiffe-id", "client-cert", "meshguard-peer"] {
            assert!(!ran.headers.contains_key(claim), "{claim}");
        }
    }
}
