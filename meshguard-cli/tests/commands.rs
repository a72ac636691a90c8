//! What scripts rely on: exit codes, JSON on the standard output, and reports that fit together.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

const POLICY: &str = r#"
mesh = "shop.example"
version = 1
[peers]
checkout = "spiffe://shop.example/checkout"
orders = "spiffe://shop.example/orders"
batch = "spiffe://shop.example/batch/*"
[[allow]]
name = "checkout-orders"
from = ["checkout"]
to = ["orders"]
http = ["GET /orders/{id}"]
when = { trust = 0.6, claims = { scope = ["orders:read"] } }
"#;

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        let used = "[[deny]]\nname = \"never\"\nfrom = [\"batch\"]\n";
        dir.file("policy.toml", &format!("{POLICY}{used}"));
        dir
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The exit code and the standard output.
    fn run(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshguard"));
        let out = command.args(args).current_dir(self.path()).output().unwrap();
        (out.status.code().unwrap(), String::from_utf8(out.stdout).unwrap())
    }

    fn json(&self, args: &[&str]) -> (i32, Value) {
        let (code, out) = self.run(&[args, &["--format", "json"]].concat());
        (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}")))
    }
}

#[test]
fn an_exit_code_tells_a_denial_from_what_could_not_be_done() {
    let dir = Dir::new();
    let explain = ["policy", "explain", "policy.toml", "GET", "/orders/7"];
    let ends = ["--from", "checkout", "--to", "orders"];
    let holds = ["--trust", "0.7", "--claim", "scope=orders:read"];
    assert_eq!(dir.run(&[&explain[..], &ends, &holds].concat()).0, 0);
    assert_eq!(dir.run(&[&explain[..], &ends].concat()).0, 1);
    for wrong in [
        &["policy", "explain", "none.toml", "GET", "/"][..],
        &["policy", "explain", "policy.toml", "GET"],
        &["policy", "explain", "policy.toml"],
        &["policy", "explain", "policy.toml", "tcp", "--from", "nobody"],
        &["policy", "explain", "policy.toml", "tcp", "--from", "batch"],
        &["policy", "explain", "policy.toml", "tcp", "--trust", "1.5"],
        &["policy", "test", "policy.toml"],
        &["policy", "replay", "policy.toml", "."],
        &["policy", "learn", "none"],
        &["policy", "nonsense"],
        &["ledger", "verify", ".", "--key", "00"],
    ] {
        assert_eq!(dir.run(wrong).0, 2, "{wrong:?}");
    }
}

#[test]
fn what_could_not_be_done_is_json_too() {
    let dir = Dir::new();
    dir.file("bad.toml", "mesh = \"shop.example\"\nversion = 1\nhop = []\n");
    let (code, out) = dir.json(&["policy", "check", "bad.toml"]);
    let error = &out["error"];
    assert_eq!((code, error["line"].as_u64(), error["column"].as_u64()), (2, Some(3), Some(1)));
    assert_eq!(error["message"], "unknown key `hop`");
    assert_eq!(error["hint"], "did you mean `hops`?");
    assert_eq!(error["file"], "bad.toml");
    dir.file("bad.test.toml", "[[case]]\nname = \"x\"\nexpect = \"maybe\"\n");
    let (code, out) = dir.json(&["policy", "test", "policy.toml", "bad.test.toml"]);
    assert_eq!((code, out["error"]["line"].as_u64()), (2, Some(3)), "{out}");
}

#[test]
fn an_access_is_read_from_arguments_and_from_files_alike() {
    let dir = Dir::new();
    let toml = "http = \"GET /orders/7\"\nfrom = \"checkout\"\nto = \"orders\"\ntrust = 0.7\n\
                claims = { scope = \"a orders:read\" }\n";
    dir.file("access.toml", toml);
    let json = r#"{"http": "GET /orders/7", "from": "checkout", "to": "orders", "trust": 0.7,
                   "claims": {"scope": "a orders:read"}}"#;
    dir.file("access.json", json);
    for file in ["access.toml", "access.json"] {
        let (code, out) = dir.json(&["policy", "explain", "policy.toml", "--access", file]);
        assert_eq!((code, out["rule"].as_str()), (0, Some("checkout-orders")), "{out}");
        // An argument goes before what the file says.
        let args = ["policy", "explain", "policy.toml", "--access", file, "--trust", "0.5"];
        let (code, out) = dir.json(&args);
        assert_eq!((code, out["nearest"]["rule"].as_str()), (1, Some("checkout-orders")), "{out}");
    }
}

