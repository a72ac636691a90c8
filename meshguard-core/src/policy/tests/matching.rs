//! Which operations, callers and hops a rule speaks of.

use super::{CHECKOUT, EDGE, NIGHTLY, ORDERS, policy};
use crate::identity::SpiffeId;
use crate::policy::{PathError, Policy, Reason};
use crate::{Access, Effect};

fn allows(policy: &Policy, method: &str, path: &str) -> bool {
    policy.decide(&Access::http(method, path).by(CHECKOUT)).is_allowed()
}

fn by<'a>(id: &'a SpiffeId) -> Access<'a> {
    Access::http("GET", "/x").by(id)
}

#[test]
fn a_template_matches_segment_by_segment() {
    for (template, yes, no) in [
        ("/", vec!["/"], vec!["/a"]),
        ("/orders", vec!["/orders"], vec!["/orders/", "/order", "/orders/7", "/Orders", "/"]),
        ("/orders/", vec!["/orders/"], vec!["/orders"]),
        (
            "/orders/{id}",
            vec!["/orders/7", "/orders/%37", "/orders/a%20b", "/orders/;"],
            vec!["/orders/", "/orders", "/orders/7/", "/orders/7/x"],
        ),
        ("/a/{**}", vec!["/a/b", "/a/b/c", "/a/b/", "/a/"], vec!["/a", "/b/a", "/ab"]),
        ("/{**}", vec!["/", "/a", "/a/b/"], vec![]),
        ("/a/{**}/z", vec!["/a/b/z", "/a/b/c/z", "/a/z/z"], vec!["/a/z", "/a/b/z/", "/a//z"]),
        ("/{**}/z", vec!["/a/z", "/z/z"], vec!["/z"]),
        ("/{a}/{**}/{b}", vec!["/1/2/3", "/1/2/3/4"], vec!["/1/2", "/1/2/"]),
        ("/a%b", vec!["/a%25b"], vec!["/ab"]),
    ] {
        let policy = policy(&format!("[[allow]]\nname='r'\nhttp=['GET {template}']"));
        for path in yes {
            // `/orders/;` hides an empty segment behind parameters.
            let want = !path.contains(';');
            assert_eq!(allows(&policy, "GET", path), want, "{template} {path}");
        }
        for path in no {
            assert!(!allows(&policy, "GET", path), "{template} {path}");
        }
    }
}

#[test]
fn methods_are_exact_and_a_star_is_any() {
    let policy = policy("[[allow]]\nname='r'\nhttp=['GET /a', '* /b', 'PURGE /c']");
    for (method, path, want) in [
        ("GET", "/a", true),
        ("get", "/a", false),
        ("HEAD", "/a", false),
        ("", "/a", false),
        ("DELETE", "/b", true),
        ("brew", "/b", true),
        ("PURGE", "/c", true),
        ("*", "/a", false),
    ] {
        assert_eq!(allows(&policy, method, path), want, "{method} {path}");
    }
}

#[test]
fn every_path_attack_is_denied_before_any_rule() {
    let policy =
        policy("[[allow]]\nname='everything'\n[[deny]]\nname='admin'\nhttp=['* /admin/{**}']");
    for (path, error) in [
        ("/public/../admin/x", PathError::DotSegment),
        ("/public/%2e%2e/admin/x", PathError::DotSegment),
        ("/public/%252e%252e/admin/x", PathError::DoubleEncoding),
        ("/public/..;/admin/x", PathError::DotParameters),
        ("/public%2f..%2fadmin/x", PathError::EncodedSeparator),
        ("/admin%2fx", PathError::EncodedSeparator),
        ("/admin%5cx", PathError::EncodedSeparator),
        ("/admin%252fx", PathError::DoubleEncoding),
        ("/admin\\x", PathError::Backslash),
        ("//admin/x", PathError::EmptySegment),
        ("/admin//x", PathError::EmptySegment),
        ("/admin%00/x", PathError::Control),
        ("/%ff/admin/x", PathError::NotUtf8),
        ("admin/x", PathError::NotAbsolute),
    ] {
        for access in [Access::http("GET", path), Access::grpc(path)] {
            let decision = policy.decide(&access.by(CHECKOUT));
            assert_eq!(decision.reason(), Reason::Path(error), "{path}");
            assert_eq!((decision.effect(), decision.route()), (Effect::Deny, None));
        }
    }
    let reason = policy.decide(&Access::http("GET", "/%61dmin/x").by(CHECKOUT)).reason();
    assert_eq!(reason, Reason::DenyRule("admin"));
}

