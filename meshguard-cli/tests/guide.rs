//! The guide to policies, run: its files are written, its commands executed in its order, and
//! what they print is what it shows.
//!
//! In the guide, a name in backquotes and a colon on a line of their own say which file the next
//! block is. A block `sh` is run by a shell; a block `text` after it is what it prints, on both
//! of its outputs.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How the guide starts the service that records a ledger.
const RECORD: &str =
    "cargo run -q --manifest-path ../meshguard/Cargo.toml -p meshguard-cli --example record --";

#[derive(Debug, PartialEq)]
enum Step {
    File { name: String, text: String },
    Run { script: String, shows: Option<String> },
}

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy-guide.md");
    fs::read_to_string(path).unwrap()
}

fn steps(guide: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut name = None;
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix('`').and_then(|l| l.strip_suffix("`:")) {
            name = Some(found.to_owned());
            continue;
        }
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let text = block.join("\n") + "\n";
        match (kind, name.take(), steps.last_mut()) {
            (_, Some(name), _) => steps.push(Step::File { name, text }),
            ("sh", ..) => steps.push(Step::Run { script: text, shows: None }),
            ("text", _, Some(Step::Run { shows: shows @ None, .. })) => *shows = Some(text),
            _ => {}
        }
    }
    steps
}

/// A program that cargo has built for this test, or builds now.
fn recorder() -> PathBuf {
    let built = env::current_exe().unwrap();
    let target = built.parent().and_then(Path::parent).unwrap();
    let recorder = target.join("examples/record").with_extension(env::consts::EXE_EXTENSION);
    if !recorder.exists() {
        // Cargo builds it with all tests, but not with this one alone.
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "-q", "-p", "meshguard-cli", "--example", "record"]);
        assert!(build.status().unwrap().success());
    }
    recorder
}

/// What a script prints on both of its outputs, and whether it succeeded.
fn run(script: &str, dir: &Path) -> (String, bool) {
    let program = Path::new(env!("CARGO_BIN_EXE_meshguard")).parent().unwrap();
    let path = format!("{}:{}", program.display(), env::var("PATH").unwrap_or_default());
    let script = script.replace(RECORD, &recorder().display().to_string());
    let out = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(dir)
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (String::from_utf8(out.stdout).unwrap(), out.status.success())
}

/// Without white space at the ends of lines and of the text.
fn trimmed(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim().to_owned()
}

/// What is printed otherwise than the guide shows.
fn differences(steps: &[Step]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let mut differ = Vec::new();
    for step in steps {
        match step {
            Step::File { name, text } => fs::write(dir.path().join(name), text).unwrap(),
            Step::Run { script, shows } => {
                let (printed, success) = run(script, dir.path());
                if !success {
                    differ.push(format!("{script}\nfails:\n{printed}"));
                }
                if shows.as_ref().is_some_and(|shows| trimmed(shows) != trimmed(&printed)) {
                    differ.push(format!("{script}\nprints:\n{printed}"));
                }
            }
        }
    }
    differ
}

#[test]
fn every_command_of_the_guide_prints_what_it_shows() {
    let steps = steps(&guide());
    let runs = steps.iter().filter(|step| matches!(step, Step::Run { .. })).count();
    assert!(runs >= 10 && steps.len() - runs >= 4, "{runs} of {}", steps.len());
    let differ = differences(&steps);
    assert!(differ.is_empty(), "{}", differ.join("\n----\n"));
}

/// The seeded defect of the claim above: a guide that shows something else.
#[test]
fn a_guide_that_shows_something_else_is_found_out() {
    let guide = "`a.toml`:\n\n```toml\nmesh = \"a\"\nversion = 1\n```\n\
                 ```sh\nmeshguard policy check a.toml\n```\n```text\na, version 2: 0 rules, 0 findings\n```\n\
                 ```sh\nmeshguard policy check none.toml\n```\n";
    let differ = differences(&steps(guide));
    assert_eq!(differ.len(), 2, "{differ:?}");
    let right = guide.replace("version 2", "version 1");
    assert_eq!(differences(&steps(&right)).len(), 1);
}

#[test]
fn the_guide_names_every_command() {
    let guide = guide();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshguard"));
        let out = command.args(args).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let help = run(&["policy", "--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let mut count = 0;
    for command in commands.filter_map(|line| line.split_whitespace().next()) {
        let named = guide.contains(&format!("meshguard policy {command}"));
        assert!(named || command == "help", "the guide does not name {command}");
        count += 1;
    }
    assert!(count >= 10, "{help}");
}
