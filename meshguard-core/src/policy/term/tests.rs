//! Claims about terms.

use serde_json::json;

use super::*;
use crate::identity::SpiffeId;

fn term(key: &str, values: &[&str], not_values: &[&str]) -> Term {
    Term::parse(key, values, not_values).unwrap_or_else(|e| panic!("{key}: {e:?}"))
}

/// Whether a term with this one value holds for the caller.
fn is(key: &str, value: &str, id: &str) -> bool {
    let id: SpiffeId = format!("spiffe://{id}").parse().unwrap();
    term(key, &[value], &[]).holds(&Access::http("GET", "/").by(&id), Some("/"))
}

#[test]
fn a_missing_attribute_has_no_value_and_none_of_the_unwanted() {
    let nothing = Access::tcp();
    for (key, value) in [
        ("source.principal", "*"),
        ("source.namespace", "*"),
        ("source.serviceAccount", "a/b"),
        ("source.trustDomain", "*"),
        ("source.ip", "0.0.0.0/0"),
        ("remote.ip", "0.0.0.0/0"),
        ("destination.ip", "0.0.0.0/0"),
        ("destination.port", "0"),
        ("connection.sni", "*"),
        ("request.path", "*"),
        ("request.method", "*"),
        ("request.host", "*"),
        ("request.headers[x]", "*"),
        ("request.headers[:authority]", "*"),
        ("request.headers[:method]", "*"),
        ("request.auth.principal", "*"),
        ("request.auth.audiences", "*"),
        ("request.auth.presenter", "*"),
        ("request.auth.claims[a]", "*"),
    ] {
        assert!(!term(key, &[value], &[]).holds(&nothing, None), "{key}");
        assert!(term(key, &[], &[value]).holds(&nothing, None), "{key}");
        assert!(!term(key, &[value], &[value]).holds(&nothing, None), "{key}");
    }
}

#[test]
fn values_are_alternatives_and_both_lists_must_be_satisfied() {
    let access = Access::http("GET", "/public/ok");
    let paths = term("request.path", &["/x", "/public*"], &["/public/ok"]);
    assert!(paths.holds(&access, Some("/public/other")));
    assert!(!paths.holds(&access, Some("/public/ok")));
    assert!(!paths.holds(&access, Some("/private")));
}

#[test]
fn a_principal_is_compared_without_its_scheme() {
    for (value, id, want) in [
        ("cluster.local/ns/a/sa/b", "cluster.local/ns/a/sa/b", true),
        ("cluster.local/ns/a/sa/b", "cluster.local/ns/a/sa/bc", false),
        ("cluster.local/ns/a/sa/*", "cluster.local/ns/a/sa/b", true),
        ("*/ns/a/sa/b.c", "td/ns/a/sa/b.c", true),
        ("*/ns/a/sa/b.c", "td/ns/a/sa/bxc", false),
        ("*", "td", true),
    ] {
        assert_eq!(is("source.principal", value, id), want, "{value} {id}");
    }
    assert!(is("source.trustDomain", "td", "td/ns/a/sa/b"));
    assert!(is("source.trustDomain", "*d", "td/ns/a/sa/b"));
    assert!(!is("source.trustDomain", "t", "td/ns/a/sa/b"));
}

#[test]
fn a_namespace_is_a_whole_segment_behind_ns() {
    for (value, id, want) in [
        ("foo", "td/ns/foo/sa/x", true),
        ("foo", "td/ns/bar/sa/ns", false),
        ("foo", "td/ns/food/sa/x", false),
        ("foo", "td/ns/foo", false),
        ("f.o", "td/ns/fxo/sa/x", false),
        ("fo*", "td/ns/food/sa/x", true),
        ("*oo", "td/ns/foo/sa/x", true),
        ("*", "td/ns/foo/sa/x", true),
        // As upstream has it: a namespace that is called `ns` can be mistaken.
        ("sa", "td/ns/ns/sa/x", true),
    ] {
        assert_eq!(is("source.namespace", value, id), want, "{value} {id}");
    }
}

