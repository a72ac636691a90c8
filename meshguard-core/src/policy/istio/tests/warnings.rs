//! What is kept although it is not safe.

use super::*;

/// The kinds of warning, with their fields.
fn warned(json: Json, workload: &Workload) -> Vec<(WarningKind, String)> {
    let warnings = imported(&[json], workload).warnings.into_iter();
    warnings.map(|w| (w.kind, w.field.trim_start_matches("spec.rules[0].").to_owned())).collect()
}

fn source(source: Json) -> Json {
    json!({ "from": [{ "source": source }] })
}

fn operation(operation: Json) -> Json {
    json!({ "to": [{ "operation": operation }] })
}

#[track_caller]
fn check(json: Json, workload: &Workload, want: &[(WarningKind, &str)]) {
    let want: Vec<_> = want.iter().map(|(kind, f)| (*kind, (*f).to_owned())).collect();
    assert_eq!(warned(json.clone(), workload), want, "{json}");
}

#[test]
fn who_is_let_in_or_spared_by_having_nothing_is_warned_of() {
    use WarningKind::*;
    let base = workload(Purpose::Decide);
    let open = rule("ALLOW", source(json!({ "notNamespaces": ["bad"] })));
    check(open, &base, &[(AdmitsPlaintext, "from[0].source.notNamespaces")]);
    let closed = json!({ "notNamespaces": ["bad"], "namespaces": ["*"] });
    check(rule("ALLOW", source(closed)), &base, &[]);
    let deny = rule("DENY", source(json!({ "namespaces": ["bad"] })));
    check(deny, &base, &[(SparesPlaintext, "from[0].source.namespaces")]);
    let header = json!({ "when": [{ "key": "request.headers[x]", "values": ["a"] }] });
    check(rule("DENY", header), &base, &[(SparesMissing, "when[0].key")]);
    let foreign = rule("ALLOW", source(json!({ "principals": ["other/ns/a/sa/b"] })));
    check(foreign, &base, &[(ForeignTrustDomain, "from[0].source.principals")]);
}

#[test]
fn deny_rules_that_another_spelling_evades_are_warned_of() {
    use WarningKind::*;
    let base = workload(Purpose::Decide);
    let host = |host: &str| rule("DENY", operation(json!({ "hosts": [host] })));
    check(host("a.com"), &base, &[(HostForms, "to[0].operation.hosts")]);
    check(host("a.com*"), &base, &[]);
    let path = || rule("DENY", operation(json!({ "paths": ["/admin"] })));
    check(path(), &base, &[(WeakNormalization, "to[0].operation.paths")]);
    let mut strict = base;
    strict.normalization = Normalization::DecodeAndMergeSlashes;
    check(path(), &strict, &[]);
}

#[test]
fn what_tcp_makes_of_http_is_warned_of() {
    use WarningKind::*;
    let mut tcp = workload(Purpose::Decide);
    tcp.protocol = Protocol::Tcp;
    let get = |action| rule(action, operation(json!({ "methods": ["GET"] })));
    check(get("DENY"), &tcp, &[(WidenedOnTcp, "spec.rules[0]")]);
    check(get("ALLOW"), &tcp, &[(DroppedOnTcp, "spec.rules[0]")]);
}

#[test]
fn policies_without_effect_are_warned_of() {
    use WarningKind::*;
    let base = workload(Purpose::Decide);
    check(rule("AUDIT", json!({})), &base, &[(Audit, "")]);
    check(document(json!({})), &base, &[(NoRules, "")]);
    check(document(json!({ "action": "DENY" })), &base, &[(NoRules, "")]);
    check(document(json!({ "targetRefs": [{}] })), &base, &[(Targeted, "")]);
    let empty = rule("ALLOW", operation(json!({ "paths": [], "methods": ["GET"] })));
    check(empty, &base, &[(EmptyList, "to[0].operation.notPaths")]);
}

#[test]
fn metadata_that_nobody_has_is_always_missing() {
    let key = "experimental.envoy.filters.a.b[c]";
    let rules = |list: &str| rule("DENY", json!({ "when": [{ "key": key, list: ["x"] }] }));
    let decide = |json: Json| {
        let imported = imported(&[json], &workload(Purpose::Decide));
        assert!(imported.warnings.iter().any(|w| w.kind == WarningKind::AlwaysMissing));
        imported.policy.decide(&Access::http("GET", "/")).is_allowed()
    };
    assert!(decide(rules("values")));
    assert!(!decide(rules("notValues")));
}
