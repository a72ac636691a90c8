//! A service in a process of its own, whose wall clock the test sets, and its callers.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use meshguard_axum::dev::LeafSpec;
use meshguard_axum::{Channel, Policy, SpiffeId};
use meshguard_testing::{SvidFiles, write_svid_files};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::rig::{self, CALLEE, http, soon};

/// A caller calls so often.
const EVERY: Duration = Duration::from_millis(50);
/// Certificates hold for so long before and after now.
const HOLDS: Duration = Duration::from_secs(5 * 3_600);
/// What the service is to say comes within this.
const LONGEST: Duration = Duration::from_secs(15);
/// The callers that never do anything wrong.
pub(super) const HONEST: [usize; 2] = [0, 1];

/// A caller that calls what it may not, keeps receipts back, or calls far more or less often than it did, is
/// cut off.
const POLICY: &str = r#"
mesh = "faults.example"
version = 1
[peers]
callers = "spiffe://faults.example/*"
[[allow]]
name = "small"
from = ["callers"]
http = ["GET /small"]
[[reflex]]
name = "outside-intent"
on = { signal = "refusals", false_alarms = "1 in 1 days", scope = "caller" }
do = ["quarantine"]
ttl = "1h"
[[reflex]]
name = "failures"
on = { signal = "errors", false_alarms = "1 in 1 days" }
do = ["quarantine"]
ttl = "1h"
[[reflex]]
name = "receipts"
on = { signal = "missing_receipts", false_alarms = "1 in 1 days" }
do = ["quarantine"]
ttl = "1h"
[[reflex]]
name = "rate"
on = { signal = "rate", false_alarms = "1 in 1 days" }
do = ["quarantine"]
ttl = "1h"
[governor]
max_share = 0.9
min_peers = 2
min_calls = 10
max_actions = "600/min"
"#;

pub(super) struct Service {
    process: Child,
    ahead: File,
    /// What it has printed.
    said: watch::Receiver<Vec<String>>,
    callers: Vec<Caller>,
    _files: SvidFiles,
}

struct Caller {
    /// How many of its calls were answered.
    answered: watch::Receiver<usize>,
    misbehaves: Arc<AtomicBool>,
}

pub(super) fn attacker(n: usize) -> SpiffeId {
    id(HONEST.len() + n)
}

fn id(n: usize) -> SpiffeId {
    format!("spiffe://faults.example/caller{n}").parse().unwrap()
}

impl Service {
    /// Starts it, and its callers: the honest ones, and those that misbehave later.
    pub(super) async fn start(attackers: usize) -> Self {
        let mut spec = LeafSpec::of(&CALLEE);
        (spec.not_before, spec.not_after) = (SystemTime::now() - HOLDS, SystemTime::now() + HOLDS);
        let files = write_svid_files(&rig::ca(), &rig::ca().issue(&spec).unwrap()).unwrap();
        let at = |name: &str| files.dir.path().join(name);
        std::fs::write(at("policy.toml"), POLICY).unwrap();
        std::fs::write(at("ahead"), 0_i64.to_ne_bytes()).unwrap();
        let ahead = File::options().write(true).open(at("ahead")).unwrap();
        compile(&at("shim.so"));
        let mut process = Command::new(env!("CARGO_BIN_EXE_victim"))
            .args([&files.svid, &files.key, &files.bundle, &at("policy.toml")])
            .arg("quick")
            .env("LD_PRELOAD", at("shim.so"))
            .env("CLOCK_AHEAD", at("ahead"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = soon(lines.next_line()).await.unwrap().unwrap();
        let url = format!("https://{line}");
        let callers = (0..HONEST.len() + attackers).map(|n| Caller::start(n, &url)).collect();
        Self { process, ahead, said: listen(lines), callers, _files: files }
    }

    /// Sets its wall clock to so many seconds from the right time.
    pub(super) fn set_clock(&self, ahead: i64) {
        self.ahead.write_all_at(&ahead.to_ne_bytes(), 0).unwrap();
    }

    /// Waits until each of these callers has had so many more answers.
    pub(super) async fn calls(&self, of: &[usize], more: usize) {
        let counts: Vec<_> = of.iter().map(|n| self.callers[*n].answered.clone()).collect();
        let until: Vec<_> = counts.iter().map(|count| *count.borrow() + more).collect();
        for (mut count, until) in counts.into_iter().zip(until) {
            while *count.borrow_and_update() < until {
                let lost = soon(count.changed()).await.is_err();
                assert!(!lost, "an honest call was lost; it said {:#?}", self.said.borrow());
            }
        }
    }

    /// Waits for such a line; it is `what`.
    pub(super) async fn says(&self, what: &str, which: impl Fn(&str) -> bool) {
        let mut said = self.said.clone();
        let line = said.wait_for(|said| said.iter().any(|line| which(line)));
        let came = timeout(LONGEST, line).await.is_ok_and(|line| line.is_ok());
        assert!(came, "{what} did not come; it said {:#?}", self.said.borrow());
    }

    /// From now on an attacker calls what it may not.
    pub(super) fn misbehave(&self, attacker: usize) {
        self.callers[HONEST.len() + attacker].misbehaves.store(true, SeqCst);
    }

    /// Checks that it has said nothing of those who do nothing wrong.
    pub(super) fn accuses_no_honest(&self, when: &str) {
        let said = self.said.borrow().clone();
        let of =
            |line: &String| HONEST.iter().any(|n| line.contains(&format!("caller {}:", id(*n))));
        assert!(!said.iter().any(of), "{when}: {said:#?}");
    }

    /// Stops it. Up to here, no call was lost of those who do nothing wrong.
    pub(super) async fn stop(mut self) {
        self.calls(&HONEST, 1).await;
        drop(self.process.stdin.take());
        assert!(soon(self.process.wait()).await.unwrap().success());
    }
}

impl Caller {
    fn start(n: usize, url: &str) -> Self {
        let policy: Policy = POLICY.parse().unwrap();
        let mesh = meshguard_axum::Mesh::dev(id(n)).unwrap().policy(policy).build().unwrap();
        let channel = mesh.channel(url, CALLEE).unwrap();
        let (count, answered) = watch::channel(0);
        let misbehaves = Arc::new(AtomicBool::new(false));
        tokio::spawn(call(channel, count, Arc::clone(&misbehaves)));
        Self { answered, misbehaves }
    }
}

/// Calls until it misbehaves, and then until it is cut off. One whose call is lost calls no more.
async fn call(channel: Channel, answered: watch::Sender<usize>, misbehaves: Arc<AtomicBool>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let wicked = misbehaves.load(SeqCst);
        let path = if wicked { "/forbidden" } else { "/small" };
        match http::call(&channel, http::get(path)).await {
            http::Got::Answer(StatusCode::OK, _) => answered.send_modify(|count| *count += 1),
            http::Got::Answer(StatusCode::FORBIDDEN, _) if wicked => {}
            _ => return,
        }
    }
}

/// Keeps what it prints.
fn listen(mut lines: Lines<BufReader<ChildStdout>>) -> watch::Receiver<Vec<String>> {
    let (keep, said) = watch::channel(Vec::new());
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            // Of refused calls there are many.
            if !line.starts_with("denied of ") {
                keep.send_modify(|said: &mut Vec<String>| said.push(line));
            }
        }
    });
    said
}

fn compile(shim: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ordinary/clock/shim.c");
    let mut cc = std::process::Command::new("cc");
    let done = cc.args(["-shared", "-fPIC", "-o"]).arg(shim).arg(source).status().unwrap();
    assert!(done.success(), "a C compiler is needed");
}
