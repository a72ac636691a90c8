//! Certificates that hold no longer end sessions, and open none.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use meshguard_axum::core::control::Event;
use meshguard_axum::core::reflex::Signal;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallErrorKind, Channel, SessionError};
use meshguard_testing::{FaultHop, LeafSpec};

use crate::rig::revoking::Revoking;
use crate::rig::{self, CALLER, HOP, grpc, http};

pub(crate) async fn hello(channel: &Channel) -> Result<StatusCode, meshguard_axum::CallError> {
    match http::call(channel, http::get("/known/10")).await {
        http::Got::Answer(status, _) => Ok(status),
        http::Got::Failed(error) => Err(error),
        got => panic!("{got:?}"),
    }
}

#[tokio::test]
async fn a_revoked_peer_loses_its_session_and_opens_no_other_over_its_live_connection() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let mut callee = Revoking::new("").await;
        let svid = callee.ca.svid(&CALLER).unwrap();
        let caller = callee.caller(&svid, "");
        let channel = callee.channel(&caller, alpn);
        assert_eq!(hello(&channel).await.unwrap(), StatusCode::OK);
        assert_eq!(callee.mesh.sessions_open(), 1);

        callee.revoke(&[&svid]);
        assert_eq!(callee.mesh.sessions_open(), 0);
        let error = hello(&channel).await.unwrap_err();
        // The callee may also have ended the connection under the call.
        let kinds = ["session", "connect", "handshake-refused", "no-answer"];
        assert!(kinds.contains(&error.kind().as_str()), "{error}");
        assert_eq!((callee.app.calls(), callee.mesh.sessions_open()), (1, 0));
        let counts = caller.counts();
        assert!(counts.balances() && counts.open == 0, "{counts:?}");
    }
}

#[tokio::test]
async fn a_revoked_peers_stream_through_a_hop_is_ended_without_another_word_from_it() {
    let mut callee = Revoking::new("").await;
    let svid = callee.ca.svid(&CALLER).unwrap();
    let caller = callee.caller(&svid, "");
    let hop = FaultHop::builder(callee.addr).tls(&callee.ca, &HOP).unwrap().start().await.unwrap();
    let channel = rig::through(&caller, &hop, Alpn::H2);
    let (open, items) = tokio::sync::mpsc::unbounded_channel();
    let items = futures_util::stream::unfold(items, |mut items| async move {
        items.recv().await.map(|item| (item, items))
    });
    let back = tokio::spawn(grpc::bidi(channel, Box::pin(items)));
    open.send(grpc::Item { number: 1 }).unwrap();
    rig::soon(callee.app.called()).await;
    callee.revoke(&[&svid]);
    let (_, end) = rig::soon(back).await.unwrap();
    assert!(end.is_err());
    let revoked = |event: &Event| matches!(event, Event::Opened(i) if i.signal == Signal::Revoked);
    callee.told.wait_event(revoked).await;
}

#[tokio::test]
async fn a_revoked_peer_opens_no_session_with_a_ticket_of_better_days() {
    let mut callee = Revoking::new("").await;
    let svid = callee.ca.svid(&CALLER).unwrap();
    let caller = callee.caller(&svid, "");
    for alpn in [Alpn::H2, Alpn::Http11] {
        assert_eq!(hello(&callee.channel(&caller, alpn)).await.unwrap(), StatusCode::OK);
    }
    callee.revoke(&[&svid]);
    for alpn in [Alpn::H2, Alpn::Http11] {
        // Another connection: it has tickets of the first ones.
        let error = hello(&callee.channel(&caller, alpn)).await.unwrap_err();
        let kinds = ["session", "connect", "handshake-refused", "no-answer"];
        assert!(kinds.contains(&error.kind().as_str()), "{error}");
    }
    assert_eq!((callee.app.calls(), callee.mesh.sessions_open()), (2, 0));
}

#[tokio::test]
async fn a_revoked_peer_opens_no_session_behind_a_hop_that_holds() {
    let mut callee = Revoking::new("").await;
    let svid = callee.ca.svid(&CALLER).unwrap();
    let caller = callee.caller(&svid, "");
    let hop = FaultHop::builder(callee.addr).tls(&callee.ca, &HOP).unwrap().start().await.unwrap();
    let channel = rig::through(&caller, &hop, Alpn::H2);
    assert_eq!(hello(&channel).await.unwrap(), StatusCode::OK);
    callee.revoke(&[&svid]);
    let error = hello(&channel).await.unwrap_err();
    assert!(
        matches!(error.kind(), CallErrorKind::Session(SessionError::Handshake(_))),
        "{error:?}"
    );
    assert_eq!(callee.told.wait("revoked").await.via, Some(HOP.to_string()));
    assert_eq!((callee.app.calls(), callee.mesh.sessions_open()), (1, 0));
    // The hop and others are served on.
    let other = callee.caller(&callee.ca.svid(&CALLER).unwrap(), "");
    let status = hello(&rig::through(&other, &hop, Alpn::H2)).await.unwrap();
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn an_expired_peer_loses_its_session_and_opens_no_other() {
    let callee = Revoking::new("").await;
    let mut spec = LeafSpec::of(&CALLER);
    spec.not_after = SystemTime::now() + Duration::from_secs(3);
    let caller = callee.caller(&callee.ca.issue(&spec).unwrap(), "");
    let hop = FaultHop::builder(callee.addr).tls(&callee.ca, &HOP).unwrap().start().await.unwrap();
    let channel = callee.channel(&caller, Alpn::H2);
    // Through a hop only the inner handshake knows of it. Opened later, so that the hop's own
    // handshake with the caller is over as well.
    let behind = rig::through(&caller, &hop, Alpn::H2);
    for channel in [&channel, &behind] {
        assert_eq!(hello(channel).await.unwrap(), StatusCode::OK);
    }
    for channel in [&channel, &behind] {
        let refused = rig::soon(async {
            loop {
                match hello(channel).await {
                    Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(error) => return error,
                }
            }
        });
        let error = refused.await;
        assert!(
            ["session", "connect", "handshake-refused", "no-answer"]
                .contains(&error.kind().as_str()),
            "{error}"
        );
    }
    let calls = callee.app.calls();
    hello(&callee.channel(&caller, Alpn::H2)).await.unwrap_err();
    hello(&behind).await.unwrap_err();
    assert_eq!(callee.app.calls(), calls);
    callee.mesh.sweep();
    assert_eq!(callee.mesh.sessions_open(), 0);
    callee.told.wait("expired").await;
}
