//! An intermediate authority that was revoked: what it has issued connects nowhere, opens no
//! session, and loses those that it has.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use meshguard_axum::core::control::Event;
use meshguard_axum::core::reflex::Signal;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallErrorKind, Mesh, Policy, SessionError};
use meshguard_testing::{DevCa, FaultHop, write_svid_files};

use crate::ends::hello;
use crate::rig::app::App;
use crate::rig::revoking::Revoking;
use crate::rig::{self, CALLEE, CALLER, HOP};

fn list(ca: &DevCa, revoked: &DevCa) -> String {
    ca.crl_until(&[revoked.serial()], SystemTime::now() + Duration::from_secs(3600)).unwrap()
}

#[tokio::test]
async fn a_caller_of_a_revoked_intermediate_connects_no_more_and_is_told_why() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let callee = Revoking::new("").await;
        let between = callee.ca.intermediate().unwrap();
        let caller = callee.caller(&between.svid(&CALLER).unwrap(), "");
        assert_eq!(hello(&callee.channel(&caller, alpn)).await.unwrap(), StatusCode::OK);
        callee.revoke_by(&list(&callee.ca, &between));
        assert_eq!(callee.mesh.sessions_open(), 0);
        let again = callee.caller(&between.svid(&CALLER).unwrap(), "");
        let error = hello(&callee.channel(&again, alpn)).await.unwrap_err();
        let CallErrorKind::HandshakeRefused(alert) = error.kind() else { panic!("{error}") };
        assert_eq!(alert.as_str(), "certificate_revoked");
        assert_eq!(callee.app.calls(), 1);
        // It was not itself revoked: one of another authority is the same workload.
        let revoked =
            |event: &Event| matches!(event, Event::Opened(i) if i.signal == Signal::Revoked);
        assert!(!callee.told.events().iter().any(revoked));
        let other = callee.caller(&callee.ca.svid(&CALLER).unwrap(), "");
        assert_eq!(hello(&callee.channel(&other, alpn)).await.unwrap(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_caller_of_a_revoked_intermediate_opens_no_session_behind_a_hop() {
    let callee = Revoking::new("").await;
    let between = callee.ca.intermediate().unwrap();
    let caller = callee.caller(&between.svid(&CALLER).unwrap(), "");
    let hop = FaultHop::builder(callee.addr).tls(&callee.ca, &HOP).unwrap().start().await.unwrap();
    let channel = rig::through(&caller, &hop, Alpn::H2);
    assert_eq!(hello(&channel).await.unwrap(), StatusCode::OK);
    callee.revoke_by(&list(&callee.ca, &between));
    let error = hello(&channel).await.unwrap_err();
    assert!(
        matches!(error.kind(), CallErrorKind::Session(SessionError::Handshake(_))),
        "{error:?}"
    );
    assert_eq!((callee.app.calls(), callee.mesh.sessions_open()), (1, 0));
}

/// Over a connection of its own, and behind a hop, where only the session's handshake shows it.
#[tokio::test]
async fn a_callee_of_a_revoked_intermediate_is_called_no_more() {
    let ca = DevCa::new(CALLEE.trust_domain()).unwrap();
    let (good, bad) = (ca.intermediate().unwrap(), ca.intermediate().unwrap());
    let mut files = meshguard_testing::svid_files(&ca, &CALLER).unwrap();
    files.write_list(&list(&ca, &bad)).unwrap();
    let policy = || rig::policy("").parse::<Policy>().unwrap();
    let builder = Mesh::builder().svid_files(&files.svid, &files.key, &files.bundle).unwrap();
    let builder = builder.crl_file(files.crl.as_ref().unwrap()).unwrap();
    let caller = builder.policy(policy()).build().unwrap();
    for (authority, taken) in [(&good, true), (&bad, false)] {
        let files = write_svid_files(authority, &authority.svid(&CALLEE).unwrap()).unwrap();
        let builder = Mesh::builder().svid_files(&files.svid, &files.key, &files.bundle).unwrap();
        let (callee, app) = (builder.policy(policy()).build().unwrap(), App::default());
        let addr = rig::serve(&callee, &app).await;
        let hop = FaultHop::builder(addr).tls(&ca, &HOP).unwrap().start().await.unwrap();
        let direct = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
        for (channel, kind) in
            [(direct, "connect"), (rig::through(&caller, &hop, Alpn::H2), "session")]
        {
            match hello(&channel).await {
                Ok(status) => assert!(taken && status == StatusCode::OK),
                Err(error) => {
                    assert!(!taken && error.kind().as_str() == kind, "{error}");
                    assert!(format!("{error:?}").contains("Revoked"), "{error:?}");
                }
            }
        }
        assert_eq!(app.calls(), if taken { 2 } else { 0 });
    }
}