/// The words of a command line, as a shell reads them.
fn words(line: &str) -> Vec<String> {
    let script = format!("printf '%s\\n' {line}");
    let out = Command::new("sh").args(["-c", &script]).output().unwrap();
    String::from_utf8(out.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

#[test]
fn what_a_diff_shows_explain_confirms() {
    let dir = Dir::new();
    let old = fs::read_to_string(dir.path().join("policy.toml")).unwrap();
    let new = old.replace("trust = 0.6", "trust = 0.4").replace("GET /orders", "POST /orders");
    dir.file("new.toml", &new);
    let (code, diff) = dir.json(&["policy", "diff", "policy.toml", "new.toml"]);
    assert_eq!(code, 1);
    for (list, old, new) in [("newly_allowed", 1, 0), ("newly_denied", 0, 1)] {
        let changes = diff[list].as_array().unwrap();
        assert!(!changes.is_empty(), "{diff}");
        for change in changes {
            let witness = words(change["witness"].as_str().unwrap());
            let explain = |policy| {
                let args = witness.iter().map(String::as_str);
                let args: Vec<&str> =
                    ["policy", "explain", policy].into_iter().chain(args).collect();
                dir.run(&args).0
            };
            assert_eq!((explain("policy.toml"), explain("new.toml")), (old, new), "{change}");
        }
    }
    assert_eq!(dir.json(&["policy", "diff", "new.toml", "new.toml"]).0, 0);
}

#[test]
fn a_rule_that_never_decides_fails_the_check() {
    let dir = Dir::new();
    assert_eq!(dir.json(&["policy", "check", "policy.toml"]).0, 0);
    let text = fs::read_to_string(dir.path().join("policy.toml")).unwrap();
    let dead = "[[allow]]\nname = \"dead\"\nfrom = [\"batch\"]\n";
    dir.file("dead.toml", &format!("{text}{dead}"));
    let (code, out) = dir.json(&["policy", "check", "dead.toml"]);
    assert_eq!(code, 1);
    assert!(out["findings"].as_array().unwrap().iter().any(|f| f["rule"] == "dead"), "{out}");
}

#[test]
fn coverage_below_what_was_asked_fails() {
    let dir = Dir::new();
    let case =
        "[[case]]\nname = \"x\"\nfrom = \"checkout\"\nhttp = \"GET /x\"\nexpect = \"deny\"\n";
    dir.file("policy.test.toml", case);
    let (code, out) = dir.json(&["policy", "test", "policy.toml"]);
    assert_eq!((code, out["coverage"]["rules"].as_u64()), (0, Some(2)), "{out}");
    assert_eq!(dir.json(&["policy", "test", "policy.toml", "--min-coverage", "50"]).0, 1);
}

#[test]
fn a_query_is_taken_and_what_is_no_grpc_method_is_refused_in_a_sentence() {
    let dir = Dir::new();
    let known =
        ["--from", "checkout", "--to", "orders", "--trust", "0.7", "--claim", "scope=orders:read"];
    for target in ["/orders/7?page=2&x=/../", "/orders/7?", "/orders/7"] {
        let args = [&["policy", "explain", "policy.toml", "GET", target][..], &known].concat();
        assert_eq!(dir.json(&args).1["rule"], "checkout-orders", "{target}");
    }
    dir.file("access.toml", "http = \"GET /orders/7?page=2\"\nfrom = \"checkout\"\n");
    let (code, out) = dir.json(&["policy", "explain", "policy.toml", "--access", "access.toml"]);
    assert_eq!((code, out["inputs"]["operation"].as_str()), (1, Some("GET /orders/7")), "{out}");
    for name in ["shop.v1.Orders", "/Get", "shop.v1.Orders/*", "shop.v1.Orders/Get?x=1", "/a/b/c"] {
        let (code, out) = dir.json(&["policy", "explain", "policy.toml", "grpc", name]);
        let message = out["error"]["message"].as_str().unwrap_or_default();
        assert!(code == 2 && message.contains("is not the name of a gRPC method"), "{name}: {out}");
        dir.file("call.toml", &format!("grpc = \"{name}\"\n"));
        assert_eq!(dir.run(&["policy", "explain", "policy.toml", "--access", "call.toml"]).0, 2);
    }
    for name in ["shop.v1.Orders/Get", "/shop.v1.Orders/Get"] {
        let (code, out) = dir.json(&["policy", "explain", "policy.toml", "grpc", name]);
        assert_eq!((code, out["error"].is_null()), (1, true), "{out}");
    }
    let sent = ["POST", "/a/b/c", "--header", "content-type=application/grpc"];
    let (_, out) = dir.json(&[&["policy", "explain", "policy.toml"][..], &sent].concat());
    assert_eq!(out["inputs"]["operation"], "grpc /a/b/c");
    assert_eq!(dir.run(&["policy", "explain", "policy.toml", "get", "/orders/7"]).0, 2);
}

#[test]
fn a_document_is_laid_out_with_its_comments_and_check_shows_what_would_change() {
    let dir = Dir::new();
    let text = "# ours\nmesh='m' # the domain\nversion = 1\n[[allow]]\nname=\"all\"\n";
    let want = "# ours\nmesh = 'm' # the domain\nversion = 1\n\n[[allow]]\nname = \"all\"\n";
    dir.file("a.toml", text);
    let (code, diff) = dir.run(&["policy", "fmt", "a.toml", "--check"]);
    assert_eq!(code, 1);
    for line in [
        "--- a.toml",
        "+++ a.toml, laid out",
        "-mesh='m' # the domain",
        "+mesh = 'm' # the domain",
        " # ours",
    ] {
        assert!(diff.lines().any(|found| found == line), "{line}: {diff}");
    }
    assert_eq!(fs::read_to_string(dir.path().join("a.toml")).unwrap(), text, "it writes nothing");
    assert_eq!(dir.run(&["policy", "fmt", "a.toml"]), (0, want.to_owned()));
    assert_eq!(dir.run(&["policy", "fmt", "a.toml", "-o", "a.toml"]), (0, String::new()));
    assert_eq!(fs::read_to_string(dir.path().join("a.toml")).unwrap(), want);
    assert_eq!(dir.run(&["policy", "fmt", "a.toml", "--check"]), (0, String::new()));
    dir.file("a.yaml", "mesh: m\nversion: 1\n");
    assert_eq!(dir.run(&["policy", "fmt", "a.yaml"]).0, 2);
}

/// Whatever a file is, the command says in a line or two what is wrong with it.
#[test]
fn what_is_no_document_is_refused_shortly() {
    let dir = Dir::new();
    let head = "mesh = \"m\"\nversion = 1\n";
    fs::write(dir.path().join("binary"), [0xFF, 0xFE, 0, 1]).unwrap();
    fs::create_dir(dir.path().join("directory")).unwrap();
    dir.file("empty", "");
    dir.file("nul", &format!("{head}\0"));
    dir.file("escape", &format!("{head}\u{1b}[31m = 1\n"));
    dir.file("long", &format!("{head}[[allow]]\nname = \"{}\"\n", "x".repeat(100_000)));
    dir.file("misspelt", &format!("{head}[[alow]]\n"));
    for file in ["none", "binary", "directory", "empty", "nul", "escape", "long", "misspelt"] {
        for command in ["check", "fmt", "convert"] {
            let mut run = Command::new(env!("CARGO_BIN_EXE_meshguard"));
            let out = run.args(["policy", command, file]).current_dir(dir.path()).output().unwrap();
            let said = String::from_utf8(out.stderr).unwrap();
            assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0), "{file}: {said}");
            assert!(said.contains(file) && said.len() < 3_000, "{file}: {} bytes", said.len());
            assert!(!said.contains(['\0', '\u{1b}']), "{file}: {said:?}");
        }
    }
}

