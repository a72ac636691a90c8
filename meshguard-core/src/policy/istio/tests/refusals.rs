//! What is refused, with the document and the field that is at fault.

use super::*;

/// Kind and field of the refusal.
fn refused(json: Json, purpose: Purpose) -> (ImportErrorKind, String) {
    let error = match import_documents(std::slice::from_ref(&json), &workload(purpose)) {
        Ok(_) => panic!("not refused: {json}"),
        Err(error) => error,
    };
    assert!(error.document() == "shop/p" || error.document() == "document 1", "{error}");
    assert!(!error.message().is_empty());
    (error.kind(), error.field().to_owned())
}

#[test]
fn each_fault_of_a_document_names_its_field() {
    use ImportErrorKind::*;
    let top = |key: &str, value: Json| {
        let mut document = document(json!({}));
        document[key] = value;
        document
    };
    let with = |spec: Json| document(spec);
    for (json, kind, field) in [
        (json!([]), WrongType, ""),
        (top("kind", json!("AuthorisationPolicy")), WrongKind, "kind"),
        (top("kind", json!(null)), MissingField, "kind"),
        (top("apiVersion", json!("security.istio.io/v2")), WrongKind, "apiVersion"),
        (top("apiVersion", json!(null)), MissingField, "apiVersion"),
        (top("extra", json!(1)), UnknownField, "extra"),
        (top("metadata", json!({})), MissingField, "metadata.name"),
        (top("metadata", json!({ "name": "" })), Empty, "metadata.name"),
        (top("metadata", json!({ "name": "p", "x": 1 })), UnknownField, "metadata.x"),
        (
            top("metadata", json!({ "name": "p", "annotations": { "istio.io/dry-run": true } })),
            WrongType,
            "metadata.annotations[istio.io/dry-run]",
        ),
        (top("spec", json!([])), WrongType, "spec"),
        (with(json!({ "rule": [] })), UnknownField, "spec.rule"),
        (with(json!({ "action": "allow" })), UnknownValue, "spec.action"),
        (with(json!({ "provider": { "name": "x" } })), Conflict, "spec.provider"),
        (with(json!({ "rules": {} })), WrongType, "spec.rules"),
        (with(json!({ "rules": [null] })), WrongType, "spec.rules[0]"),
        (with(json!({ "action": "DENY" })), Meaningless, "spec.rules"),
        (
            with(json!({ "action": "CUSTOM", "provider": { "name": "x" } })),
            Meaningless,
            "spec.rules",
        ),
        (with(json!({ "action": "CUSTOM", "rules": [{}] })), MissingField, "spec.provider.name"),
        (with(json!({ "selector": { "labels": {} } })), UnknownField, "spec.selector.labels"),
        (
            with(json!({ "selector": { "matchLabels": { "app": "a*" } } })),
            BadValue,
            "spec.selector.matchLabels",
        ),
        (
            with(json!({ "selector": { "matchLabels": { "app": 1 } } })),
            WrongType,
            "spec.selector.matchLabels.app",
        ),
        (with(json!({ "selector": {}, "targetRefs": [{}] })), Conflict, "spec.selector"),
        (with(json!({ "targetRefs": [{}] })), Unsupported, "spec.targetRefs"),
    ] {
        assert_eq!(refused(json, Purpose::Enforce), (kind, field.to_owned()));
    }
}