#[test]
fn grpc_and_http_entries_do_not_match_each_other_in_an_allow_rule() {
    let policy = policy(
        "[[allow]]\nname='http'\nhttp=['* /shop.v1.Orders/{m}']\n\
         [[allow]]\nname='grpc'\ngrpc=['shop.v1.Orders/Get', 'shop.v1.Users/*']",
    );
    let reason = |a: Access<'_>| format!("{:?}", policy.decide(&a.by(CHECKOUT)).reason());
    for (access, want) in [
        (Access::grpc("/shop.v1.Orders/Get"), "Rule(\"grpc\")"),
        (Access::grpc("/shop.v1.Orders/%47et"), "Rule(\"grpc\")"),
        (Access::grpc("/shop.v1.Orders/List"), "NoRule"),
        (Access::grpc("/shop.v1.Orders/get"), "NoRule"),
        (Access::grpc("/shop.v1.Orders/Get/"), "NoRule"),
        (Access::grpc("/shop.v1.Users/Any"), "Rule(\"grpc\")"),
        (Access::grpc("/shop.v1.Users/"), "NoRule"),
        (Access::grpc("/shop.v1.Users/A/B"), "NoRule"),
        (Access::http("POST", "/shop.v1.Orders/Get"), "Rule(\"http\")"),
        (Access::http("POST", "/shop.v1.Users/Any"), "NoRule"),
    ] {
        assert_eq!(reason(access.clone()), want, "{access:?}");
    }
}

#[test]
fn deny_widens_to_what_a_server_could_take_the_access_for() {
    let policy = policy(
        "[[allow]]\nname='everything'\n\
         [[deny]]\nname='star'\nhttp=['* /a.A/{m}']\n\
         [[deny]]\nname='post'\nhttp=['POST /b.B/{m}']\n\
         [[deny]]\nname='get'\nhttp=['GET /c.C/{m}']\n\
         [[deny]]\nname='grpc'\ngrpc=['d.D/*']",
    );
    for (access, want) in [
        (Access::grpc("/a.A/M"), Reason::DenyRule("star")),
        (Access::grpc("/b.B/M"), Reason::DenyRule("post")),
        (Access::grpc("/c.C/M"), Reason::Rule("everything")),
        (Access::http("HEAD", "/c.C/M"), Reason::DenyRule("get")),
        (Access::http("PUT", "/c.C/M"), Reason::Rule("everything")),
        (Access::http("POST", "/d.D/M"), Reason::DenyRule("grpc")),
        (Access::grpc("/d.D/M"), Reason::DenyRule("grpc")),
    ] {
        assert_eq!(policy.decide(&access.clone().by(CHECKOUT)).reason(), want, "{access:?}");
    }
}

#[test]
fn from_matches_exactly_and_by_wildcard() {
    let one = policy("[[allow]]\nname='r'\nfrom=['batch']");
    let all = policy("[[allow]]\nname='r'\nfrom=['prod']");
    let deeper = &SpiffeId::from_static("spiffe://shop.example/ns/batch/sa/a/b");
    let shorter = &SpiffeId::from_static("spiffe://shop.example/ns/prod");
    let bare = &SpiffeId::from_static("spiffe://shop.example");
    for (policy, id, want) in [
        (&one, NIGHTLY, true),
        (&one, deeper, false),
        (&one, CHECKOUT, false),
        (&all, CHECKOUT, true),
        (&all, NIGHTLY, false),
        (&all, shorter, false),
        (&all, bare, false),
    ] {
        assert_eq!(policy.decide(&by(id)).is_allowed(), want, "{id}");
    }
}

