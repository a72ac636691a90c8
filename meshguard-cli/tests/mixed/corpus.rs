//! The files, and what each becomes.

pub(crate) enum Expected {
    /// So many rules come of it, so many resources are skipped, and these words are warned of;
    /// none: there is no warning.
    Imports { rules: u64, skipped: usize, warns: &'static [&'static str] },
    /// It is refused in these words.
    Refuses(&'static [&'static str]),
}

use Expected::{Imports, Refuses};

pub(crate) const POLICY: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: orders
  namespace: shop
spec:
  selector: { matchLabels: { app: orders } }
  rules:
  - from: [{ source: { principals: [cluster.local/ns/shop/sa/web] } }]
";

/// A resource of another kind.
fn resource(version: &str, kind: &str) -> String {
    format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{ name: web, namespace: shop }}\nspec: {{ replicas: 2, rules: [{{ host: a }}] }}\n"
    )
}

fn with(other: &str) -> String {
    format!("{other}---\n{POLICY}")
}

fn fine(skipped: usize) -> Expected {
    Imports { rules: 1, skipped, warns: &[] }
}

type Case = (String, String, Expected);

pub(crate) fn corpus() -> Vec<Case> {
    let mut all: Vec<Case> = vec![("a policy alone".into(), POLICY.into(), fine(0))];
    let mut add = |name: &str, text: String, expected| all.push((name.into(), text, expected));
    kinds(&mut add);
    shapes(&mut add);
    others(&mut add);
    refused(&mut add);
    lists(&mut add);
    authentication(&mut add);
    all
}

type Add<'a> = &'a mut dyn FnMut(&str, String, Expected);

