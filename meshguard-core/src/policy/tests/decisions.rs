//! Precedence, conditions, and what an answer carries.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{CHECKOUT, EDGE, NIGHTLY, ORDERS, policy};
use crate::policy::{DeliveryMode, DeliveryRule, Policy, Reason, TranscriptHash, Unmet};
use crate::{Access, Effect, Evidence};

fn get() -> Access<'static> {
    Access::http("GET", "/orders/7").by(CHECKOUT)
}

#[test]
fn a_deny_rule_beats_every_allow_rule_wherever_it_stands() {
    let rules = ["[[deny]]\nname='d'\nhttp=['* /{**}']\n", "[[allow]]\nname='a'\n"];
    for order in [[0, 1], [1, 0]] {
        let policy = policy(&order.map(|i| rules[i]).concat());
        let decision = policy.decide(&get());
        assert_eq!(decision.reason(), Reason::DenyRule("d"));
        assert_eq!(decision.effect(), Effect::Deny);
    }
}

#[test]
fn the_first_rule_of_the_document_gives_the_reason() {
    let policy = policy(
        "[[allow]]\nname='unmet'\nwhen={evidence='verified'}\n\
         [[allow]]\nname='first'\nhttp=['GET /orders/{id}']\n\
         [[allow]]\nname='second'\nfrom=['checkout']\nhttp=['GET /orders/7']\n\
         [[deny]]\nname='d1'\nfrom=['batch']\nhttp=['* /{**}']\n\
         [[deny]]\nname='d2'\nfrom=['batch']",
    );
    assert_eq!(policy.decide(&get()).reason(), Reason::Rule("first"));
    assert_eq!(policy.decide(&get().by(NIGHTLY)).reason(), Reason::DenyRule("d1"));
    assert_eq!(policy.rules().collect::<Vec<_>>(), ["unmet", "first", "second", "d1", "d2"]);
}

#[test]
fn rules_of_both_effects_keep_the_order_of_the_document() {
    let policy = policy("[[allow]]\nname='1'\n[[deny]]\nname='2'\n[[allow]]\nname='3'");
    assert_eq!(policy.rules().collect::<Vec<_>>(), ["1", "2", "3"]);
}

#[test]
fn an_unmet_condition_is_named_with_what_it_needs() {
    let policy = policy(
        "[[allow]]\nname='r'\nwhen={evidence='digest', direct=true, headers={X-Tenant='acme-*'}}",
    );
    let full = || get().direct().evidence(Evidence::Verified).header("x-tenant", "acme-1");
    assert_eq!(policy.decide(&full()).reason(), Reason::Rule("r"));
    for (access, condition, text) in [
        (
            full().via(EDGE),
            Unmet::Direct,
            "r matched, but the call is not direct and it needs to be",
        ),
        (
            full().evidence(Evidence::Length),
            Unmet::Evidence { needs: Evidence::Digest, has: Evidence::Length },
            "r matched, but evidence is length and it needs digest",
        ),
        (
            get().direct().evidence(Evidence::Digest),
            Unmet::HeaderUnknown { name: "x-tenant" },
            "r matched, but the caller proved no header x-tenant",
        ),
        (
            full().header("X-Tenant", "globex"),
            Unmet::HeaderDiffers { name: "x-tenant", needs: "acme-*" },
            "r matched, but the header x-tenant has a value other than acme-*",
        ),
    ] {
        let reason = policy.decide(&access).reason();
        assert_eq!(reason, Reason::Unmet { rule: "r", condition });
        assert_eq!(reason.to_string(), text);
    }
}

#[test]
fn a_hop_makes_a_call_indirect_whatever_else_is_said() {
    let policy = policy("[[allow]]\nname='r'\nwhen={direct=true}");
    let reason = policy.decide(&get().via(EDGE).direct()).reason();
    assert_eq!(reason, Reason::Unmet { rule: "r", condition: Unmet::Direct });
}

#[test]
fn the_nearest_rule_misses_the_fewest_conditions() {
    let policy = policy(
        "[[allow]]\nname='far'\nwhen={evidence='verified', direct=true}\n\
         [[allow]]\nname='near'\nhttp=['GET /orders/{id}']\nwhen={evidence='digest'}\n\
         [[allow]]\nname='later'\nhttp=['GET /orders/7']\nwhen={evidence='length'}\n\
         [[allow]]\nname='other'\nhttp=['GET /users']",
    );
    let condition = Unmet::Evidence { needs: Evidence::Digest, has: Evidence::None };
    assert_eq!(policy.decide(&get()).reason(), Reason::Unmet { rule: "near", condition });
}

