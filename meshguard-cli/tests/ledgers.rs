//! Ledgers of both sides, read together.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use meshguard_core::delivery::{Outcome, Sid};
use meshguard_core::{Evidence, Timestamp};
use meshguard_tower::ledger::{
    Decision, End, Entry, Exchange, Ledger, Received, Refusals, Sent, Start,
};

const CHECKOUT: &str = "spiffe://shop.example/checkout";
const ORDERS: &str = "spiffe://shop.example/orders";
const EXCHANGE: Exchange = Exchange { sid: Sid::from_random([7; 16]), seq: 3, attempt: 0 };

fn write(dir: &Path, service: &str, entries: &[Entry<'_>]) {
    let ledger = Ledger::open(dir).unwrap();
    let start = Start { service, instance: "1", version: "1", policy_version: 1 };
    ledger.append(&Entry::Start(start));
    entries.iter().for_each(|entry| _ = ledger.append(entry));
    ledger.flush_blocking().unwrap();
}

/// The callee's ledger has a call that was let in, and one that the loop refused.
fn callee(dir: &Path) {
    let received = Received {
        from: Some(CHECKOUT),
        via: None,
        route: Some("/orders/{id}"),
        rule: Some("all"),
        exchange: Some(EXCHANGE),
        status: Some(200),
        evidence: Evidence::Verified,
        end: End::Consumed,
        request_bytes: 0,
        response_bytes: 7,
        latency: Duration::ZERO,
        digest: None,
        failure: None,
    };
    let refused = Decision {
        id: 1,
        from: Some(CHECKOUT),
        via: None,
        allowed: false,
        reason: "too many requests",
        route: None,
        policy_version: 1,
    };
    write(dir, ORDERS, &[Entry::Received(received), Entry::Decision(refused)]);
}

/// The caller's ledger has the method.
fn caller(dir: &Path) {
    let sent = Sent {
        to: ORDERS,
        via: None,
        instance: None,
        method: Some("PATCH"),
        route: None,
        exchange: Some(EXCHANGE),
        outcome: Outcome::Delivered,
        status: Some(200),
        evidence: Evidence::Verified,
        request_bytes: 0,
        response_bytes: 7,
        latency: Duration::ZERO,
        digest: None,
    };
    write(dir, CHECKOUT, &[Entry::Sent(sent)]);
}

fn run(dir: &Path, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshguard"));
    let out = command.args(args).current_dir(dir).output().unwrap();
    (out.status.code().unwrap(), String::from_utf8(out.stdout).unwrap())
}

#[test]
fn the_callers_ledger_has_the_method_that_the_callees_lacks() {
    let dir = tempfile::tempdir().unwrap();
    callee(&dir.path().join("callee"));
    caller(&dir.path().join("caller"));
    let (code, alone) = run(dir.path(), &["policy", "learn", "callee"]);
    assert_eq!(code, 0);
    assert!(alone.contains("\"* /orders/{id}\", # 1"), "{alone}");
    let (code, both) =
        run(dir.path(), &["policy", "learn", "callee", "caller", "-o", "draft.toml"]);
    assert_eq!((code, both.as_str()), (0, "draft.toml: 1 rules, drawn from 1 calls\n"));
    let draft = std::fs::read_to_string(dir.path().join("draft.toml")).unwrap();
    assert!(draft.contains("\"PATCH /orders/{id}\", # 1"), "{draft}");
    // What the loop refused is no decision of a policy's.
    let (code, replay) = run(dir.path(), &["policy", "replay", "draft.toml", "callee", "caller"]);
    let want = "1 calls were allowed, 0 refused, and 1 refused for other reasons than policy\n\
                1 would be decided as they were\n";
    assert_eq!((code, replay.as_str()), (0, want));
    let (code, replay) = run(dir.path(), &["policy", "replay", "draft.toml", "callee"]);
    assert_eq!(code, 1);
    assert!(replay.contains("now depends on the method"), "{replay}");
}

#[test]
fn a_changed_ledger_is_not_verified() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let ledger = Ledger::open(&path).unwrap();
    let key: String = ledger.public_key().iter().map(|byte| format!("{byte:02x}")).collect();
    drop(ledger);
    callee(&path);
    let verify = ["ledger", "verify", "ledger", "--key", &key];
    let (code, out) = run(dir.path(), &verify);
    assert!(code == 0 && out.starts_with("verified: 3 entries, 3 of them signed\n"), "{out}");
    assert!(out.ends_with("1 requests were refused, 0 of them only counted\n"), "{out}");
    let segment = path.join("00000000000000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (code, out) = run(dir.path(), &verify);
    assert!(code == 1 && out.starts_with("not as it was written: "), "{out}");
}

#[test]
fn refusals_that_are_only_counted_are_calls_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let at = Timestamp::from_unix_secs(1_700_000_000);
    let refusals = |reason, count| {
        Entry::Refusals(Refusals {
            from: Some(CHECKOUT),
            via: None,
            route: None,
            code: 403,
            reason,
            policy_version: 1,
            count,
            accepted: count,
            first: Some(EXCHANGE),
            last: Some(EXCHANGE),
            since: at,
            until: at,
        })
    };
    let path = dir.path().join("ledger");
    write(&path, ORDERS, &[refusals("no rule allows it", 40), refusals("too many requests", 2)]);
    let key: String = Ledger::open(&path).unwrap().public_key().iter().map(hex).collect();
    let (code, out) = run(dir.path(), &["ledger", "verify", "ledger", "--key", &key]);
    assert!(code == 0 && out.contains("42 requests were refused, 42 of them only"), "{out}");
    let policy = "mesh = \"shop.example\"\nversion = 1\n";
    std::fs::write(dir.path().join("p.toml"), policy).unwrap();
    let (_, out) = run(dir.path(), &["policy", "replay", "p.toml", "ledger"]);
    assert!(out.starts_with("0 calls were allowed, 40 refused, and 2 refused for other"), "{out}");
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}
