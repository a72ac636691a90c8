//! What the conditions, shadow rules, limits, expectations and routes of a document mean.

use std::time::Duration;

use serde_json::json;

use super::refusals::check;
use super::{CHECKOUT, NIGHTLY, ORDERS, policy};
use crate::identity::SpiffeId;
use crate::identity::TrustDomain;
use crate::policy::PolicyErrorKind::*;
use crate::policy::{Durability, Effect, Limit, Per, Policy, Reason, RouteOptions, Shadow};
use crate::reflex::Rate;
use crate::{Access, Evidence, Proofs};

const PARTNER: &SpiffeId = &SpiffeId::from_static("spiffe://partner.example/billing");

fn reason(policy: &Policy, access: &Access<'_>) -> String {
    policy.decide(access).reason().to_string()
}

#[test]
fn a_proof_of_possession_is_asked_for_by_its_kind() {
    let bound = |dpop, certificate| Proofs { dpop, certificate };
    for (needs, dpop, certificate) in
        [("dpop", true, false), ("certificate", false, true), ("any", true, true)]
    {
        let policy = policy(&format!("[[allow]]\nname='r'\nwhen={{proof='{needs}'}}"));
        assert!(policy.reads_proofs());
        for (proofs, allowed) in [
            (bound(false, false), false),
            (bound(true, false), dpop),
            (bound(false, true), certificate),
            (bound(true, true), true),
        ] {
            let access = Access::http("GET", "/").by(CHECKOUT).proofs(proofs);
            assert_eq!(policy.decide(&access).is_allowed(), allowed, "{needs} {proofs:?}");
        }
    }
    let policy = policy("[[allow]]\nname='r'\nwhen={proof='dpop'}");
    let access = Access::http("GET", "/").by(CHECKOUT);
    assert_eq!(
        reason(&policy, &access),
        "r matched, but no dpop proof binds a token to its caller"
    );
}

#[test]
fn every_claim_that_is_named_must_have_one_of_its_values() {
    let policy = policy(
        "[[allow]]\nname='r'\nwhen.claims = { scope = ['orders:write', 'admin'], '/realm/team' = ['pay*'] }",
    );
    assert!(policy.reads_claims());
    let ask = |claims: &serde_json::Value| {
        reason(&policy, &Access::http("GET", "/").by(CHECKOUT).claims(claims))
    };
    let both = json!({"scope": "orders:read orders:write", "realm": {"team": "payments"}});
    assert_eq!(ask(&both), "r allows it");
    let other = json!({"scope": "orders:read", "realm": {"team": "payments"}});
    assert_eq!(ask(&other), "r matched, but the claim scope has no value it needs");
    let none = json!({"scope": "admin"});
    assert_eq!(ask(&none), "r matched, but no token has the claim /realm/team");
    let nothing = Access::http("GET", "/").by(CHECKOUT);
    assert_eq!(reason(&policy, &nothing), "r matched, but no token has the claim /realm/team");
}

#[test]
fn a_source_is_where_the_connection_comes_from() {
    let policy = policy(
        "[[allow]]\nname='r'\nwhen.source=['10.0.0.0/8','::1']\n[[deny]]\nname='d'\nwhen.source=['10.66.0.0/16']",
    );
    let from = |address: &str| {
        let access = Access::http("GET", "/").by(CHECKOUT).source(address.parse().unwrap());
        reason(&policy, &access)
    };
    assert_eq!(from("10.1.2.3"), "r allows it");
    assert_eq!(from("::ffff:10.1.2.3"), "r allows it", "an IPv4 address in IPv6's clothes");
    assert_eq!(from("::1"), "r allows it");
    assert_eq!(from("10.66.1.1"), "d denies it");
    assert_eq!(from("192.0.2.1"), "r matched, but the caller's address is in no network it needs");
    let unknown = Access::http("GET", "/").by(CHECKOUT);
    assert_eq!(reason(&policy, &unknown), "d denies it", "what is not known spares no call");
}

#[test]
fn a_federated_caller_is_let_in_by_rules_that_name_it_and_kept_out_by_all() {
    let policy: Policy = "mesh='shop.example'\nfederates=['partner.example']\nversion=1\n[peers]\nbilling='spiffe://partner.example/billing'\n[[allow]]\nname='ours'\nhttp=['GET /ours']\n[[allow]]\nname='theirs'\nfrom=['billing']\nhttp=['GET /theirs']\n[[deny]]\nname='never'\nhttp=['GET /never']"
        .parse()
        .unwrap();
    assert_eq!(
        policy.federates().map(TrustDomain::as_str).collect::<Vec<_>>(),
        ["partner.example"]
    );
    let ask = |id, path| reason(&policy, &Access::http("GET", path).by(id));
    assert_eq!(ask(CHECKOUT, "/ours"), "ours allows it");
    assert_eq!(ask(PARTNER, "/ours"), "no rule allows it");
    assert_eq!(ask(PARTNER, "/theirs"), "theirs allows it");
    assert_eq!(ask(CHECKOUT, "/theirs"), "no rule allows it");
    assert_eq!(ask(PARTNER, "/never"), "never denies it");
    let stranger = SpiffeId::from_static("spiffe://else.example/billing");
    let access = Access::http("GET", "/theirs").by(&stranger);
    assert_eq!(policy.decide(&access).reason(), Reason::ForeignTrustDomain);
}