#[test]
fn a_header_condition_looks_at_covered_values_only() {
    let policy = policy(
        "[[allow]]\nname='r'\nwhen={headers={x-tenant='acme-*', X-Region='eu'}}\n\
         [[allow]]\nname='q'\nhttp=['GET /q']\nwhen={headers={x-tenant='*'}}",
    );
    assert_eq!(policy.covered_headers(), ["x-region", "x-tenant"].map(HeaderName::from_static));
    let mut map = HeaderMap::new();
    map.append("x-tenant", HeaderValue::from_static("acme-1"));
    map.append("x-region", HeaderValue::from_static("eu"));
    assert!(policy.decide(&get().headers(&map, policy.covered_headers())).is_allowed());
    let uncovered = policy.decide(&get().headers(&map, &policy.covered_headers()[..1]));
    let condition = Unmet::HeaderUnknown { name: "x-tenant" };
    assert_eq!(uncovered.reason(), Reason::Unmet { rule: "r", condition });
}

#[test]
fn every_value_of_a_header_must_match_and_none_is_joined() {
    let policy = policy("[[allow]]\nname='r'\nwhen={headers={x-tenant='acme-*'}}");
    let allowed = |values: &[&'static str]| {
        let mut map = HeaderMap::new();
        for value in values {
            map.append("x-tenant", HeaderValue::from_static(value));
        }
        policy.decide(&get().headers(&map, policy.covered_headers())).is_allowed()
    };
    assert!(allowed(&["acme-1"]) && allowed(&["acme-1", "acme-2"]));
    assert!(!allowed(&["acme-1", "globex"]) && !allowed(&["globex", "acme-1"]));
    assert!(!allowed(&[]));
}

#[test]
fn a_deny_rule_for_calls_not_known_to_be_direct() {
    let policy = policy("[[allow]]\nname='r'\n[[deny]]\nname='d'\nwhen={direct=false}");
    assert_eq!(policy.decide(&get().direct()).reason(), Reason::Rule("r"));
    assert_eq!(policy.decide(&get()).reason(), Reason::DenyRule("d"));
    assert_eq!(policy.decide(&get().via(EDGE)).reason(), Reason::DenyRule("d"));
}

#[test]
fn the_route_is_the_first_template_that_matches_whoever_calls() {
    let policy = policy(
        "[[deny]]\nname='d'\nfrom=['batch']\nhttp=['DELETE /orders/{any}', 'GET /x/{**}']\n\
         [[allow]]\nname='r'\nfrom=['batch']\nhttp=['* /orders/{id}', 'GET /orders/7']\n\
         grpc=['shop.v1.Orders/*']",
    );
    for (access, route) in [
        (Access::http("GET", "/orders/7"), Some("/orders/{id}")),
        (Access::http("DELETE", "/orders/7"), Some("/orders/{any}")),
        (Access::http("GET", "/x/y/z"), Some("/x/{**}")),
        (Access::http("GET", "/unknown"), None),
        (Access::grpc("/shop.v1.Orders/Get"), Some("shop.v1.Orders/*")),
        (Access::grpc("/orders/7"), None),
    ] {
        assert_eq!(policy.decide(&access.clone().by(CHECKOUT)).route(), route, "{access:?}");
    }
}

#[test]
fn the_first_delivery_rule_that_matches_an_edge_counts() {
    let policy = policy(
        "[[allow]]\nname='r'\n\
         [[delivery]]\nfrom=['batch']\nto=['orders']\nmode='off'\n\
         [[delivery]]\nto=['orders']\nseal=true\ntranscript='blake3'\n\
         [[delivery]]\nfrom=['prod']\nmode='prefer'\nseal=false",
    );
    let rule = |mode, seal, transcript| DeliveryRule { mode, seal, transcript };
    let sealed = rule(DeliveryMode::Require, Some(true), TranscriptHash::Blake3);
    let off = rule(DeliveryMode::Off, None, TranscriptHash::Sha256);
    let prefer = rule(DeliveryMode::Prefer, Some(false), TranscriptHash::Sha256);
    for (from, to, want) in [
        (NIGHTLY, ORDERS, off),
        (CHECKOUT, ORDERS, sealed),
        (CHECKOUT, EDGE, prefer),
        (NIGHTLY, EDGE, DeliveryRule::default()),
    ] {
        assert_eq!(policy.delivery(Some(from), Some(to)), want, "{from} {to}");
        assert_eq!(policy.decide(&get().by(from).to(to)).delivery(), want, "{from} {to}");
    }
}

