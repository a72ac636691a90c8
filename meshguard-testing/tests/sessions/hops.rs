//! Hops that answer in the callee's place, that nobody named, or that know no affinity.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use meshguard_axum::tls::{Alpn, HandshakeErrorKind};
use meshguard_axum::{CallErrorKind, SessionError};
use meshguard_testing::{Fault, FaultHop, Forged, Injection, Match};

use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, HOP, Rig, SUITES, http};

const SESSION: &str = "/.well-known/meshguard/session";

#[tokio::test]
async fn a_hop_that_answers_the_handshake_itself_is_the_wrong_peer() {
    for suite in SUITES {
        for alpn in [Alpn::H2, Alpn::Http11] {
            let (told, app) = (Told::default(), App::default());
            let policy = rig::policy(suite);
            let caller = rig::mesh(CALLER, &policy, &told);
            // A service of the hop's own, with a good SVID, where the hop should pass on.
            let hop = rig::mesh(HOP, &policy, &Told::default());
            let addr = rig::serve(&hop, &app).await;
            let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
            let channel = channel.via(HOP).protocols(alpn);
            let error = http::call(&channel, http::post("/take", "secret")).await.failed();
            let wrong = SessionError::Handshake(HandshakeErrorKind::WrongPeer);
            assert_eq!(*error.kind(), CallErrorKind::Session(wrong));
            assert_eq!((app.calls(), hop.sessions_open()), (0, 0));
        }
    }
}

#[tokio::test]
async fn a_hop_that_answers_in_the_callees_place_is_no_connection_of_a_direct_channel() {
    let (app, policy) = (App::default(), rig::policy(""));
    let caller = rig::mesh(CALLER, &policy, &Told::default());
    let hop = rig::mesh(HOP, &policy, &Told::default());
    let addr = rig::serve(&hop, &app).await;
    let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
    let error = http::call(&channel, http::get("/known/10")).await.failed();
    assert_eq!(*error.kind(), CallErrorKind::Connect);
    assert_eq!(app.calls(), 0);
}

/// As [`rig::policy`], without hops.
fn without_hops() -> String {
    rig::policy("").replace("hops = [\"hop\"]\n", "").replace(&format!("hop = \"{HOP}\"\n"), "")
}

#[tokio::test]
async fn a_hop_that_policy_does_not_name_opens_no_session() {
    let (told, app) = (Told::default(), App::default());
    let caller = rig::mesh(CALLER, &rig::policy(""), &Told::default());
    let callee = rig::mesh(CALLEE, &without_hops(), &told);
    let addr = rig::serve(&callee, &app).await;
    let hop = FaultHop::builder(addr).tls(&rig::ca(), &HOP).unwrap().start().await.unwrap();
    let channel = rig::through(&caller, &hop, Alpn::H2);
    let error = http::call(&channel, http::get("/known/10")).await.failed();
    let refused = SessionError::Refused(StatusCode::FORBIDDEN);
    assert_eq!(*error.kind(), CallErrorKind::Session(refused));
    assert_eq!(told.wait("hop-not-named").await.via, Some(HOP.to_string()));
    assert_eq!((app.calls(), callee.sessions_open()), (0, 0));
}

#[tokio::test]
async fn a_hop_that_policy_no_longer_names_carries_nothing_more() {
    for suite in SUITES {
        let rig = Rig::new(suite, Alpn::H2).await;
        http::call(&rig.channel, http::get("/known/10")).await.answer();
        rig.callee.set_policy(without_hops().parse().unwrap());
        let error = http::call(&rig.channel, http::get("/known/10")).await.failed();
        let unproven = CallErrorKind::Unproven(StatusCode::UNAUTHORIZED);
        assert_eq!(*error.kind(), unproven);
        rig.at_callee.wait("hop").await;
        assert_eq!(rig.app.calls(), 1);
        rig.check_books().await;
    }
}

#[tokio::test]
async fn a_hop_that_policy_names_may_not_call_in_its_own_name() {
    let rig = Rig::new("", Alpn::H2).await;
    let hop = rig::mesh(HOP, &rig::policy("[[delivery]]\nmode = \"off\"\n"), &Told::default());
    let channel = hop.channel(&format!("https://{}", rig.addr), CALLEE).unwrap();
    let (status, _) = http::call(&channel, http::get("/known/10")).await.answer();
    // Nobody allows it anything: it is no caller.
    assert_eq!((status, rig.app.calls()), (StatusCode::FORBIDDEN, 0));
}

/// Has another instance answer the second post of each of the next handshakes.
fn split(rig: &Rig, handshakes: u32) {
    for n in 0..handshakes {
        // It knows nothing of the first.
        let refused = HeaderValue::from_static("refused");
        let other = Forged::status(StatusCode::CONFLICT);
        let other = other.header(HeaderName::from_static("meshguard-session"), refused);
        let (fault, on) = (Fault::AnswerItself(other), Match::path(SESSION).skip(n + 1));
        rig.hop.inject(Injection { fault, on });
    }
}

/// As while one instance drains beside the next one, and a hop has connections to both.
#[tokio::test]
async fn a_handshake_that_meets_two_instances_for_a_moment_begins_again() {
    let rig = Rig::new("", Alpn::H2).await;
    split(&rig, 3);
    let (status, _) = http::call(&rig.channel, http::get("/known/10")).await.answer();
    assert_eq!((status, rig.app.calls()), (StatusCode::OK, 1));
    rig.injected(3).await;
}

#[tokio::test]
async fn handshakes_that_keep_meeting_two_instances_say_so() {
    let rig = Rig::new("", Alpn::H2).await;
    split(&rig, 6);
    let error = http::call(&rig.channel, http::get("/known/10")).await.failed();
    assert_eq!(*error.kind(), CallErrorKind::Session(SessionError::Split), "{error}");
    assert!(error.to_string().contains("meshguard-affinity"), "{error}");
    assert_eq!((rig.app.calls(), rig.callee.sessions_open()), (0, 0));
    // The same channel works once all posts go one way.
    let (status, _) = http::call(&rig.channel, http::get("/known/10")).await.answer();
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn an_instance_that_knows_nothing_of_a_handshake_answers_conflict() {
    let rig = Rig::new("", Alpn::H2).await;
    let name = HeaderName::from_static("meshguard-session");
    let value = HeaderValue::from_static("sid=\"AAAAAAAAAAAAAAAAAAAAAA\"");
    // The first post names a handshake that this instance does not know.
    let (fault, on) = (Fault::AddRequestHeader { name, value }, Match::path(SESSION));
    rig.hop.inject(Injection { fault, on });
    let error = http::call(&rig.channel, http::get("/known/10")).await.failed();
    let refused = SessionError::Refused(StatusCode::CONFLICT);
    assert_eq!(*error.kind(), CallErrorKind::Session(refused), "{error}");
    rig.at_callee.wait("unknown-sid").await;
    assert_eq!(rig.callee.sessions_open(), 0);
}