#[test]
fn a_rule_without_from_is_for_every_peer_of_the_mesh_and_nobody_else() {
    let policy = policy("[[allow]]\nname='r'");
    let foreign = &SpiffeId::from_static("spiffe://shop.example.evil/ns/prod/sa/checkout");
    assert!(policy.decide(&by(NIGHTLY)).is_allowed());
    assert_eq!(policy.decide(&by(foreign)).reason(), Reason::ForeignTrustDomain);
    assert_eq!(policy.decide(&Access::http("GET", "/x")).reason(), Reason::NoIdentity);
}

#[test]
fn to_asks_for_a_known_callee() {
    let policy = policy("[[allow]]\nname='r'\nto=['orders']");
    let foreign = &SpiffeId::from_static("spiffe://other/ns/prod/sa/orders");
    assert!(policy.decide(&by(CHECKOUT).to(ORDERS)).is_allowed());
    assert_eq!(policy.decide(&by(CHECKOUT).to(EDGE)).reason(), Reason::NoRule);
    assert_eq!(policy.decide(&by(CHECKOUT).to(foreign)).reason(), Reason::NoRule);
    assert_eq!(policy.decide(&by(CHECKOUT)).reason(), Reason::NoRule);
}

#[test]
fn a_deny_rule_counts_for_a_callee_that_is_not_known() {
    let policy = policy("[[allow]]\nname='r'\n[[deny]]\nname='d'\nto=['orders']\nhttp=['GET /x']");
    assert_eq!(policy.decide(&by(CHECKOUT).to(ORDERS)).reason(), Reason::DenyRule("d"));
    assert_eq!(policy.decide(&by(CHECKOUT)).reason(), Reason::DenyRule("d"));
    assert_eq!(policy.decide(&by(CHECKOUT).to(EDGE)).reason(), Reason::Rule("r"));
}

#[test]
fn only_named_hops_carry_calls() {
    let named = policy("[[allow]]\nname='r'");
    assert!(named.is_hop(EDGE) && !named.is_hop(ORDERS));
    assert!(named.decide(&by(CHECKOUT).via(EDGE)).is_allowed());
    assert_eq!(named.decide(&by(CHECKOUT).via(ORDERS)).reason(), Reason::HopNotNamed);
    let foreign = &SpiffeId::from_static("spiffe://other/ns/prod/sa/edge");
    assert!(!named.is_hop(foreign));
    assert_eq!(named.decide(&by(CHECKOUT).via(foreign)).reason(), Reason::HopNotNamed);
    let none: Policy = "mesh='shop.example'\nversion=1\n[[allow]]\nname='r'".parse().unwrap();
    assert_eq!(none.decide(&by(CHECKOUT).via(EDGE)).reason(), Reason::HopNotNamed);
}

#[test]
fn via_matches_calls_through_the_hop_only() {
    let rules = policy("[[allow]]\nname='r'\nvia=['edge']");
    assert!(rules.decide(&by(CHECKOUT).via(EDGE)).is_allowed());
    assert_eq!(rules.decide(&by(CHECKOUT).direct()).reason(), Reason::NoRule);
    assert_eq!(rules.decide(&by(CHECKOUT)).reason(), Reason::NoRule);
    let rules = policy("[[allow]]\nname='r'\n[[deny]]\nname='d'\nvia=['edge']");
    assert_eq!(rules.decide(&by(CHECKOUT).via(EDGE)).reason(), Reason::DenyRule("d"));
    assert_eq!(rules.decide(&by(CHECKOUT).direct()).reason(), Reason::Rule("r"));
    assert_eq!(rules.decide(&by(CHECKOUT)).reason(), Reason::DenyRule("d"), "who carried it?");
}

#[test]
fn one_pattern_under_two_names_is_one_peer() {
    let text = "mesh='a'\nversion=1\n[peers]\nx='spiffe://a/w'\ny='spiffe://a/w'\n\
                [[allow]]\nname='r'\nfrom=['x']\nhttp=['GET /x']\n\
                [[allow]]\nname='q'\nfrom=['y']\nhttp=['GET /y']";
    let policy: Policy = text.parse().unwrap();
    let id = &SpiffeId::from_static("spiffe://a/w");
    assert!(policy.decide(&Access::http("GET", "/x").by(id)).is_allowed());
    assert!(policy.decide(&Access::http("GET", "/y").by(id)).is_allowed());
}
