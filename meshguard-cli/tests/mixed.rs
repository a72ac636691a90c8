//! Files as people have them: policies among whatever else is kept beside them. Of each it is
//! known what the import makes of it; nothing that it cannot judge becomes an allowance.

#![allow(clippy::panic, clippy::unwrap_used)]

#[path = "mixed/corpus.rs"]
mod corpus;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use corpus::{Expected, POLICY, corpus};

/// The exit code and both outputs.
fn meshguard(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshguard"));
    let out = command.args(args).current_dir(dir).env("NO_COLOR", "1").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

const IMPORT: [&str; 7] =
    ["policy", "import", "istio", "--namespace", "shop", "--label", "app=orders"];

/// What came of a file instead of what is expected; `None`: just that.
fn differs(dir: &Path, text: &str, expected: &Expected) -> Option<String> {
    fs::write(dir.join("in.yaml"), text).unwrap();
    let (code, out, _) = meshguard(dir, &[&IMPORT[..], &["--format", "json", "in.yaml"]].concat());
    let json: Value = serde_json::from_str(&out).unwrap();
    let error = &json["error"]["message"];
    match expected {
        Expected::Imports { rules, skipped, warns } => {
            let kinds = json["skipped"].as_object().cloned().unwrap_or_default();
            let found: usize = kinds.values().map(|names| names.as_array().unwrap().len()).sum();
            let warned = json["warnings"].to_string();
            let right = (code, json["rules"].as_u64(), found) == (0, Some(*rules), *skipped)
                && warns.iter().all(|word| warned.contains(word))
                && (!warns.is_empty() || json["warnings"] == serde_json::json!([]));
            (!right).then(|| json.to_string())
        }
        Expected::Refuses(words) => {
            let said = format!("{error} {}", json["error"]["hint"]);
            let right = code == 2 && words.iter().all(|word| said.contains(word));
            (!right).then(|| json.to_string())
        }
    }
}

#[test]
fn each_file_becomes_what_is_known_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = corpus();
    assert!(corpus.len() >= 60, "{}", corpus.len());
    let wrong: Vec<String> = corpus
        .iter()
        .filter_map(|(name, text, expected)| {
            differs(dir.path(), text, expected).map(|found| format!("{name}: {found}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), corpus.len(), wrong.join("\n"));
}

/// The seeded defect of the claim above: an expectation that is not met is found out.
#[test]
fn a_file_that_becomes_another_thing_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let (_, text, _) = &corpus()[0];
    for wrong in [
        Expected::Imports { rules: 2, skipped: 0, warns: &[] },
        Expected::Imports { rules: 1, skipped: 1, warns: &[] },
        Expected::Imports { rules: 1, skipped: 0, warns: &["x"] },
        Expected::Refuses(&[]),
    ] {
        assert!(differs(dir.path(), text, &wrong).is_some());
    }
}

/// Whatever an import writes is a policy, and the same files decide as it does.
#[test]
fn check_and_decide_read_what_import_reads() {
    let dir = tempfile::tempdir().unwrap();
    let context = r#"{ "dest_namespace": "shop", "dest_labels": { "app": "orders" } }"#;
    fs::write(dir.path().join("context.json"), context).unwrap();
    fs::write(dir.path().join("access.json"), r#"{ "path": "/nobody/allows/this" }"#).unwrap();
    for (name, text, expected) in corpus() {
        fs::write(dir.path().join("in.yaml"), &text).unwrap();
        let decide = ["policy", "decide", "--context", "context.json", "--access", "access.json"];
        let (code, out, err) = meshguard(dir.path(), &[&decide[..], &["in.yaml"]].concat());
        match expected {
            Expected::Imports { .. } => {
                assert!(code < 2 && matches!(&*out, "allow\n" | "deny\n"), "{name}: {out}{err}");
                let import = [&IMPORT[..], &["-o", "out.toml", "in.yaml"]].concat();
                assert_eq!(meshguard(dir.path(), &import).0, 0, "{name}");
                let check = ["policy", "check", "out.toml", "--fail-on", "error"];
                assert!(meshguard(dir.path(), &check).0 < 2, "{name}");
            }
            Expected::Refuses(_) => assert_eq!((code, &*out), (2, ""), "{name}: {err}"),
        }
    }
}

#[test]
fn an_import_without_a_policy_for_the_workload_writes_nothing_unless_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in.yaml"), POLICY).unwrap();
    let elsewhere = ["policy", "import", "istio", "--namespace", "other", "-o", "out.toml"];
    let (code, out, err) = meshguard(dir.path(), &[&elsewhere[..], &["in.yaml"]].concat());
    assert_eq!((code, &*out), (2, ""));
    for said in ["`other`", "shop/orders", "--namespace", "--allow-none"] {
        assert!(err.contains(said), "{said}: {err}");
    }
    assert!(!dir.path().join("out.toml").exists());
    let (code, out, _) =
        meshguard(dir.path(), &[&elsewhere[..], &["--allow-none", "in.yaml"]].concat());
    assert_eq!(code, 0);
    assert!(out.contains("what is not denied is allowed"), "{out}");
    let written = fs::read_to_string(dir.path().join("out.toml")).unwrap();
    assert!(written.contains("istio/no-allow-policy"), "{written}");
}

#[test]
fn a_refusal_names_its_file_and_what_is_skipped_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("good.yaml", POLICY);
    write("bad.yaml", &POLICY.replace("principals", "principal"));
    write("deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\n");
    let (code, _, err) = meshguard(dir.path(), &[&IMPORT[..], &["good.yaml", "bad.yaml"]].concat());
    let err = err.replace(['\n', '│'], " ");
    assert!(code == 2 && err.contains("bad.yaml: shop/orders"), "{err}");
    let (code, _, err) =
        meshguard(dir.path(), &[&IMPORT[..], &["deployment.yaml", "good.yaml"]].concat());
    assert!(code == 0 && err.contains("skipped: 1 Deployment: shop/web"), "{err}");
}

#[test]
fn a_policy_of_kubernetes_given_as_a_native_one_is_recognised() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in.yaml"), POLICY).unwrap();
    for command in [&["check"][..], &["explain"], &["convert"], &["test"]] {
        let access: &[&str] = if command == ["explain"] { &["GET", "/"] } else { &[] };
        let args = [&["policy"], command, &["in.yaml"], access].concat();
        let (code, _, err) = meshguard(dir.path(), &args);
        let err = err.split_whitespace().filter(|w| *w != "│").collect::<Vec<_>>().join(" ");
        assert!(code == 2 && err.contains("meshguard policy import istio"), "{command:?}: {err}");
    }
}
