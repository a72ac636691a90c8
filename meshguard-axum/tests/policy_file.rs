//! A policy file that is watched: the next one takes its place, a bad one does not.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use meshguard_axum::{
    CallErrorKind, Channel, Mesh, Outcome, PolicyStatus, ReloadError, SessionError,
};
use tokio::sync::watch;
use tower::ServiceExt as _;

const CALLEE: &str = "spiffe://file.example/callee";
const CALLER: &str = "spiffe://file.example/caller";

fn document(version: u64, path: &str) -> String {
    format!(
        "mesh = \"file.example\"\nversion = {version}\n[peers]\ncaller = \"{CALLER}\"\n\
         [[allow]]\nname = \"one\"\nfrom = [\"caller\"]\nhttp = [\"GET {path}\"]\n"
    )
}

/// As configuration is rolled out: a new file in the old one's place.
fn put(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, path).unwrap();
}

async fn status(channel: &Channel, path: &str) -> StatusCode {
    let request = Request::get(path).body(Body::empty()).unwrap();
    channel.clone().oneshot(request).await.unwrap().status()
}

async fn loaded(status: &mut watch::Receiver<PolicyStatus>, loads: u64) -> PolicyStatus {
    let reached = status.wait_for(|s| s.loads >= loads);
    tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap().unwrap().clone()
}

#[tokio::test]
async fn a_new_document_takes_effect_and_a_bad_one_is_refused_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    put(&path, &document(1, "/a"));
    let callee = Mesh::dev(CALLEE).unwrap().policy_file(&path).unwrap();
    let callee = callee.reload_every(Duration::from_millis(20)).build().unwrap();
    let caller = Mesh::dev(CALLER).unwrap().policy(document(1, "/a").parse().unwrap());
    let caller = caller.build().unwrap();
    let app = Router::new().fallback(get(|| async { "let in" }));
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    tokio::spawn(meshguard_axum::serve(listener, app).into_future());
    let channel = caller.channel(&uri, CALLEE).unwrap();
    let mut changes = callee.policy_status();
    assert_eq!(status(&channel, "/a").await, StatusCode::OK);
    assert_eq!(status(&channel, "/bb").await, StatusCode::FORBIDDEN);

    put(&path, &document(2, "/bb"));
    assert_eq!(loaded(&mut changes, 2).await.version, 2);
    assert_eq!(status(&channel, "/a").await, StatusCode::FORBIDDEN);
    assert_eq!(status(&channel, "/bb").await, StatusCode::OK);

    put(&path, &document(3, "/ccc").replace("from", "form"));
    let refused = loaded(&mut changes, 3).await;
    let why = refused.refused.unwrap().to_string();
    assert_eq!(refused.version, 2);
    assert!(why.contains("policy.toml") && why.contains("line 7"), "{why}");
    assert_eq!(status(&channel, "/bb").await, StatusCode::OK, "the last good one holds");

    put(&path, &document(1, "/dddd"));
    let refused = loaded(&mut changes, 4).await.refused.unwrap();
    assert!(matches!(*refused, ReloadError::OlderPolicy { current: 2, found: 1 }), "{refused}");
    assert_eq!(status(&channel, "/bb").await, StatusCode::OK);

    put(&path, &document(4, "/eeeee"));
    let status_now = loaded(&mut changes, 5).await;
    assert!(status_now.refused.is_none() && status_now.version == 4);
    assert_eq!(status(&channel, "/eeeee").await, StatusCode::OK);
}

#[tokio::test]
async fn without_a_policy_everything_is_denied() {
    let callee = Mesh::dev(CALLEE).unwrap().build().unwrap();
    let caller = Mesh::dev(CALLER).unwrap().build().unwrap();
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    let app = Router::new().fallback(get(|| async { "never" }));
    tokio::spawn(meshguard_axum::serve(listener, app).into_future());
    let channel = caller.channel(&uri, CALLEE).unwrap();
    let request = Request::get("/a").body(Body::empty()).unwrap();
    let error = channel.oneshot(request).await.unwrap_err();
    let CallErrorKind::Session(SessionError::Denied(Some(number))) = error.kind() else {
        panic!("{error}")
    };
    assert_eq!((error.grpc_code(), error.outcome()), (7, Outcome::NotDelivered));
    let explained = callee.explain(*number).unwrap().to_string();
    assert!(explained.contains("policy allows the caller nothing here"), "{explained}");
}
