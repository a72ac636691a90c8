//! Where policies come from, and how long they hold.

use std::time::Duration;

use axum::http::StatusCode;
use meshguard_axum::rejudge::Cause;
use meshguard_axum::source::{PolicyFile, policy_channel};
use meshguard_axum::{Mesh, MeshBuilder, PolicyStatus, ReloadError};

use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, http, soon};
use crate::world::{ALL, NO_STREAMS, Open, policy};

fn callee() -> MeshBuilder {
    Mesh::dev(CALLEE).unwrap()
}

async fn status(mesh: &Mesh, which: impl FnMut(&PolicyStatus) -> bool) -> PolicyStatus {
    let mut status = mesh.policy_status();
    soon(status.wait_for(which)).await.unwrap().clone()
}

/// The paused clock goes on when all wait.
async fn later(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test]
async fn a_handle_puts_policies_in_force_and_is_told_which_were_not() {
    let (handle, feed) = policy_channel();
    let mesh = callee().policy_source(feed).build().unwrap();
    let _listener = mesh.listen("127.0.0.1:0").await.unwrap();
    assert_eq!(mesh.policy().version(), 0, "nothing is allowed before the first one");
    let mut outcome = handle.outcome();

    handle.set(policy(5, ALL, ""));
    let told = soon(outcome.wait_for(Option::is_some)).await.unwrap().clone().unwrap();
    assert_eq!((told.version, told.refused.is_none()), (Some(5), true));
    assert_eq!(mesh.policy().version(), 5);

    handle.set(policy(4, ALL, ""));
    soon(outcome.changed()).await.unwrap();
    let told = outcome.borrow_and_update().clone().unwrap();
    let refused = told.refused.unwrap();
    assert!(matches!(*refused, ReloadError::OlderPolicy { current: 5, found: 4 }), "{refused}");
    assert_eq!(mesh.policy().version(), 5);

    handle.fail("the document is torn");
    soon(outcome.changed()).await.unwrap();
    let refused = mesh.policy_status().borrow().refused.clone().unwrap();
    assert!(matches!(&*refused, ReloadError::Source(..)), "{refused}");
    assert_eq!(mesh.policy_status().borrow().version, 5);
}

#[tokio::test]
async fn a_policy_from_a_handle_ends_what_it_denies() {
    let (handle, feed) = policy_channel();
    let mesh = callee().policy(policy(1, ALL, "")).policy_source(feed).build().unwrap();
    let app = App::default();
    let addr = rig::serve(&mesh, &app).await;
    let caller = Mesh::dev(CALLER).unwrap().policy(policy(1, ALL, "")).build().unwrap();
    let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
    let open = Open::new(&channel, &app).await;
    handle.set(policy(2, NO_STREAMS, ""));
    assert!(open.ended().await.0.1.is_err());
    let mut rejudged = mesh.rejudged();
    let done = soon(rejudged.wait_for(|all| all.streams == 1)).await.unwrap().last.clone();
    assert_eq!(done.unwrap().cause, Cause::Policy);
}

#[tokio::test]
async fn a_policy_that_nobody_confirms_expires_and_is_back_when_somebody_does() {
    let (handle, feed) = policy_channel();
    let told = Told::default();
    let term = Duration::from_millis(200);
    let builder = callee().policy(policy(3, ALL, "")).policy_source(feed).sink(told.clone());
    let mesh = builder.policy_stale_after(term).build().unwrap();
    let app = App::default();
    let addr = rig::serve(&mesh, &app).await;
    let caller = Mesh::dev(CALLER).unwrap().policy(policy(3, ALL, "")).build().unwrap();
    let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
    let open = Open::new(&channel, &app).await;
    told.wait("policy-expired").await;
    assert!(open.ended().await.0.1.is_err());
    assert_eq!(status(&mesh, |s| s.expired).await.version, 3);
    // It may connect again, to be told.
    let refused = soon(async {
        loop {
            if let http::Got::Answer(status, _) = http::call(&channel, http::get("/known/1")).await
            {
                return status;
            }
        }
    });
    assert_eq!(refused.await, StatusCode::FORBIDDEN);
    assert!(told.wait("denied").await.detail.contains("the policy has expired"));
    handle.confirm();
    status(&mesh, |s| !s.expired).await;
    // A channel that was told that it may do nothing asks again a second later.
    soon(async {
        while !matches!(
            http::call(&channel, http::get("/known/1")).await,
            http::Got::Answer(StatusCode::OK, _)
        ) {
            tokio::time::sleep(term / 4).await;
            handle.confirm();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_file_holds_as_long_as_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (path, away) = (dir.path().join("policy.toml"), dir.path().join("away"));
    let text = "mesh = \"faults.example\"\nversion = 3\n[[allow]]\nname = \"all\"\n";
    std::fs::write(&path, text).unwrap();
    let builder = callee().policy_file(&path).unwrap();
    let mesh = builder.policy_stale_after(Duration::from_secs(30)).build().unwrap();
    let _listener = mesh.listen("127.0.0.1:0").await.unwrap();
    later(Duration::from_secs(300)).await;
    assert!(!mesh.policy_status().borrow().expired);
    std::fs::rename(&path, &away).unwrap();
    later(Duration::from_secs(10)).await;
    assert!(!mesh.policy().is_expired(), "within its time");
    assert!(mesh.policy_status().borrow().refused.is_some());
    later(Duration::from_secs(30)).await;
    assert!(mesh.policy().is_expired() && mesh.policy().version() == 3);
    std::fs::rename(&away, &path).unwrap();
    // Two looks, and the one that says that it is still there.
    later(Duration::from_secs(3)).await;
    assert!(!mesh.policy().is_expired() && mesh.policy().version() == 3);
}

/// What is there and is not understood is no confirmation of what was.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_understood_does_not_keep_the_old_policy_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.yaml");
    let good = "mesh: faults.example\nversion: 3\nallow:\n  - name: all\n";
    std::fs::write(&path, good).unwrap();
    let source = PolicyFile::new(&path).every(Duration::from_millis(500));
    let builder = callee().policy_source(source);
    let mesh = builder.policy_stale_after(Duration::from_secs(30)).build().unwrap();
    let _listener = mesh.listen("127.0.0.1:0").await.unwrap();
    later(Duration::from_secs(60)).await;
    assert!(mesh.policy().version() == 3 && !mesh.policy().is_expired());
    std::fs::write(&path, format!("{good}nonsense: 1\n")).unwrap();
    later(Duration::from_secs(60)).await;
    assert!(mesh.policy().is_expired());
    let refused = mesh.policy_status().borrow().refused.clone().unwrap();
    assert!(matches!(&*refused, ReloadError::Policy(..)), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_source_is_no_word_of_it() {
    let (handle, feed) = policy_channel();
    let builder = callee().policy(policy(3, ALL, "")).policy_source(feed);
    let mesh = builder.policy_stale_after(Duration::from_secs(30)).build().unwrap();
    let _listener = mesh.listen("127.0.0.1:0").await.unwrap();
    drop(handle);
    later(Duration::from_secs(20)).await;
    assert!(!mesh.policy().is_expired());
    later(Duration::from_secs(20)).await;
    assert!(mesh.policy().is_expired());
}