#[test]
fn each_fault_of_a_rule_names_its_field() {
    use ImportErrorKind::*;
    let source = |source: Json| json!({ "from": [{ "source": source }] });
    let operation = |operation: Json| json!({ "to": [{ "operation": operation }] });
    let when = |condition: Json| json!({ "when": [condition] });
    for (json, kind, field) in [
        (json!({ "form": [] }), UnknownField, "form"),
        (json!({ "from": [{}] }), MissingField, "from[0].source"),
        (json!({ "from": [{ "source": {}, "x": 1 }] }), UnknownField, "from[0].x"),
        (source(json!({})), Empty, "from[0].source"),
        (source(json!({ "principal": ["a"] })), UnknownField, "from[0].source.principal"),
        (source(json!({ "principals": "a" })), WrongType, "from[0].source.principals"),
        (source(json!({ "principals": [1] })), WrongType, "from[0].source.principals[0]"),
        (source(json!({ "principals": [""] })), BadValue, "from[0].source.principals[0]"),
        (source(json!({ "principals": [] })), Empty, "from[0].source"),
        (source(json!({ "ipBlocks": ["1.2.3"] })), BadValue, "from[0].source.ipBlocks[0]"),
        (
            source(json!({ "notIpBlocks": ["::1", "::/129"] })),
            BadValue,
            "from[0].source.notIpBlocks[1]",
        ),
        (
            source(json!({ "serviceAccounts": ["ns/*"] })),
            BadValue,
            "from[0].source.serviceAccounts[0]",
        ),
        (
            source(json!({ "serviceAccounts": ["a/b/c"] })),
            BadValue,
            "from[0].source.serviceAccounts[0]",
        ),
        (source(json!({ "serviceAccounts": vec!["a"; 17] })), BadValue, "from[0].source"),
        (
            source(json!({ "serviceAccounts": ["a"], "notNamespaces": ["b"] })),
            Conflict,
            "from[0].source",
        ),
        (json!({ "to": [{ "operations": {} }] }), UnknownField, "to[0].operations"),
        (operation(json!({})), Empty, "to[0].operation"),
        (operation(json!({ "paths": [] })), Empty, "to[0].operation"),
        (operation(json!({ "ports": [80] })), WrongType, "to[0].operation.ports[0]"),
        (operation(json!({ "ports": ["65536"] })), BadValue, "to[0].operation.ports[0]"),
        (operation(json!({ "notPaths": ["/a", "/{x}"] })), BadValue, "to[0].operation.notPaths[1]"),
        (operation(json!({ "paths": ["/{*}/a/*"] })), BadValue, "to[0].operation.paths[0]"),
        (when(json!({ "values": ["a"] })), MissingField, "when[0].key"),
        (when(json!({ "key": "source.ip" })), Empty, "when[0]"),
        (when(json!({ "key": "source.ip", "value": ["a"] })), UnknownField, "when[0].value"),
        (when(json!({ "key": "source.ip", "notValues": ["a"] })), BadValue, "when[0].notValues[0]"),
        (when(json!({ "key": "source.user", "values": ["a"] })), UnknownKey, "when[0].key"),
        (when(json!({ "key": "request.path", "values": ["a"] })), UnknownKey, "when[0].key"),
        (when(json!({ "key": "request.headers", "values": ["a"] })), UnknownKey, "when[0].key"),
        (
            when(json!({ "key": "request.headers[:path]", "values": ["a"] })),
            UnknownKey,
            "when[0].key",
        ),
        (
            when(json!({ "key": "destination.labels[a]", "values": ["a"] })),
            UnknownKey,
            "when[0].key",
        ),
        (
            when(json!({ "key": "experimental.envoy.filters.a[b]", "values": ["a"] })),
            Unsupported,
            "when[0].key",
        ),
        (
            when(json!({ "key": "experimental.envoy.filters.a", "values": ["a"] })),
            UnknownKey,
            "when[0].key",
        ),
    ] {
        let field = format!("spec.rules[0].{field}");
        assert_eq!(refused(rule("ALLOW", json), Purpose::Enforce), (kind, field));
    }
}

#[test]
fn what_upstream_does_not_admit_again_is_read_as_it_decodes_it() {
    for list in ["from", "to"] {
        let empty = rule("ALLOW", json!({ list: [] }));
        let kind = refused(empty, Purpose::Admit).0;
        assert_eq!(kind, ImportErrorKind::Empty, "{list}");
    }
}