fn kinds(add: Add<'_>) {
    for (version, kind) in [
        ("v1", "Namespace"),
        ("v1", "Service"),
        ("v1", "ServiceAccount"),
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("v1", "Pod"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("batch/v1", "CronJob"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("networking.k8s.io/v1", "Ingress"),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("gateway.networking.k8s.io/v1", "Gateway"),
        ("networking.istio.io/v1", "VirtualService"),
        ("networking.istio.io/v1", "DestinationRule"),
        ("networking.istio.io/v1", "Gateway"),
        ("networking.istio.io/v1", "ServiceEntry"),
        ("networking.istio.io/v1", "Sidecar"),
        ("telemetry.istio.io/v1", "Telemetry"),
        ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
        ("argoproj.io/v1alpha1", "Application"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("policy.linkerd.io/v1alpha1", "AuthorizationPolicy"),
    ] {
        add(&format!("before it, a {kind} of {version}"), with(&resource(version, kind)), fine(1));
    }
    let after = format!("{POLICY}---\n{}", resource("apps/v1", "Deployment"));
    add("after it, a Deployment", after, fine(1));
    add("a kustomization without a kind", with("resources:\n- a.yaml\nnamespace: shop\n"), fine(1));
    add("values of a chart", with("replicaCount: 2\nimage: { tag: v1 }\n"), fine(1));
}

fn shapes(add: Add<'_>) {
    add("an empty document", with("---\n"), fine(0));
    add("comments only", with("# a note\n# and another\n"), fine(0));
    add("markers before and after", format!("---\n---\n{POLICY}---\n---\n"), fine(0));
    add("an end marker", format!("{POLICY}...\n"), fine(0));
    add("a byte order mark", format!("\u{feff}{POLICY}"), fine(0));
    add("CRLF", with(&resource("v1", "Service")).replace('\n', "\r\n"), fine(1));
    add("comments behind values", POLICY.replace("name: orders", "name: orders # it"), fine(0));
    add("a null document", with("null\n"), fine(0));
    let anchors = "x: &a { b: 1 }\ny: *a\n";
    add("anchors in another document", with(anchors), fine(1));
    add("what kubectl adds", POLICY.replace("  name: orders", "  name: orders\n  uid: 1-2\n  generation: 3\n  annotations:\n    kubectl.kubernetes.io/last-applied-configuration: |\n      {\"kind\":\"AuthorizationPolicy\"}\n  managedFields: []"), fine(0));
    let namespaceless = POLICY.replace("  namespace: shop\n", "");
    add("without a namespace", namespaceless, fine(0));
    let binary = "apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata: { a: aGk= }\n";
    add("a secret with data", with(binary), fine(1));
}

/// Policies that are for others, whatever they hold.
fn others(add: Add<'_>) {
    let other = |spec: &str| {
        with(&format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{ name: o, namespace: other }}\nspec: {spec}\n"
        ))
    };
    for (name, spec) in [
        ("sound", "{ rules: [{}] }"),
        ("with an unknown field", "{ rules: [{ form: [] }] }"),
        ("with an unknown action", "{ action: PERMIT }"),
        ("with a provider", "{ action: CUSTOM, provider: { name: opa }, rules: [{}] }"),
        ("with targetRefs", "{ targetRefs: [{ kind: Gateway, name: g }], rules: [{}] }"),
        ("that is no object", "nonsense"),
    ] {
        add(&format!("another namespace's policy, {name}"), other(spec), fine(0));
    }
    let version = other("{}").replacen("security.istio.io/v1\n", "security.istio.io/v9\n", 1);
    add("another namespace's policy, of an unknown version", version, fine(0));
    let labels = other("{ selector: { matchLabels: { app: web } }, rules: [{ form: [] }] }");
    add(
        "another workload's policy, with an unknown field",
        labels.replace("namespace: other", "namespace: shop"),
        fine(0),
    );
    let filter = resource("networking.istio.io/v1alpha3", "EnvoyFilter");
    add("another namespace's EnvoyFilter", with(&filter.replace("shop", "other")), fine(1));
    let root = POLICY.replace("namespace: shop", "namespace: istio-system");
    add("a policy of the root namespace", root, fine(0));
}

#[allow(clippy::too_many_lines)] // a list
fn refused(add: Add<'_>) {
    let nothing = &["no AuthorizationPolicy is for a workload of the namespace `shop`"];
    add("an empty file", String::new(), Refuses(nothing));
    add("a file of comments", "# nothing\n".into(), Refuses(nothing));
    add("a file of markers", "---\n---\n".into(), Refuses(nothing));
    add("other kinds alone", resource("v1", "Service"), Refuses(nothing));
    add(
        "another namespace's alone",
        POLICY.replace("shop", "other"),
        Refuses(&["for other workloads: other/orders"]),
    );
    add(
        "another workload's alone",
        POLICY.replace("app: orders", "app: web"),
        Refuses(&["app=orders", "shop/orders"]),
    );
    add("an empty list", "apiVersion: v1\nkind: List\nitems: []\n".into(), Refuses(nothing));
    for kind in ["AuthorisationPolicy", "authorizationpolicy", "AuthorizationPolicies"] {
        let text = POLICY.replace("AuthorizationPolicy", kind);
        add(kind, text.clone(), Refuses(&["unknown kind", "did you mean `AuthorizationPolicy`"]));
        add(&format!("{kind} beside a right one"), with(&text), Refuses(&["unknown kind"]));
    }
    let slip = POLICY.replace("AuthorizationPolicy", "AuthorizationPolcy");
    add(
        "a kind and a group misspelt",
        slip.replace("security.istio.io", "security.istio"),
        Refuses(&["did you mean"]),
    );
    add(
        "a group misspelt",
        POLICY.replace("security.istio.io", "security.isto.io"),
        Refuses(&["unknown version"]),
    );
    add("an unknown version", POLICY.replace("io/v1\n", "io/v3\n"), Refuses(&["unknown version"]));
    add(
        "without an apiVersion",
        POLICY.replace("apiVersion: security.istio.io/v1\n", ""),
        Refuses(&["apiVersion"]),
    );
    add(
        "without a kind",
        POLICY.replace("kind: AuthorizationPolicy\n", ""),
        Refuses(&["`kind` must be set"]),
    );
    add("a misspelt key kind", POLICY.replace("kind:", "Kind:"), Refuses(&["`kind` must be set"]));
    add(
        "an unknown kind of the group",
        with(&resource("security.istio.io/v1", "AccessPolicy")),
        Refuses(&["unknown kind", "may decide on access"]),
    );
    add(
        "an EnvoyFilter",
        with(&resource("networking.istio.io/v1alpha3", "EnvoyFilter")),
        Refuses(&["EnvoyFilter"]),
    );
    add(
        "a WasmPlugin",
        with(&resource("extensions.istio.io/v1alpha1", "WasmPlugin")),
        Refuses(&["WasmPlugin"]),
    );
    add("a misspelt field", POLICY.replace("principals", "principal"), Refuses(&["unknown field"]));
    add(
        "a misspelt selector",
        POLICY.replace("matchLabels", "matchlabels"),
        Refuses(&["unknown field"]),
    );
    add(
        "a source that says nothing",
        POLICY.replace("principals: [cluster.local/ns/shop/sa/web]", "principals: []"),
        Refuses(&["it says nothing"]),
    );
    add("a text", "just a text\n".into(), Refuses(&["not an object"]));
    add("no YAML", "a: [\n".into(), Refuses(&["line "]));
    add(
        "the template of a chart",
        format!("{{{{- if .Values.x }}}}\n{POLICY}"),
        Refuses(&["helm template"]),
    );
    add("a tab as indentation", POLICY.replace("  name", "\tname"), Refuses(&["line "]));
    add("a key that stands twice", format!("{POLICY}spec: {{}}\n"), Refuses(&["line "]));
}

fn lists(add: Add<'_>) {
    let indented = |text: &str| {
        let lines: Vec<String> = text.lines().map(|line| format!("  {line}\n")).collect();
        format!("- {}", lines.concat().trim_start())
    };
    let (policy, service) = (indented(POLICY), indented(&resource("v1", "Service")));
    let list = |kind: &str, version: &str, items: &str| {
        format!("apiVersion: {version}\nkind: {kind}\nitems:\n{items}")
    };
    add("a list of both", list("List", "v1", &format!("{service}{policy}")), fine(1));
    add(
        "a list without items",
        "apiVersion: v1\nkind: List\nitem: []\n".into(),
        Refuses(&["items"]),
    );
    let typed =
        policy.replace("apiVersion: security.istio.io/v1\n  kind: AuthorizationPolicy\n  ", "");
    add("a typed list", list("AuthorizationPolicyList", "security.istio.io/v1", &typed), fine(0));
    let pods = list("PodList", "v1", "- metadata: { name: a }\n- metadata: { name: b }\n");
    add("a list of pods", with(&pods), fine(2));
    let inner = indented(&list("List", "v1", &policy));
    add("a list in a list", list("List", "v1", &inner), fine(0));
    let json = r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod"},{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"p"},"spec":{"rules":[{}]}}]}"#;
    add("a list in JSON", json.into(), fine(1));
    let open = |list: &str| {
        POLICY.replace("from: [{ source: { principals: [cluster.local/ns/shop/sa/web] } }]", list)
    };
    let anybody = Imports { rules: 1, skipped: 0, warns: &["the rule admits anybody"] };
    add("an empty from", open("from: []"), anybody);
    let anybody = Imports { rules: 1, skipped: 0, warns: &["the rule admits anybody"] };
    add("a from with nothing behind it", open("from:"), anybody);
    let every = Imports { rules: 1, skipped: 0, warns: &["for every operation"] };
    add("an empty to", open("to: []"), every);
    let ports = open("to: [{ operation: { paths: [], methods: [GET] } }]");
    let more = Imports { rules: 1, skipped: 0, warns: &["an empty list is read as absent"] };
    add("empty paths", ports, more);
    let refs = POLICY.replace("  rules:", "  targetRefs: []\n  rules:");
    add("empty targetRefs", refs, fine(0));
    let none = Imports { rules: 0, skipped: 0, warns: &["without rules it matches nothing"] };
    add("empty rules", POLICY.split("  rules:").next().unwrap().to_owned() + "  rules: []\n", none);
}

fn authentication(add: Add<'_>) {
    let of = |kind: &str, spec: &str| {
        with(&format!(
            "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{ name: d, namespace: istio-system }}\nspec: {spec}\n"
        ))
    };
    let strict =
        Imports { rules: 1, skipped: 0, warns: &["PeerAuthentication", "without mutual TLS"] };
    add("mutual TLS", of("PeerAuthentication", "{ mtls: { mode: STRICT } }"), strict);
    let port = Imports { rules: 1, skipped: 0, warns: &["without mutual TLS on the ports 8080"] };
    add(
        "of a port",
        of("PeerAuthentication", "{ portLevelMtls: { 8080: { mode: STRICT } } }"),
        port,
    );
    let lax = Imports { rules: 1, skipped: 0, warns: &["upstream refuses nothing by it"] };
    add("permissive", of("PeerAuthentication", "{ mtls: { mode: PERMISSIVE } }"), lax);
    let jwt = Imports {
        rules: 1,
        skipped: 0,
        warns: &["whose token does not hold", "https://a.example"],
    };
    add(
        "tokens",
        of("RequestAuthentication", "{ jwtRules: [{ issuer: 'https://a.example' }] }"),
        jwt,
    );
    let other = of("RequestAuthentication", "{}").replace("istio-system", "other");
    add("another namespace's", other, fine(1));
}
