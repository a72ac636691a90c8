//! Every refusal has a number; its operator, and nobody else, learns from it why.

use meshguard_axum::DecisionId;
use meshguard_axum::tls::Alpn;
use tower::ServiceExt as _;

use crate::rig::{self, CALLER, Rig, allowing, http as say};
use crate::wire::{Answer, Guarded, get, request};

const OFF: &str = "[[delivery]]\nmode = \"off\"\n";

fn number(answer: &Answer) -> DecisionId {
    let number = answer.header("meshguard-decision");
    let number = number.unwrap_or_else(|| panic!("no number: {answer:?}"));
    DecisionId::parse(number).unwrap()
}

#[tokio::test]
async fn every_refusal_has_a_number_of_its_own() {
    let guarded = Guarded::with(&rig::policy("")).await;
    let host = "Host: localhost";
    let own = "/.well-known/meshguard/";
    let session = &format!("{own}session");
    let receipts = &format!("{own}receipts");
    let elsewhere = &format!("{own}elsewhere");
    let mut numbers = std::collections::HashSet::new();
    for (method, target, headers, status) in [
        ("GET", "/public/x", &[host][..], 401), // nothing is proved
        ("GET", "/public/../x", &[host], 400),
        ("GET", "/public/x", &[], 400),
        ("GET", "/public/x", &[host, "Upgrade: websocket"], 400),
        ("GET", "/public/x", &[host, "Meshguard: nonsense"], 401),
        ("GET", "/public/x", &[host, "Meshguard: a", "Meshguard: b"], 401),
        ("GET", session, &[host], 405),
        ("POST", elsewhere, &[host], 404),
        ("POST", receipts, &[host], 401),
    ] {
        let answer = guarded.send(&request(method, target, headers)).await;
        let what = format!("{method} {target} {headers:?}");
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let explained = guarded.mesh.explain(number(&answer)).unwrap();
        assert!(!explained.reason.is_empty(), "{what}");
        assert_eq!(explained.asked, format!("{method} {target}"), "{what}");
        assert!(numbers.insert(explained.id), "{what}");
    }
    let head = format!("POST {session} HTTP/1.1\r\n{host}\r\nConnection: close\r\n");
    let answer = guarded.send(format!("{head}Content-Length: 8\r\n\r\nnonsense").as_bytes()).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert!(numbers.insert(guarded.mesh.explain(number(&answer)).unwrap().id));
    assert!(guarded.app.ran().is_empty());
}

#[tokio::test]
async fn an_operator_learns_the_nearest_rule_and_all_that_it_misses() {
    let when = "when = { evidence = \"verified\", headers = { x-tenant = \"acme-*\" } }\n";
    let guarded = Guarded::with(&allowing(when, OFF)).await;
    let headers = &["Host: localhost", "X-Tenant: a-secret"];
    let answer = guarded.send(&request("GET", "/public/x?q=a-secret", headers)).await;
    assert_eq!((answer.status, &*answer.rest), (403, "denied by policy"));
    let explained = guarded.mesh.explain(number(&answer)).unwrap();
    assert_eq!(explained.from, Some(CALLER.to_string()));
    let judged = explained.judged.as_ref().unwrap();
    assert_eq!(judged.inputs.operation, "GET /public/x");
    assert_eq!(judged.inputs.from, Some(CALLER.to_string()));
    assert!(judged.inputs.direct && judged.inputs.via.is_none());
    assert_eq!(judged.inputs.evidence, "none");
    let tenant = &judged.inputs.headers[0];
    assert_eq!((&*tenant.name, tenant.proved), ("x-tenant", false));
    let nearest = judged.nearest.as_ref().unwrap();
    let misses: Vec<_> = nearest.misses.iter().map(|miss| &*miss.text).collect();
    assert_eq!(nearest.rule, "all");
    assert_eq!(
        misses,
        ["evidence is none and it needs verified", "the caller proved no header x-tenant"]
    );
    // Neither values of headers nor the query are kept.
    let text = format!("{explained} {explained:?}");
    assert!(text.contains("x-tenant") && !text.contains("a-secret"), "{text}");
}

#[tokio::test]
async fn an_operator_learns_which_rule_denies() {
    let deny = format!("[[deny]]\nname = \"never\"\nhttp = [\"* /admin/{{**}}\"]\n{OFF}");
    let guarded = Guarded::with(&allowing("", &deny)).await;
    let answer = guarded.send(&get("/admin/x")).await;
    let explained = guarded.mesh.explain(number(&answer)).unwrap();
    assert_eq!(explained.reason, "never denies it");
    let judged = explained.judged.unwrap();
    assert_eq!(
        (judged.rule.as_deref(), judged.route.as_deref()),
        (Some("never"), Some("/admin/{**}"))
    );
    assert_eq!(judged.nearest.unwrap().rule, "all");
}

#[tokio::test]
async fn a_proved_header_is_named_and_its_value_is_not() {
    let when = "when = { headers = { x-tenant = \"acme-*\" } }\n";
    let rig = Rig::with(&allowing(when, ""), Alpn::Both).await;
    let mut request = say::get("/known/3");
    request.headers_mut().insert("x-tenant", "a-secret".parse().unwrap());
    let answer = rig.channel.clone().oneshot(request).await.unwrap();
    let id = answer.headers()["meshguard-decision"].to_str().unwrap();
    let explained = rig.callee.explain(DecisionId::parse(id).unwrap()).unwrap();
    let judged = explained.judged.as_ref().unwrap();
    assert!(judged.inputs.headers[0].proved);
    assert_eq!(judged.inputs.via, Some(rig::HOP.to_string()));
    assert_eq!(judged.inputs.evidence, "verified");
    assert!(!format!("{explained} {explained:?}").contains("a-secret"));
}