#[test]
fn a_service_account_is_literal_in_any_trust_domain() {
    for (value, id, want) in [
        ("ns1/cert-manager.io", "td/ns/ns1/sa/cert-manager.io", true),
        ("ns1/cert-manager.io", "td/ns/ns1/sa/cert-managerxio", false),
        ("ns1/a", "other/ns/ns1/sa/a", true),
        ("ns1/a", "td/ns/ns1/sa/ab", false),
        ("ns1/a", "td/ns/ns2/sa/a", false),
        ("ns1/a", "td/ns/ns1/sa/a/k/v", true),
        ("ns1/a", "td/k/v/ns/ns1/x/y/sa/a", true),
        ("ns1/a", "td/ns/ns1/xsa/a", false),
        ("sa/x", "td/ns/ns/sa/sa/x", true),
        ("ns/x", "td/ns/ns/sa/x", true),
    ] {
        assert_eq!(is("source.serviceAccount", value, id), want, "{value} {id}");
    }
}

#[test]
fn an_address_may_be_written_as_one_of_the_other_family() {
    let holds = |value: &str, ip: &str| {
        let access = Access::tcp().source(ip.parse().unwrap());
        term("source.ip", &[value], &[]).holds(&access, None)
    };
    assert!(holds("10.0.0.0/8", "10.1.2.3"));
    assert!(holds("10.9.9.9/8", "::ffff:10.1.2.3"));
    assert!(holds("::ffff:10.0.0.0/104", "10.1.2.3"));
    assert!(!holds("10.1.2.3", "10.1.2.4"));
    assert!(!holds("::/0", "10.1.2.3"));
}

#[test]
fn the_first_client_is_the_connections_end_unless_a_hop_tells_more() {
    let from = |text: &str| text.parse::<IpAddr>().unwrap();
    let remote = term("remote.ip", &["10.0.0.0/8"], &[]);
    assert!(remote.holds(&Access::tcp().source(from("10.1.1.1")), None));
    let told = Access::tcp().source(from("10.1.1.1")).client(from("192.0.2.1"));
    assert!(!remote.holds(&told, None));
    assert!(term("source.ip", &["10.0.0.0/8"], &[]).holds(&told, None));
}

#[test]
fn hosts_ignore_case_and_keep_their_port() {
    let host = |value: &str, host: &str| {
        term("request.host", &[value], &[]).holds(&Access::http("GET", "/").host(host), Some("/"))
    };
    assert!(host("A.com", "a.COM"));
    assert!(!host("a.com", "a.com:80"));
    assert!(!host("a.com", "a.com."));
    assert!(host("a.com:*", "A.com:80"));
    assert!(host("*", ""));
}

#[test]
fn headers_are_matched_value_by_value_and_any_is_there_if_empty() {
    let access = Access::http("GET", "/").header("X-Role", "user").header("x-role", "admin");
    assert!(term("request.headers[x-role]", &["admin"], &[]).holds(&access, None));
    assert!(!term("request.headers[x-role]", &[], &["admin"]).holds(&access, None));
    assert!(!term("request.headers[x-role]", &["user,admin"], &[]).holds(&access, None));
    assert!(!term("request.headers[x-role]", &["Admin"], &[]).holds(&access, None));
    let empty = Access::http("GET", "/").header("x-role", "");
    assert!(term("request.headers[x-role]", &["*"], &[]).holds(&empty, None));
    assert!(!term("request.headers[x-role]", &["x*"], &[]).holds(&empty, None));
}

#[test]
fn an_uncovered_header_cannot_be_hidden() {
    let mut map = http::HeaderMap::new();
    map.append("x-role", http::HeaderValue::from_static("admin"));
    let access = Access::http("GET", "/").headers(&map, &[]);
    assert!(term("request.headers[x-role]", &["admin"], &[]).holds(&access, None));
}

#[test]
fn a_claim_is_a_string_or_a_list_and_nests() {
    let claims = json!({
        "scope": "read write", "groups": ["a", "b c", 1], "n": 1, "empty": "", "none": [],
        "nested": { "key": ["v"], "deep": { "key": "w x" } },
    });
    let access = Access::http("GET", "/").claims(&claims);
    for (key, value, want) in [
        ("[scope]", "write", true),
        ("[scope]", "read write", true),
        ("[scope]", "writ", false),
        ("[scope]", "wri*", true),
        ("[groups]", "a", true),
        ("[groups]", "b", false),
        ("[groups]", "1", false),
        ("[n]", "1", false),
        ("[empty]", "*", false),
        ("[none]", "*", false),
        ("[nested][key]", "v", true),
        ("[nested][deep][key]", "x", true),
        ("[nested][key][deep]", "v", false),
        ("[scope][x]", "*", false),
        ("[absent]", "*", false),
    ] {
        let term = term(&format!("request.auth.claims{key}"), &[value], &[]);
        assert_eq!(term.holds(&access, None), want, "{key} {value}");
    }
}

