//! Headers that pretend to come from a proxy, or from the mesh itself.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use meshguard_axum::{Mesh, SpiffeId};
use tower::ServiceExt as _;

use crate::rig::{self, CALLEE, CALLER, soon};
use crate::wire::{Guarded, Stock, claims, request};

const SPOOFS: [&str; 44] = [
    "X-Amzn-Mtls-Clientcert: MIIB",
    "X-Amzn-Mtls-Clientcert-Subject: CN=admin",
    "X-ARR-ClientCert: MIIB",
    "l5d-client-id: admin.shop.serviceaccount.identity.linkerd",
    "Fly-Client-IP: 10.0.0.1",
    "Dapr-Caller-App-Id: admin",
    "X-Forwarded-Tls-Client-Cert: MIIB",
    "CF-Connecting-IPv6: ::1",
    "Cf-Access-Authenticated-User-Email: admin@shop.example",
    "Tailscale-User-Login: admin@shop.example",
    "X-Goog-Iap-Jwt-Assertion: e30",
    "X-Appengine-User-Ip: 10.0.0.1",
    "X-Azure-ClientIP: 10.0.0.1",
    "X-Remote-Group: system:masters",
    "Remote-Groups: admin",
    "X-Consumer-Username: admin",
    "CloudFront-Viewer-Address: 10.0.0.1:1",
    "X_Forwarded_Client_Cert: URI=spiffe://faults.example/admin",
    "X-Real_IP: 10.0.0.1",
    "Remote_User: admin",
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
const OWN: [&str; 9] = [
    "X-Tenant: acme",
    "Cookie: a=b",
    "Traceparent: 00-1",
    "X-Request-Id: 7",
    "X-Amzn-Trace-Id: Root=1",
    "CF-Ray: 1",
    "Fly-Request-Id: 1",
    "X-User-Id: 7",
    "X_Tenant: acme",
];

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

const CHUNKED: &str = "POST /trailers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Real-IP, X-Spiffe-Id, X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Real-IP: 10.0.0.1\r\nX-Spiffe-Id: spiffe://faults.example/admin\r\nX-Sum: 7\r\n\r\n";

#[tokio::test]
async fn trailers_are_held_to_what_heads_are() {
    let (guarded, stock) = (Guarded::new().await, Stock::new().await);
    assert_eq!(stock.send(CHUNKED.as_bytes()).await.status, 200);
    assert_eq!(stock.app.ran()[0].headers.len(), 3, "axum as it is passes them on");
    assert_eq!(guarded.send(CHUNKED.as_bytes()).await.status, 200);
    let ran = guarded.app.ran().remove(0);
    assert_eq!((ran.headers.len(), &ran.headers["x-sum"]), (1, &"7".parse().unwrap()));
}

/// Of proved bodies, too, be they held or in records; and of answers.
#[tokio::test]
async fn proved_trailers_are_held_to_the_same() {
    for seal in [false, true] {
        let policy = rig::policy(&format!("[[delivery]]\nseal = {seal}\n"));
        let guarded = Guarded::with(&policy).await;
        let caller = rig::mesh(CALLER, &policy, &rig::tell::Told::default());
        let channel = caller.channel(&format!("https://{}", guarded.addr), CALLEE).unwrap();
        let body = Full::new(Bytes::from_static(b"a"));
        let body = body.with_trailers(async { Some(Ok::<_, Infallible>(claims())) });
        let request = Request::post("/trailers").body(Body::new(body)).unwrap();
        let answer = soon(channel.oneshot(request)).await.unwrap();
        let answer = soon(answer.into_body().collect()).await.unwrap();
        let ran = guarded.app.ran().remove(0);
        for trailers in [&ran.headers, answer.trailers().unwrap()] {
            assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &"7".parse().unwrap()), "{seal}");
        }
    }
}