#[test]
fn a_custom_policy_is_refused_unless_its_provider_is_mapped() {
    let custom = |name: &str, rule: Json| {
        document(json!({ "action": "CUSTOM", "provider": { "name": name }, "rules": [rule] }))
    };
    let refused = refused(custom("ext", json!({})), Purpose::Enforce);
    assert_eq!(refused, (ImportErrorKind::Provider, "spec.provider.name".to_owned()));
    let mut mapped = workload(Purpose::Enforce);
    mapped.providers.insert("ext".into(), Effect::Deny);
    let denied = imported(&[custom("ext", json!({}))], &mapped);
    assert!(!denied.policy.decide(&Access::http("GET", "/")).is_allowed());
    mapped.providers.insert("other".into(), Effect::Allow);
    let allowed = imported(&[custom("other", json!({}))], &mapped);
    assert!(allowed.policy.decide(&Access::http("GET", "/")).is_allowed());
    let two = [custom("ext", json!({})), custom("other", json!({}))];
    let error = import_documents(&two, &mapped).unwrap_err();
    assert_eq!(error.kind(), ImportErrorKind::Provider);
    let identity = json!({ "from": [{ "source": { "principals": ["a"] } }] });
    let error = import_documents(&[custom("ext", identity)], &mapped).unwrap_err();
    assert_eq!(error.kind(), ImportErrorKind::Unsupported);
}

#[test]
fn to_decide_as_upstream_a_missing_provider_denies_what_matches() {
    let to = json!({ "to": [{ "operation": { "paths": ["/x"] } }] });
    let custom =
        document(json!({ "action": "CUSTOM", "provider": { "name": "e" }, "rules": [to] }));
    let imported = imported(&[custom], &workload(Purpose::Decide));
    assert!(!imported.policy.decide(&Access::http("GET", "/x")).is_allowed());
    assert!(imported.policy.decide(&Access::http("GET", "/y")).is_allowed());
}

#[test]
fn too_many_combinations_are_refused() {
    let many = |inner: &str, field: &str| {
        let one = json!({ inner: { field: ["80"] } });
        vec![one; 65]
    };
    let json = json!({ "from": many("source", "namespaces"), "to": many("operation", "ports") });
    let (kind, field) = refused(rule("ALLOW", json), Purpose::Enforce);
    assert_eq!((kind, field.as_str()), (ImportErrorKind::TooManyRules, "spec.rules[0]"));
}

#[test]
fn a_text_that_is_not_understood_is_refused_whole() {
    let kind = |text: &str| import(text, &Workload::new("shop")).unwrap_err().kind();
    let policy =
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\n";
    assert_eq!(kind("a: [\n"), ImportErrorKind::Syntax);
    assert_eq!(kind(&format!("{policy}spec: {{}}\nspec: {{}}\n")), ImportErrorKind::Syntax);
    assert_eq!(kind(&" ".repeat(MAX_DOCUMENT + 1)), ImportErrorKind::TooLarge);
    let two = format!("{policy}---\n{policy}spec: {{ rules: [{{ x: 1 }}] }}\n");
    assert_eq!(kind(&two), ImportErrorKind::UnknownField);
    let mut bad = Workload::new("shop");
    bad.trust_domain = "Not One".into();
    assert_eq!(import(policy, &bad).unwrap_err().kind(), ImportErrorKind::TrustDomain);
}

/// What bounds the reader's work has room for as many policies as are imported.
#[test]
fn as_many_policies_as_a_mesh_has_are_read() {
    let mut text = String::new();
    for n in 0..2_000 {
        text.push_str(&format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{ name: p{n} }}\nspec: {{ rules: [] }}\n---\n"
        ));
    }
    assert!(import(&text, &Workload::new("shop")).is_ok());
    let more = text.repeat(MAX_POLICIES / 2_000 + 1);
    let error = import(&more, &Workload::new("shop")).unwrap_err();
    assert_eq!(error.kind(), ImportErrorKind::TooLarge);
}