#[test]
fn a_canonical_document_is_its_own_canonical_form_in_both_syntaxes() {
    let dir = Dir::new();
    let (code, text) = dir.run(&["policy", "convert", "policy.toml"]);
    assert_eq!(code, 0);
    dir.file("canonical.toml", &text);
    assert_eq!(dir.run(&["policy", "fmt", "canonical.toml", "--check"]).0, 0);
    assert_eq!(dir.run(&["policy", "fmt", "policy.toml", "--check"]).0, 1);
    dir.file("policy.yaml", "mesh: shop.example\nversion: 1\nallow:\n  - name: all\n");
    let (code, text) = dir.run(&["policy", "convert", "policy.yaml"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "mesh = \"shop.example\"\nversion = 1\n\n[[allow]]\nname = \"all\"\n")
    );
}

#[test]
fn a_document_is_given_its_digest_and_every_command_holds_it_to_that() {
    let dir = Dir::new();
    let path = dir.path().join("policy.toml");
    let plain = fs::read_to_string(&path).unwrap();
    let check = || dir.run(&["policy", "digest", "policy.toml", "--check"]).0;
    assert_eq!(check(), 1, "it announces none");
    assert_eq!(dir.run(&["policy", "digest", "policy.toml", "-o", "policy.toml"]).0, 0);
    let announced = fs::read_to_string(&path).unwrap();
    let (line, body) = announced.split_once('\n').unwrap();
    assert!(line.starts_with("# meshguard: sha256=") && body == plain, "{announced}");
    let mut sum = Command::new("sh");
    sum.args(["-c", "tail -n +2 policy.toml | sha256sum"]).current_dir(dir.path());
    let summed = sum.output().unwrap().stdout;
    assert!(line.contains(str::from_utf8(&summed[..64]).unwrap()), "{line}");
    assert_eq!((check(), dir.run(&["policy", "check", "policy.toml"]).0), (0, 0));

    dir.file("policy.toml", &announced.replace("trust = 0.6", "trust = 0.1"));
    assert_eq!(check(), 1);
    for command in ["check", "fmt", "convert"] {
        assert_eq!(dir.run(&["policy", command, "policy.toml"]).0, 2, "{command}");
    }
    let out = dir.json(&["policy", "check", "policy.toml"]).1;
    assert!(out["error"]["hint"].as_str().unwrap().contains("meshguard policy digest"), "{out}");
    assert_eq!(dir.run(&["policy", "digest", "policy.toml", "-o", "policy.toml"]).0, 0);
    assert_eq!(check(), 0, "it is announced anew");
    // What has no fault but in its first line is mended; another fault is told at its place.
    dir.file("bad.toml", &format!("{line}\n{plain}hop = []\n"));
    assert_eq!(dir.run(&["policy", "digest", "bad.toml", "-o", "bad.toml"]).0, 2);
}