#[test]
fn audiences_and_presenter_are_the_claims_aud_and_azp() {
    let claims = json!({ "aud": ["foo", "bar"], "azp": "baz qux" });
    let access = Access::http("GET", "/").claims(&claims);
    assert!(term("request.auth.audiences", &["bar"], &[]).holds(&access, None));
    assert!(!term("request.auth.audiences", &["baz"], &[]).holds(&access, None));
    assert!(term("request.auth.presenter", &["baz qux"], &[]).holds(&access, None));
    assert!(!term("request.auth.presenter", &["baz"], &[]).holds(&access, None));
}

#[test]
fn issuer_and_subject_are_compared_apart() {
    for (value, issuer, subject, want) in [
        ("*", "i", "s", true),
        ("*", "i", "", false),
        ("foo*", "foobar", "x", true),
        ("foo*", "foobar", "", false),
        ("*foo", "any", "xfoo", true),
        ("*/foo", "any", "foo", true),
        ("*/foo", "any", "xfoo", false),
        ("*bar/foo", "xbar", "foo", true),
        ("*bar/foo", "xbar", "xfoo", false),
        ("foo/bar*", "foo", "barx", true),
        ("foo/bar*", "foox", "bar", false),
        ("foo/*", "foo", "x", true),
        ("foo/*", "foo", "", false),
        ("https://a/b/sub", "https://a/b", "sub", true),
        ("https://a/b/sub", "https://a", "b/sub", false),
        ("foo", "foo", "", true),
        ("foo", "foo", "x", false),
        ("*/*", "any", "*", true),
        ("*/*", "any", "x", false),
    ] {
        let claims = json!({ "iss": issuer, "sub": subject });
        let access = Access::http("GET", "/").claims(&claims);
        let term = term("request.auth.principal", &[value], &[]);
        assert_eq!(term.holds(&access, None), want, "{value} {issuer} {subject}");
    }
    let claims = json!({ "iss": "foo" });
    let access = Access::http("GET", "/").claims(&claims);
    assert!(!term("request.auth.principal", &["foo", "*"], &[]).holds(&access, None));
}

#[test]
fn a_term_that_is_not_understood_names_its_part() {
    for (key, values, not_values, part) in [
        ("source.user", vec!["v"], vec![], Part::Key),
        ("source.ip", vec![], vec![], Part::Whole),
        ("source.ip", vec!["1.2.3.4", "a.b"], vec![], Part::Value(1)),
        ("source.ip", vec![], vec!["1.2.3.4/33"], Part::NotValue(0)),
        ("destination.port", vec!["65536"], vec![], Part::Value(0)),
        ("destination.port", vec!["+80"], vec![], Part::Value(0)),
        ("destination.port", vec!["8*"], vec![], Part::Value(0)),
        ("source.serviceAccount", vec!["name"], vec![], Part::Value(0)),
        ("source.serviceAccount", vec!["ns/*"], vec![], Part::Value(0)),
        ("source.serviceAccount", vec!["a/b/c"], vec![], Part::Value(0)),
        ("request.path", vec!["/{name}"], vec![], Part::Value(0)),
        ("request.path", vec!["/a", "/{*}/*"], vec![], Part::Value(1)),
        ("request.host", vec![""], vec![], Part::Value(0)),
    ] {
        let error = Term::parse(key, &values, &not_values).unwrap_err();
        assert_eq!(error.part, part, "{key} {values:?} {not_values:?}");
        assert!(!error.message.is_empty() && !error.hint.is_empty());
    }
}

#[test]
fn a_term_is_printed_as_it_is_read() {
    let term = term("source.ip", &["10.9.9.9/8"], &["10.1.1.1"]);
    let values: Vec<&str> = term.values().collect();
    let not_values: Vec<&str> = term.not_values().collect();
    assert_eq!(Term::parse(&term.key().to_string(), &values, &not_values), Ok(term.clone()));
    assert_eq!(term.to_string(), "source.ip is 10.9.9.9/8 is not 10.1.1.1");
}