#[test]
fn a_shadow_rule_is_told_and_changes_nothing() {
    let policy = policy(
        "[[allow]]\nname='reads'\nhttp=['GET /orders/{id}']\n[[deny]]\nname='not-batch'\nshadow=true\nfrom=['batch']\nhttp=['* /orders/{**}']\n[[allow]]\nname='writes'\nshadow=true\nhttp=['POST /orders/{id}']\nwhen.evidence='verified'",
    );
    assert!(policy.has_shadows());
    let read = Access::http("GET", "/orders/7").by(NIGHTLY);
    let decision = policy.decide(&read);
    assert_eq!(decision.reason(), Reason::Rule("reads"));
    assert_eq!(decision.route(), Some("/orders/{id}"), "a shadow rule names no route");
    let told = Shadow { rule: "not-batch", effect: Effect::Deny };
    assert_eq!(policy.shadows(&read), [told]);
    let write = Access::http("POST", "/orders/7").by(CHECKOUT);
    assert_eq!(policy.decide(&write).reason(), Reason::NoRule);
    assert_eq!(policy.shadows(&write), [], "its `when` does not hold");
    let write = write.evidence(Evidence::Verified);
    assert_eq!(policy.decide(&write).reason(), Reason::NoRule);
    assert_eq!(policy.shadows(&write), [Shadow { rule: "writes", effect: Effect::Allow }]);
}

#[test]
fn what_an_allow_rule_demands_comes_with_the_decision() {
    let policy = policy(
        "[[allow]]\nname='r'\nlimit={rate='200/min', burst=50, per='rule'}\nwhen={content={json=['/id']}, evidence='digest'}\n[[allow]]\nname='plain'\nhttp=['GET /plain']\nlimit={rate='5/s'}",
    );
    let access = Access::http("POST", "/orders").by(CHECKOUT).evidence(Evidence::Digest);
    let owed = policy.decide(&access).obligations();
    assert_eq!((owed.rule, owed.evidence), ("r", Some(Evidence::Digest)));
    let rate = Rate { count: 200, per: Duration::from_secs(60) };
    assert_eq!(owed.limit, Some(Limit { rate, burst: 50, per: Per::Rule }));
    let content = owed.content.unwrap();
    assert_eq!((content.json.len(), content.max_bytes), (1, 1 << 20));
    let plain = Access::http("GET", "/plain").by(CHECKOUT);
    let owed = policy.decide(&plain).obligations();
    assert_eq!(owed.limit.map(|l| (l.burst, l.per)), Some((5, Per::Caller)));
    let denied = Access::http("GET", "/none").by(CHECKOUT);
    assert_eq!(policy.decide(&denied).obligations().limit, None);
}

#[test]
fn an_expectation_counts_the_calls_it_speaks_of() {
    let policy = policy(
        "[[expect]]\nname='nightly'\nfrom=['batch']\nto=['orders']\nhttp=['POST /settlements']\nat_least='2 in 24h'",
    );
    let expectation = policy.expectations().next().unwrap();
    assert_eq!((expectation.name(), expectation.at_least()), ("nightly", 2));
    assert_eq!(expectation.within(), Duration::from_secs(86_400));
    let call = Access::http("POST", "/settlements").by(NIGHTLY).to(ORDERS);
    assert!(expectation.counts(&call));
    assert!(!expectation.counts(&Access::http("GET", "/settlements").by(NIGHTLY).to(ORDERS)));
    assert!(!expectation.counts(&Access::http("POST", "/settlements").by(CHECKOUT).to(ORDERS)));
    assert!(!expectation.counts(&Access::http("POST", "/settlements").by(NIGHTLY)), "to whom?");
}

#[test]
fn what_is_said_of_a_route_is_taken_from_the_first_that_says_it() {
    let policy = policy(
        "[[route]]\nhttp=['POST /orders']\nkeep_answers='10m'\n[[route]]\nhttp=['* /orders']\ndurability='strict'\nkeep_answers='1h'\nidempotent=true",
    );
    let told = policy.route_options(&Access::http("POST", "/orders"));
    assert_eq!((told.durability, told.idempotent), (Durability::Strict, true));
    assert_eq!(told.keep_answers, Some(Duration::from_secs(600)));
    assert!(!told.upgrade && !told.method_override);
    let other = policy.route_options(&Access::http("POST", "/other"));
    assert_eq!(other, RouteOptions::default());
}

