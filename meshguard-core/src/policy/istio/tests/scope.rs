//! For which workloads a policy is, and what the document is made of.

use super::*;

fn covered(namespace: &str, selector: Json, labels: &[(&str, &str)]) -> bool {
    let mut document = document(json!({ "selector": { "matchLabels": selector } }));
    document["metadata"]["namespace"] = namespace.into();
    let mut workload = Workload::new("shop");
    workload.labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    workload.allow_none = true;
    imported(&[document], &workload).out_of_scope.is_empty()
}

#[test]
fn a_policy_is_for_the_labelled_workloads_of_its_namespace_or_of_all() {
    let labels = [("app", "a"), ("version", "v1")];
    assert!(covered("shop", json!({}), &labels));
    assert!(covered("shop", json!({ "app": "a" }), &labels));
    assert!(covered("istio-system", json!({ "app": "a", "version": "v1" }), &labels));
    assert!(!covered("other", json!({}), &labels));
    assert!(!covered("shop", json!({ "app": "b" }), &labels));
    assert!(!covered("shop", json!({ "app": "a", "tier": "x" }), &labels));
}

#[test]
fn what_is_for_another_workload_may_hold_anything() {
    let own = rule("DENY", json!({}));
    let mut other = rule("ALLOW", json!({ "x": 1 }));
    other["metadata"]["namespace"] = "other".into();
    let mut labelled = rule("ALLOW", json!({ "x": 1 }));
    labelled["spec"]["selector"] = json!({ "matchLabels": { "app": "b" } });
    for faulty in [other, labelled] {
        let outside = imported(&[own.clone(), faulty.clone()], &Workload::new("shop"));
        assert_eq!(outside.out_of_scope.len(), 1, "{faulty}");
        // Whether upstream admits it is another question.
        assert!(import_documents(&[faulty], &workload(Purpose::Admit)).is_err());
    }
    // Where it is not known whom it is for, it is read.
    for selector in [json!({ "labels": {} }), json!({ "matchLabels": { "app": "b*" } })] {
        let mut unclear = rule("ALLOW", json!({}));
        unclear["spec"]["selector"] = selector;
        assert!(import_documents(&[unclear], &Workload::new("shop")).is_err());
    }
}

#[test]
fn an_import_that_finds_no_policy_is_refused_unless_that_is_meant() {
    let mut other = rule("ALLOW", json!({}));
    other["metadata"]["namespace"] = "other".into();
    for documents in [&[][..], &[other], &[json!({ "apiVersion": "v1", "kind": "Pod" })]] {
        let error = import_documents(documents, &Workload::new("shop")).unwrap_err();
        assert_eq!(error.kind(), ImportErrorKind::NothingInScope, "{error}");
        let mut open = Workload::new("shop");
        open.allow_none = true;
        assert!(!imported(documents, &open).has_allow_policy);
    }
}

#[test]
fn each_combination_of_sources_and_operations_is_one_rule() {
    let json = json!({
        "from": [{ "source": { "namespaces": ["a"] } }, { "source": { "namespaces": ["b"] } }],
        "to": [{ "operation": { "paths": ["/1"] } }, { "operation": { "paths": ["/2"] } }],
        "when": [{ "key": "request.headers[x]", "values": ["y"] }],
    });
    let imported = imported(&[rule("ALLOW", json)], &Workload::new("shop"));
    let want = ["shop/p/0/0/0", "shop/p/0/0/1", "shop/p/0/1/0", "shop/p/0/1/1"];
    assert_eq!(names(&imported), want);
}

#[test]
fn without_an_allow_policy_all_is_allowed_by_a_rule_that_says_so() {
    let get = Access::http("GET", "/").by(SLEEP);
    let mut none = Workload::new("shop");
    none.allow_none = true;
    let open = imported(&[], &none);
    assert_eq!(names(&open), ["istio/no-allow-policy"]);
    assert!(open.policy.decide(&get).is_allowed());
    let closed = imported(&[document(json!({}))], &Workload::new("shop"));
    assert!(names(&closed).is_empty());
    assert!(!closed.policy.decide(&get).is_allowed());
    let everything = imported(&[rule("ALLOW", json!({}))], &Workload::new("shop"));
    assert!(everything.policy.decide(&Access::tcp()).is_allowed());
}

#[test]
fn a_dry_run_shadows_and_does_not_count() {
    let mut document = rule("ALLOW", json!({ "to": [{ "operation": { "paths": ["/x"] } }] }));
    document["metadata"]["annotations"] = json!({ "istio.io/dry-run": "T" });
    let shadowed = imported(std::slice::from_ref(&document), &Workload::new("shop"));
    assert!(shadowed.policy.decide(&Access::http("GET", "/y")).is_allowed());
    assert!(shadowed.text.contains("shadow = true"));
    document["metadata"]["annotations"] = json!({ "istio.io/dry-run": "yes" });
    let enforced = imported(&[document], &Workload::new("shop"));
    assert!(!enforced.policy.decide(&Access::http("GET", "/y")).is_allowed());
}

#[test]
fn names_that_stand_twice_are_told_apart_and_long_ones_replaced() {
    let twice = [rule("DENY", json!({})), rule("DENY", json!({}))];
    let both = imported(&twice, &Workload::new("shop"));
    assert_eq!(names(&both)[..2], ["shop/p/0/0/0", "shop/p~2/0/0/0"]);
    let mut long = rule("DENY", json!({}));
    long["metadata"]["name"] = "x".repeat(200).into();
    let long = imported(&[long], &Workload::new("shop"));
    assert_eq!(names(&long)[0], "document-1/0/0/0");
}

#[test]
fn yaml_json_and_lists_are_read_alike() {
    let json = rule("DENY", json!({ "to": [{ "operation": { "paths": ["/a\"b\\c\u{1}"] } }] }));
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [json] });
    let yaml = "---\napiVersion: security.istio.io/v1beta1\nkind: AuthorizationPolicy\nmetadata:\n  name: p\nspec:\n  action: DENY\n  rules:\n  - to:\n    - operation:\n        paths: [\"/a\\\"b\\\\c\\x01\"]\n---\n";
    let workload = Workload::new("shop");
    let from_json = import(&json.to_string(), &workload).unwrap();
    assert_eq!(import(yaml, &workload).unwrap().text, from_json.text);
    assert_eq!(import(&list.to_string(), &workload).unwrap().text, from_json.text);
}

#[test]
fn on_tcp_an_allow_rule_with_http_is_dropped_and_a_deny_rule_widened() {
    let mut tcp = Workload::new("shop");
    tcp.protocol = Protocol::Tcp;
    let mixed = json!({ "to": [
        { "operation": { "ports": ["80"] } }, { "operation": { "methods": ["GET"] } },
    ] });
    let allow = imported(&[rule("ALLOW", mixed.clone())], &tcp);
    assert!(!allow.policy.decide(&Access::tcp().port(80)).is_allowed());
    let deny = imported(&[rule("DENY", mixed)], &tcp);
    assert!(!deny.policy.decide(&Access::tcp().port(81)).is_allowed());
}

#[test]
fn a_service_account_without_a_namespace_is_of_the_policys() {
    let json = json!({ "from": [{ "source": { "serviceAccounts": ["sleep"] } }] });
    let imported = imported(&[rule("ALLOW", json)], &Workload::new("shop"));
    assert!(imported.text.contains("\"shop/sleep\""), "{}", imported.text);
    assert!(imported.policy.decide(&Access::http("GET", "/").by(SLEEP)).is_allowed());
}