#[test]
fn what_lays_a_document_out_or_converts_it_announces_its_digest_anew() {
    let dir = Dir::new();
    let plain = fs::read_to_string(dir.path().join("policy.toml")).unwrap();
    dir.file("policy.toml", &plain.replace(" = ", "  =  "));
    assert_eq!(dir.run(&["policy", "digest", "policy.toml", "-o", "policy.toml"]).0, 0);
    for command in ["fmt", "convert"] {
        assert_eq!(dir.run(&["policy", command, "policy.toml", "-o", "out.toml"]).0, 0);
        assert_eq!(dir.run(&["policy", "digest", "out.toml", "--check"]), (0, String::new()));
    }
    assert_eq!(dir.run(&["policy", "fmt", "policy.toml", "-o", "policy.toml"]).0, 0);
    assert_eq!(dir.run(&["policy", "fmt", "policy.toml", "--check"]).0, 0, "laid out once");
}

/// A service may follow the file at that moment.
#[cfg(unix)]
#[test]
fn a_file_that_a_command_writes_is_replaced_as_a_whole() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    let dir = Dir::new();
    let path = dir.path().join("policy.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("policy.toml", dir.path().join("link.toml")).unwrap();
    let before = fs::metadata(&path).unwrap();
    assert_eq!(dir.run(&["policy", "digest", "policy.toml", "-o", "link.toml"]).0, 0);
    let after = fs::metadata(&path).unwrap();
    assert_ne!(after.ino(), before.ino(), "another file has taken its place");
    assert_eq!((after.mode(), after.uid()), (before.mode(), before.uid()));
    assert!(fs::symlink_metadata(dir.path().join("link.toml")).unwrap().is_symlink());
    assert_eq!(dir.run(&["policy", "digest", "link.toml", "--check"]).0, 0);
    let names = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(names, 2, "nothing is left beside it");
    // A pipe is no file that could be replaced.
    let (code, out) = dir.run(&["policy", "digest", "policy.toml", "-o", "/dev/stdout"]);
    assert!(code == 0 && out.starts_with("# meshguard: sha256="), "{out}");
}
