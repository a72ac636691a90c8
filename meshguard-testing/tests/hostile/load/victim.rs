//! The service, and honest calls to it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use axum::http::StatusCode;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh};
use meshguard_testing::{SvidFiles, svid_files};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, http, soon};

/// An honest call begins so often.
const EVERY: Duration = Duration::from_millis(10);
/// An attack has so much longer to come as far as it must, on a slow machine.
const MORE: Duration = Duration::from_secs(20);

/// [`CALLER`] may do anything, `attacker` may read and write without proof, and anybody else nothing.
pub const POLICY: &str = r#"
mesh = "faults.example"
version = 1
[peers]
caller = "spiffe://faults.example/checkout"
attacker = "spiffe://faults.example/attacker"
[[allow]]
name = "all"
from = ["caller", "attacker"]
[[delivery]]
from = ["attacker"]
mode = "prefer"
seal = false
"#;

pub struct Victim {
    pub addr: SocketAddr,
    process: Child,
    caller: Mesh,
    _files: SvidFiles,
}

impl Victim {
    pub async fn start() -> Self {
        let files = svid_files(&rig::ca(), &CALLEE).unwrap();
        let policy = files.dir.path().join("policy.toml");
        std::fs::write(&policy, POLICY).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_victim"))
            .args([&files.svid, &files.key, &files.bundle, &policy])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        soon(said.read_line(&mut line)).await.unwrap();
        let addr = line.trim().parse().unwrap_or_else(|_| panic!("it said {line:?}"));
        let caller = rig::mesh(CALLER, POLICY, &Told::default());
        Self { addr, process, caller, _files: files }
    }

    /// The most memory that it has had, in bytes.
    pub fn peak(&self) -> usize {
        let status = format!("/proc/{}/status", self.process.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Calls at a steady rate: over one connection, over another one, and over new ones; for `time`,
    /// and on until `enough`.
    pub async fn honest(&self, time: Duration, enough: impl Fn() -> bool) -> Honest {
        let channel = || {
            let channel = self.caller.channel(&format!("https://{}", self.addr), CALLEE).unwrap();
            channel.protocols(Alpn::H2)
        };
        let kept = [channel(), channel()];
        let (mut calls, mut tick) = (JoinSet::new(), interval(EVERY));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let begin = Instant::now();
        let mut count = 0;
        while begin.elapsed() < time || (!enough() && begin.elapsed() < time + MORE) {
            let begins = tick.tick().await;
            count += 1;
            let channel = if count % 10 == 0 { channel() } else { kept[count % 2].clone() };
            calls.spawn(call(channel, begins));
        }
        let mut honest = Honest { took: Vec::new(), failed: Vec::new() };
        while let Some(called) = calls.join_next().await {
            match called.unwrap() {
                Ok(took) => honest.took.push(took),
                Err(failed) => honest.failed.push(failed),
            }
        }
        honest.took.sort_unstable();
        honest
    }

    pub async fn stop(mut self) {
        drop(self.process.stdin.take());
        assert!(soon(self.process.wait()).await.unwrap().success());
    }
}

/// Time counts from when the call was due, so that none hides behind another one.
async fn call(channel: Channel, due: Instant) -> Result<Duration, String> {
    match http::call(&channel, http::get("/small")).await {
        http::Got::Answer(StatusCode::OK, body) if body == "ok" => Ok(due.elapsed()),
        other => Err(format!("{other:?}")),
    }
}

/// What became of honest calls.
pub struct Honest {
    /// Sorted.
    took: Vec<Duration>,
    failed: Vec<String>,
}

impl Honest {
    pub fn percentile(&self, percent: usize) -> Duration {
        self.took[(self.took.len() - 1) * percent / 100]
    }

    pub fn check(&self, when: &str) {
        assert_eq!(self.failed, [] as [&str; 0], "{when}");
        assert!(self.took.len() > 50, "{when}: {} calls", self.took.len());
    }
}
