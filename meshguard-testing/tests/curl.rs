//! curl with a client certificate, against services of the mesh: what a peer that proves who it
//! is, and nothing else, may and may not do.
//!
//! Without curl on this machine the tests say so and pass; with `CI=true` they fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod rig;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use meshguard_axum::{DecisionId, Mesh, SpiffeId};
use meshguard_testing::{SvidFiles, svid_files};
use tokio::process::Command;

use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{CALLEE, CALLER, soon};

const STRANGER: SpiffeId = SpiffeId::from_static("spiffe://faults.example/stranger");

/// Where curl is; `None` where it is not, and that is allowed.
fn curl() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|p| p.join("curl")).find(|p| p.is_file());
    if found.is_none() {
        let ci = std::env::var("CI").is_ok_and(|v| v == "true");
        assert!(!ci, "there is no curl, and CI must have it");
        eprintln!("SKIPPED: there is no curl on this machine");
    }
    found
}

/// A callee, and curl with the SVID of a caller.
struct Rig {
    curl: PathBuf,
    files: SvidFiles,
    callee: Mesh,
    app: App,
    addr: SocketAddr,
}

/// What curl got.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Rig {
    async fn new(caller: &SpiffeId, delivery: &str) -> Option<Self> {
        let curl = curl()?;
        let (told, app) = (Told::default(), App::default());
        let callee = rig::mesh(CALLEE, &rig::policy(delivery), &told);
        let addr = rig::serve(&callee, &app).await;
        let files = svid_files(&rig::ca(), caller).unwrap();
        Some(Self { curl, files, callee, app, addr })
    }

    async fn get(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(&self.curl);
        // No configuration, proxy or other habit of this machine's.
        command.args(["-q", "--silent", "--show-error", "--noproxy", "*", "--include"]);
        command.arg("--cacert").arg(&self.files.bundle);
        command.arg("--cert").arg(&self.files.svid).arg("--key").arg(&self.files.key);
        command.args(arguments).arg(format!("https://{}/known/10", self.addr));
        let output = soon(command.kill_on_drop(true).output()).await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {error}", output.status);
        parse(&String::from_utf8_lossy(&output.stdout))
    }
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|l| l.split_once(": "));
    let headers = headers.map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
    Answer { status, headers, body: body.to_owned() }
}

const OFF: &str = "[[delivery]]\nmode = \"off\"\n";
const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

#[tokio::test]
async fn a_plain_peer_that_policy_denies_gets_a_number_that_explains() {
    let Some(rig) = Rig::new(&STRANGER, OFF).await else { return };
    for version in VERSIONS {
        let answer = rig.get(&[version]).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        // It is told no reason, only where its operator finds one.
        assert_eq!(answer.body, "denied by policy");
        let id = DecisionId::parse(&answer.headers["meshguard-decision"]).unwrap();
        let explanation = rig.callee.explain(id).unwrap();
        assert_eq!(explanation.from, Some(STRANGER.to_string()));
        assert_eq!(explanation.asked, "GET /known/10");
        assert_eq!(explanation.policy_version, 1);
        assert!(!explanation.reason.is_empty());
        assert!(rig.callee.explain(DecisionId::parse(&"0".repeat(32)).unwrap()).is_none());
    }
    assert_eq!(rig.app.calls(), 0);
}

#[tokio::test]
async fn a_plain_peer_is_let_in_where_delivery_is_off() {
    let Some(rig) = Rig::new(&CALLER, OFF).await else { return };
    for version in VERSIONS {
        let answer = rig.get(&[version]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body.as_bytes(), rig::http::pattern(10));
        assert!(!answer.headers.contains_key("meshguard-decision"));
    }
    assert_eq!(rig.app.calls(), 2);
}

#[tokio::test]
async fn a_plain_peer_is_refused_where_delivery_is_required() {
    for delivery in ["", "[[delivery]]\nmode = \"require\"\n"] {
        let Some(rig) = Rig::new(&CALLER, delivery).await else { return };
        for version in VERSIONS {
            let answer = rig.get(&[version]).await;
            assert_eq!(answer.status, 401, "{answer:?}");
            let id = DecisionId::parse(&answer.headers["meshguard-decision"]).unwrap();
            let reason = rig.callee.explain(id).unwrap().reason;
            assert_eq!(reason, "delivery is to be proved");
        }
        assert_eq!(rig.app.calls(), 0);
    }
}

#[tokio::test]
async fn headers_that_claim_an_identity_do_not_reach_the_application() {
    const CLAIMS: [&str; 8] = [
        "x-forwarded-client-cert: URI=spiffe://faults.example/admin",
        "x-spiffe-id: spiffe://faults.example/admin",
        "client-cert: :AAAA:",
        "client-cert-chain: :AAAA:",
        "x-ssl-client-s-dn: CN=admin",
        "ssl-client-verify: SUCCESS",
        "meshguard-affinity: 00",
        "x-meshguard-peer: spiffe://faults.example/admin",
    ];
    let Some(rig) = Rig::new(&CALLER, OFF).await else { return };
    for version in VERSIONS {
        let mut arguments = vec![version, "-H", "x-tenant: a"];
        arguments.extend(CLAIMS.iter().flat_map(|claim| ["-H", claim]));
        assert_eq!(rig.get(&arguments).await.status, 200);
    }
    for headers in rig.app.headers() {
        assert_eq!(headers["x-tenant"], "a");
        for claim in CLAIMS {
            let name = claim.split(':').next().unwrap();
            assert!(!headers.contains_key(name), "{name}");
        }
    }
    assert_eq!(rig.app.calls(), 2);
}

#[tokio::test]
async fn a_made_up_proof_is_no_proof() {
    let Some(rig) = Rig::new(&CALLER, OFF).await else { return };
    let field = "meshguard: sid=\"AAAAAAAAAAAAAAAAAAAAAA\", seq=1, low=1, body=none, \
                 p=:AAAAAAAAAAAAAAAAAAAAAA==:";
    for version in VERSIONS {
        let answer = rig.get(&[version, "-H", field]).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(answer.headers["meshguard-session"], "renew");
        let answer = rig.get(&[version, "-H", "meshguard: proven"]).await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    assert_eq!(rig.app.calls(), 0);
}
