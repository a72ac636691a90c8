//! Whatever narrows what is allowed: trust, the loop, certificates.

use std::time::Duration;

use meshguard_axum::rejudge::Cause;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Mesh, Policy};
use meshguard_testing::{FaultHop, svid_files, write_svid_files};

use crate::rig::app::App;
use crate::rig::{self, CALLEE, CALLER, HOP, http, soon};
use crate::world::{AT_MOST, Open};

/// Calls what policy forbids until `done`.
async fn misbehave(channel: &meshguard_axum::Channel, done: impl Future) {
    let calls = async {
        loop {
            let _ = http::call(channel, http::get("/forbidden")).await;
        }
    };
    tokio::select! {
        () = calls => {}
        _ = soon(done) => {}
    }
}

/// A callee that does `what` about refusals, and lets streams run under `when`.
fn callee(what: &str, when: &str) -> Mesh {
    let text = format!(
        "mesh = \"faults.example\"\nversion = 1\nhops = [\"hop\"]\n\
         [peers]\nhop = \"{HOP}\"\n\
         [[allow]]\nname = \"all\"\nhttp = [\"GET /known/{{n}}\"]\n\
         [[allow]]\nname = \"streams\"\ngrpc = [\"faults.Items/*\"]\n{when}\
         [[reflex]]\nname = \"outside-intent\"\n\
         on = {{ signal = \"refusals\", false_alarms = \"1 in 1 min\", scope = \"caller\" }}\n\
         do = [{what}]\nttl = \"1h\"\n\
         [governor]\nmax_share = 1.0\nmin_peers = 1\nmin_calls = 10\n"
    );
    let policy: Policy = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let quick = meshguard_axum::Cadence {
        busy: Duration::from_millis(20),
        quiet: Duration::from_millis(200),
        calls: 10,
    };
    Mesh::dev(CALLEE).unwrap().policy(policy).cadence(quick).build().unwrap()
}

/// A stream of a caller that then misbehaves is ended on account of `cause`.
async fn is_ended_by(callee: Mesh, cause: Cause) {
    let app = App::default();
    let addr = rig::serve(&callee, &app).await;
    let hop = FaultHop::builder(addr).tls(&rig::ca(), &HOP).unwrap().start().await.unwrap();
    let caller =
        Mesh::dev(CALLER).unwrap().policy(crate::world::policy(1, "", "")).build().unwrap();
    let channel = rig::through(&caller, &hop, Alpn::H2);
    // It has to be known before anything of it can stand out.
    for _ in 0..20 {
        http::call(&channel, http::get("/known/10")).await.answer();
    }
    let open = Open::new(&channel, &app).await;
    let mut rejudged = callee.rejudged();
    let ended = rejudged.wait_for(|all| all.streams > 0);
    misbehave(&channel, ended).await;
    let done = rejudged.borrow().last.clone().unwrap();
    assert!(open.ended().await.0.1.is_err());
    assert_eq!((done.cause, done.connections), (cause, 0));
    assert!(done.delay <= AT_MOST, "{done:?}");
}

#[tokio::test]
async fn a_stream_whose_caller_is_trusted_too_little_now_is_ended() {
    is_ended_by(callee("\"alert\"", "when = { trust = 0.45 }\n"), Cause::Trust).await;
}

#[tokio::test]
async fn a_stream_of_which_the_loop_asks_more_now_is_ended() {
    is_ended_by(callee("{ tighten = { direct = true } }", ""), Cause::Tightened).await;
}

#[tokio::test]
async fn a_stream_whose_caller_is_cut_off_is_ended() {
    is_ended_by(callee("\"quarantine\"", ""), Cause::Quarantine).await;
}

/// With its connection, or behind a hop alone.
#[tokio::test]
async fn what_a_revoked_caller_has_open_is_ended_within_100_ms() {
    for behind_a_hop in [false, true] {
        let ca = meshguard_testing::DevCa::new(CALLEE.trust_domain()).unwrap();
        let mut files = svid_files(&ca, &CALLEE).unwrap();
        files.write_crl(&ca, &[]).unwrap();
        let built = Mesh::builder()
            .svid_files(&files.svid, &files.key, &files.bundle)
            .and_then(|b| b.crl_file(files.crl.as_ref().unwrap()));
        let builder = built.unwrap().policy(crate::world::policy(1, "", ""));
        let callee = builder.reload_every(Duration::from_secs(3600)).build().unwrap();
        let app = App::default();
        let addr = rig::serve(&callee, &app).await;
        let svid = ca.svid(&CALLER).unwrap();
        let of_caller = write_svid_files(&ca, &svid).unwrap();
        let builder =
            Mesh::builder().svid_files(&of_caller.svid, &of_caller.key, &of_caller.bundle);
        let caller = builder.unwrap().policy(crate::world::policy(1, "", "")).build().unwrap();
        let hop = FaultHop::builder(addr).tls(&ca, &HOP).unwrap().start().await.unwrap();
        let channel = match behind_a_hop {
            true => rig::through(&caller, &hop, Alpn::H2),
            false => caller.channel(&format!("https://{addr}"), CALLEE).unwrap(),
        };
        let open = Open::new(&channel, &app).await;
        files.write_crl(&ca, &[&svid]).unwrap();
        let mut rejudged = callee.rejudged();
        callee.reload().unwrap();
        assert!(open.ended().await.0.1.is_err());
        let credentials = |all: &meshguard_axum::rejudge::Rejudged| {
            all.last.as_ref().is_some_and(|last| last.cause == Cause::Credentials)
        };
        let done = soon(rejudged.wait_for(credentials)).await.unwrap().last.clone().unwrap();
        assert_eq!(done.connections, u64::from(!behind_a_hop), "{done:?}");
        assert!(done.delay <= AT_MOST, "{done:?}");
    }
}
