//! A service that only calls follows its files too.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::time::Duration;

use meshguard_axum::Mesh;

const CALLER: &str = "spiffe://only.example/caller";
const CALLEE: &str = "spiffe://only.example/callee";

fn document(version: u64) -> String {
    format!("mesh = \"only.example\"\nversion = {version}\n")
}

#[tokio::test]
async fn a_mesh_that_never_listens_reads_its_changed_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    fs::write(&path, document(1)).unwrap();
    let caller = Mesh::dev(CALLER).unwrap().policy_file(&path).unwrap();
    let caller = caller.reload_every(Duration::from_millis(20)).build().unwrap();
    let _channel = caller.channel("https://127.0.0.1:1", CALLEE).unwrap();
    let next = dir.path().join("next");
    fs::write(&next, document(22)).unwrap();
    fs::rename(next, &path).unwrap();
    let mut changes = caller.policy_status();
    let changed = changes.wait_for(|s| s.version == 22);
    tokio::time::timeout(Duration::from_secs(20), changed).await.unwrap().unwrap();
}