#[test]
fn a_rule_of_an_imported_document_has_terms_alone() {
    let text = "mesh='a'\nversion=1\nsemantics='istio'\nnormalization='base'\n[[deny]]\nname='d'\nwhen.where=[{key='request.headers[x-token]', not_values=['admin']}]\n[[allow]]\nname='a'";
    let policy: Policy = text.parse().unwrap();
    assert_eq!(policy.covered_headers().len(), 1);
    let nobody = Access::http("GET", "/x/../y");
    assert_eq!(reason(&policy, &nobody), "d denies it", "a header that is missing is not admin");
    let admin = nobody.clone().header("x-token", "admin");
    assert_eq!(reason(&policy, &admin), "a allows it");
    let written: Policy = policy.to_toml().parse().unwrap();
    assert_eq!(written.to_toml(), policy.to_toml());
    let shadow = text.replace("name='d'", "name='d'\nshadow=true");
    let policy: Policy = shadow.parse().unwrap();
    assert_eq!(reason(&policy, &nobody), "a allows it");
    assert_eq!(policy.shadows(&nobody), [Shadow { rule: "d", effect: Effect::Deny }]);
    const ISTIO: &str = "semantics='istio'\n[[allow]]\nname='r'\n";
    check(&[
        (&format!("{ISTIO}from=['x']"), UnknownKey, 6, 1, "`when.where`"),
        (&format!("{ISTIO}when.trust=0.5"), UnknownKey, 6, 6, "has `where`"),
        (&format!("{ISTIO}when.where=[{{key='x', values=['y']}}]"), BadTerm, 6, 18, "source.p"),
        (&format!("{ISTIO}when.where=[{{values=['y']}}]"), MissingKey, 6, 13, "key"),
        ("[[allow]]\nname='r'\nwhen.where=[]", UnknownKey, 5, 6, "`when` has"),
        ("normalization='base'", WrongSemantics, 3, 15, "istio"),
        ("semantics='linkerd'", UnknownValue, 3, 11, "`native`, `istio`"),
    ]);
}

#[test]
fn what_the_new_keys_do_not_know_is_refused_where_it_stands() {
    const RULE: &str = "[[allow]]\nname='r'\n";
    let when = |text: &str| format!("{RULE}when={text}");
    check(&[
        (&when("{proof='jwt'}"), UnknownValue, 5, 13, "`dpop`"),
        (&when("{claims={scope='x'}}"), WrongType, 5, 21, "found: string"),
        (&when("{claims={scope=[]}}"), EmptyList, 5, 21, "match nothing"),
        (&when("{claims={''=['x']}}"), BadClaim, 5, 15, "JSON Pointer"),
        (&when("{claims={'/a~2'=['x']}}"), BadClaim, 5, 15, "JSON Pointer"),
        (&when("{source=[]}"), EmptyList, 5, 14, "match nothing"),
        (&when("{source=['10.0.0.1/8']}"), BadNetwork, 5, 15, "write `10.0.0.0/8`"),
        (&when("{source=['ten']}"), BadNetwork, 5, 15, "write it as"),
        (&when("{content={}}"), MissingKey, 5, 15, "`json` or `max_bytes`"),
        (&when("{content={max_bytes=0}}"), OutOfRange, 5, 26, "1048576"),
        (&when("{content={max_bytes=1048577}}"), OutOfRange, 5, 26, "1048576"),
        (&when("{content={json=['id']}}"), BadPointer, 5, 22, "/items/0/sku"),
        (&format!("{RULE}limit={{burst=1}}"), MissingKey, 5, 7, "rate"),
        (&format!("{RULE}limit={{rate='1/s', burst=0}}"), OutOfRange, 5, 26, "1000000"),
        (&format!("{RULE}limit={{rate='1/s', per='peer'}}"), UnknownValue, 5, 24, "`caller`"),
        (&format!("{RULE}shadow='yes'"), WrongType, 5, 8, "found: string"),
        ("[[expect]]\nname='e'", MissingKey, 3, 1, "at_least"),
        ("[[expect]]\nname='e'\nat_least='0 in 24h'", BadDuration, 5, 10, "1 in 24h"),
        ("[[expect]]\nname='e'\nat_least='1 in 0s'", BadDuration, 5, 10, "1 in 24h"),
        ("[[route]]\nupgrade=true", MissingKey, 3, 1, "http"),
        ("[[route]]\nhttp=['GET /']", MissingKey, 3, 1, "durability"),
        ("[[route]]\nhttp=['GET /']\ndurability='sync'", UnknownValue, 5, 12, "`async`"),
        ("[[route]]\nhttp=['GET /']\nkeep_answers='soon'", BadDuration, 5, 14, "250ms"),
        ("federates=['a']", BadTrustDomain, 3, 12, "keep one"),
        ("federates=['B']", BadTrustDomain, 3, 12, "shop.example"),
        ("[[deny]]\nname='d'\nwhen={proof='any'}", UnsoundWhen, 5, 6, "`source`"),
        ("[[deny]]\nname='d'\nwhen={claims={x=['y']}}", UnsoundWhen, 5, 6, "`source`"),
        ("[[deny]]\nname='d'\nwhen={content={max_bytes=1}}", UnsoundWhen, 5, 6, "`source`"),
    ]);
    let twice =
        "[[expect]]\nname='e'\nat_least='1 in 1h'\n[[expect]]\nname='e'\nat_least='1 in 1h'";
    check(&[(twice, DuplicateRule, 7, 6, "unique among expectations")]);
}
