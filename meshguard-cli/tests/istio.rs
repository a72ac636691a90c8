//! `meshguard policy import istio` and `policy decide`, as they are run.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn cases() -> PathBuf {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../meshguard-core");
    core.join("tests/data/istio_authorization_policy.jsonl")
}

fn meshguard(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshguard")).args(args).output().unwrap()
}

fn lines(output: &Output) -> Vec<&str> {
    std::str::from_utf8(&output.stdout).unwrap().lines().collect()
}

/// A file with a text in a directory of its own.
fn file(directory: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const POLICY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: viewer, namespace: shop }
spec:
  rules:
  - from: [{ source: { notNamespaces: [bad] } }]
    to:   [{ operation: { paths: [\"/info*\"] } }]
";

#[test]
fn a_batch_prints_one_decision_a_line_in_order() {
    let path = cases();
    let batch = ["policy", "decide", "--format", "istio", "--batch", path.to_str().unwrap()];
    let output = meshguard(&batch);
    assert!(output.status.success());
    let text = std::fs::read_to_string(&path).unwrap();
    let cases: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let decisions = lines(&output);
    assert_eq!((cases.len(), decisions.len()), (500, 500));
    let right = |(case, decision): &(&Value, &&str)| case["expect"] == ***decision;
    let wrong: Vec<_> = cases.iter().zip(&decisions).filter(|pair| !right(pair)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_is_missing_and_what_is_no_spiffe_id_are_compared_as_upstream_does() {
    let directory = tempfile::tempdir().unwrap();
    let document = |spec: Value| {
        let version = "security.istio.io/v1";
        json!({ "apiVersion": version, "kind": "AuthorizationPolicy", "metadata": { "name": "p" }, "spec": spec })
    };
    let policy = |rule: Value| document(json!({ "rules": [rule] }));
    let to = |operation: Value| policy(json!({ "to": [{ "operation": operation }] }));
    let by =
        |principal: &str| policy(json!({ "from": [{ "source": { "principals": [principal] } }] }));
    let decide =
        |policy: Value, request: Value| json!({ "policies": [policy], "request": request });
    let custom = |provider: Value| {
        let spec = json!({ "action": "CUSTOM", "provider": provider, "rules": [{}] });
        json!({ "kind": "load", "policies": [document(spec)] })
    };
    let cases = [
        (decide(to(json!({ "methods": ["*"] })), json!({ "method": null, "path": "/" })), "deny"),
        (decide(to(json!({ "methods": ["*"] })), json!({ "method": "GET", "path": "/" })), "allow"),
        (decide(to(json!({ "paths": ["/"] })), json!({ "method": "GET", "path": null })), "deny"),
        (decide(by("Td*"), json!({ "source_principal": "Td.X:80/ns/a" })), "allow"),
        (decide(by("td*"), json!({ "source_principal": "Td.X:80/ns/a" })), "deny"),
        (custom(json!({ "name": "mine" })), "allow"),
        (custom(json!({ "name": "" })), "deny"),
        (custom(json!({})), "deny"),
    ];
    let text: String = cases.iter().map(|(case, _)| format!("{case}\n")).collect();
    let batch = file(&directory, "cases.jsonl", &text);
    let output = meshguard(&["policy", "decide", "--batch", &batch]);
    let expected: Vec<&str> = cases.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(*lines(&output), expected, "{output:?}");
}

#[test]
fn a_batch_goes_on_after_a_case_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let good = json!({ "id": "b", "policies": [], "more": 1 });
    let unread = json!({ "id": "c", "policies": [{ "kind": "Pod" }] });
    let text = format!("{{\n{good}\n\n{unread}\n{good}");
    let batch = file(&directory, "cases.jsonl", &text);
    let output = meshguard(&["policy", "decide", "--batch", &batch]);
    assert_eq!(output.status.code(), Some(2));
    let [first, second, third, fourth] = &*lines(&output) else { panic!("{output:?}") };
    assert!(first.starts_with("error: "), "{output:?}");
    // What cannot be imported lets nothing through, and says why beside.
    assert_eq!((*second, *third, *fourth), ("allow", "deny", "allow"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("c: refused: "), "{output:?}");
    let output = meshguard(&["policy", "decide", "--batch", &batch, "--output-format", "json"]);
    let shown: Vec<Value> =
        lines(&output).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(shown[1], json!({ "id": "b", "decision": "allow" }));
    assert_eq!(shown[2]["id"], "c");
    assert_eq!(shown.len(), 4);
}

#[test]
fn a_batch_is_read_from_the_standard_input_and_decided_as_asked() {
    let deny = json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": { "name": "p" },
        "spec": { "action": "DENY", "rules": [{ "to": [{ "operation": { "paths": ["/admin"] } }] }] },
    });
    let case = json!({ "policies": [deny], "request": { "path": "//admin" }, "mode": "hardened" });
    let decide = |args: &[&str]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_meshguard"))
            .args(["policy", "decide", "--batch", "-"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{case}").unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    assert_eq!(decide(&[]), "deny\n");
    assert_eq!(decide(&["--no-hardened"]), "allow\n");
}

#[test]
fn one_access_is_decided_and_the_exit_code_says_how() {
    let directory = tempfile::tempdir().unwrap();
    let policy = file(&directory, "policy.yaml", POLICY);
    let context = file(&directory, "context.json", r#"{ "dest_namespace": "shop" }"#);
    let decide = |path: &str, hardened: &[&str]| {
        let access = file(&directory, "access.json", &json!({ "path": path }).to_string());
        let mut args = vec!["policy", "decide", "--format", "istio", "--context", &context];
        args.extend(["--access", &access]);
        args.extend(hardened);
        args.push(&policy);
        let output = meshguard(&args);
        (lines(&output).concat(), output.status.code())
    };
    assert_eq!(decide("/info/1", &[]), ("allow".to_owned(), Some(0)));
    assert_eq!(decide("/other", &[]), ("deny".to_owned(), Some(1)));
    assert_eq!(decide("/x/%2e%2e/info", &[]), ("allow".to_owned(), Some(0)));
    assert_eq!(decide("/x/%2e%2e/info", &["--hardened"]), ("deny".to_owned(), Some(1)));
    let broken = file(&directory, "broken.yaml", &POLICY.replace("paths", "path"));
    let access = file(&directory, "access.json", "{}");
    let output =
        meshguard(&["policy", "decide", "--context", &context, "--access", &access, &broken]);
    assert_eq!(output.status.code(), Some(2));
    let shown = String::from_utf8_lossy(&output.stderr).replace(['\n', ' ', '│'], "");
    assert!(shown.contains("operation.path"), "{output:?}");
}

#[test]
fn an_import_writes_a_document_that_check_reads_and_warns_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let policy = file(&directory, "policy.yaml", POLICY);
    let out = directory.path().join("policy.toml");
    let out = out.to_str().unwrap();
    let import = ["policy", "import", "istio", "--namespace", "shop"];
    let output = meshguard(&[&import[..], &["-o", out, &policy]].concat());
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("shop/viewer"), "{output:?}");
    let written = std::fs::read_to_string(out).unwrap();
    assert!(written.contains("semantics = \"istio\""), "{written}");
    let output = meshguard(&[&import[..], &[&policy]].concat());
    assert_eq!(String::from_utf8_lossy(&output.stdout), written);
    assert!(String::from_utf8_lossy(&output.stderr).contains("warning: shop/viewer"));
    let output = meshguard(&["policy", "import", "istio", "--allow-none", &policy]);
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("not for this workload: shop/viewer"), "{shown}");
}

#[test]
fn an_import_that_cannot_be_kept_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let custom = POLICY.replace("spec:", "spec:\n  action: CUSTOM\n  provider: { name: ext }");
    let custom = custom.replace("from: [{ source: { notNamespaces: [bad] } }]\n    ", "");
    let policy = file(&directory, "policy.yaml", &custom);
    let import = ["policy", "import", "istio", "--namespace", "shop"];
    let output = meshguard(&[&import[..], &[&policy]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`ext`"), "{output:?}");
    let output = meshguard(&[&import[..], &["--provider", "ext=deny", &policy]].concat());
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("[[deny]]"), "{output:?}");
}