#[test]
fn an_end_that_is_not_known_gets_the_strictest_delivery_that_may_hold() {
    let policy = policy(
        "[[delivery]]\nfrom=['batch']\nmode='off'\n\
         [[delivery]]\nto=['orders']\nseal=true\n\
         [[delivery]]\nmode='prefer'",
    );
    let mode = |from, to| {
        let rule = policy.delivery(from, to);
        (rule.mode, rule.seal)
    };
    assert_eq!(mode(Some(NIGHTLY), None), (DeliveryMode::Off, None));
    assert_eq!(mode(Some(CHECKOUT), None), (DeliveryMode::Require, Some(true)));
    assert_eq!(mode(None, Some(ORDERS)), (DeliveryMode::Require, Some(true)));
    assert_eq!(mode(None, Some(EDGE)), (DeliveryMode::Prefer, None));
    assert_eq!(mode(None, None), (DeliveryMode::Require, Some(true)));
}

#[test]
fn without_a_policy_everything_is_denied() {
    let policy = Policy::deny_all();
    let decision = policy.decide(&get());
    assert_eq!((decision.effect(), decision.reason()), (Effect::Deny, Reason::NoPolicy));
    assert_eq!(decision.policy_version(), 0);
    assert_eq!(policy.delivery(Some(CHECKOUT), Some(ORDERS)), DeliveryRule::default());
    assert!(!policy.is_hop(EDGE));
    assert!(policy.trust_domain().is_none() && policy.rules().next().is_none());
}

#[test]
fn a_ruling_is_read_by_the_policy_that_made_it_only() {
    let one = policy("[[allow]]\nname='r'\nhttp=['GET /orders/{id}']");
    let other = policy("[[allow]]\nname='q'\nhttp=['GET /orders/{id}']");
    let ruling = one.decide(&get()).ruling();
    assert!(ruling.is_allowed());
    let decision = one.decision(ruling).unwrap();
    assert_eq!((decision.reason(), decision.route()), (Reason::Rule("r"), Some("/orders/{id}")));
    assert!(other.decision(ruling).is_none());
    assert!(Policy::deny_all().decision(ruling).is_none());
    fn stored<T: Copy + Send + Sync + 'static>(_: T) {}
    stored(ruling);
}

#[test]
fn trust_counts_where_it_is_known_and_enough() {
    let policy = policy("[[allow]]\nname='r'\nwhen={trust=0.6}");
    assert!(policy.reads_trust());
    assert_eq!(policy.decide(&get().trust(0.6)).reason(), Reason::Rule("r"));
    let unmet = |access: &Access<'_>| policy.decide(access).reason().to_string();
    assert_eq!(unmet(&get().trust(0.41)), "r matched, but trust is 0.41 and it needs 0.6");
    assert_eq!(unmet(&get()), "r matched, but trust is not known and it needs 0.6");
    assert_eq!(unmet(&get().trust(f32::NAN)), unmet(&get()));
}

#[test]
fn trust_that_no_rule_reads_changes_nothing() {
    let policy = policy("[[allow]]\nname='r'");
    assert!(!policy.reads_trust());
    assert!(policy.decide(&get().trust(0.0)).is_allowed());
}

#[test]
fn every_reason_reads_as_a_sentence() {
    for (reason, text) in [
        (Reason::Rule("r"), "r allows it"),
        (Reason::DenyRule("d"), "d denies it"),
        (Reason::NoRule, "no rule allows it"),
        (Reason::NoIdentity, "the caller has no identity"),
        (Reason::ForeignTrustDomain, "the caller is of another trust domain"),
        (Reason::HopNotNamed, "it came through a hop that the policy does not name"),
        (Reason::Path(crate::policy::PathError::DotSegment), "its path has a dot segment"),
        (Reason::NoPolicy, "no policy is loaded"),
        (Reason::PolicyExpired, "the policy has expired"),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}
