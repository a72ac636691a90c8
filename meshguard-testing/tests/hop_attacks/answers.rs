//! Answers that the callee did not give, or not to this request.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use meshguard_axum::CallErrorKind;
use meshguard_axum::core::delivery::{Outcome, Unknown};
use meshguard_axum::tls::Alpn;
use meshguard_testing::{Fault, Forged};

use crate::rig::http::Got;
use crate::rig::{Rig, SUITES, grpc, http};

const STATUSES: [StatusCode; 3] =
    [StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK];
const CONTENT_TYPE: HeaderName = HeaderName::from_static("content-type");

#[tokio::test]
async fn an_answer_that_the_hop_makes_up_is_unproven() {
    for suite in SUITES {
        for alpn in [Alpn::H2, Alpn::Http11] {
            for status in STATUSES {
                let rig = Rig::new(suite, alpn).await;
                rig.inject(Fault::AnswerItself(Forged::status(status).body("all is well")));
                let error = http::call(&rig.channel, http::post("/take", "x")).await.failed();
                assert_eq!(*error.kind(), CallErrorKind::Unproven(status));
                assert_eq!(error.outcome(), Outcome::Indeterminate(Unknown::Unproven));
                assert_eq!(rig.app.calls(), 0);
                assert_eq!(rig.at_caller.named("unproven").len(), 1);
                rig.check_books().await;
            }
        }
    }
}

#[tokio::test]
async fn an_answer_in_place_of_the_callees_is_unproven() {
    for suite in SUITES {
        for status in STATUSES {
            let rig = Rig::new(suite, Alpn::H2).await;
            rig.inject(Fault::ForwardThenAnswer(Forged::status(status).body("5")));
            let error = http::call(&rig.channel, http::post("/take", "x")).await.failed();
            assert_eq!(*error.kind(), CallErrorKind::Unproven(status));
            // It was delivered, and nobody may conclude that it was not.
            assert_eq!(error.outcome(), Outcome::Indeterminate(Unknown::Unproven));
            assert_eq!(rig.app.calls(), 1);
            rig.check_books().await;
        }
    }
}

#[tokio::test]
async fn a_made_up_status_is_no_status_of_a_grpc_call() {
    for suite in SUITES {
        let rig = Rig::new(suite, Alpn::H2).await;
        let forged = Forged::status(StatusCode::OK)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
            .header(HeaderName::from_static("grpc-status"), HeaderValue::from_static("5"));
        rig.inject(Fault::AnswerItself(forged));
        let status = grpc::client(rig.channel.clone(), grpc::ready(2)).await.unwrap_err();
        let Some(meshguard_tonic::Cause::Call(error)) = meshguard_tonic::cause(&status) else {
            panic!("{status:?}");
        };
        assert_eq!(*error.kind(), CallErrorKind::Unproven(StatusCode::OK));
        rig.check_books().await;
    }
}

fn renew() -> Fault {
    let name = HeaderName::from_static("meshguard-session");
    let hint = Forged::status(StatusCode::UNAUTHORIZED);
    Fault::AnswerItself(hint.header(name, HeaderValue::from_static("renew")))
}

#[tokio::test]
async fn a_made_up_hint_has_only_what_is_safe_sent_again() {
    let (safe, unsafe_) = (http::get("/known/10"), http::post("/take", "x"));
    for (request, sent_again) in [(safe, true), (unsafe_, false)] {
        let rig = Rig::new(SUITES[0], Alpn::H2).await;
        http::call(&rig.channel, http::get("/known/10")).await.answer();
        rig.inject(renew());
        match http::call(&rig.channel, request).await {
            Got::Answer(status, _) if sent_again => assert_eq!(status, StatusCode::OK),
            Got::Failed(error) if !sent_again => {
                let unproven = CallErrorKind::Unproven(StatusCode::UNAUTHORIZED);
                assert_eq!(*error.kind(), unproven);
                assert_eq!(error.outcome(), Outcome::Indeterminate(Unknown::Unproven));
            }
            got => panic!("{got:?}"),
        }
        rig.injected(1).await;
        assert_eq!(rig.app.calls(), 1 + usize::from(sent_again));
        rig.check_books().await;
    }
}

#[tokio::test]
async fn a_hop_that_hints_again_and_again_has_no_handshake_for_each_hint() {
    const HINTS: usize = 4;
    let rig = Rig::new(SUITES[0], Alpn::H2).await;
    let began = std::time::Instant::now();
    for n in 1..=HINTS {
        rig.inject(renew());
        // It waits for its turn.
        let (status, _) = http::call(&rig.channel, http::get("/known/10")).await.answer();
        assert_eq!(status, StatusCode::OK);
        rig.injected(n).await;
    }
    // One to begin with, and at most one in each second.
    let most = 2 + began.elapsed().as_secs() as usize;
    assert!(rig.callee.sessions_open() <= most, "{}", rig.callee.sessions_open());
    rig.check_books().await;
}

#[tokio::test]
async fn a_covered_field_of_an_answer_cannot_be_added_or_dropped() {
    let add = |name, value| {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        Fault::AddResponseHeader { name, value }
    };
    for suite in SUITES {
        for fault in [
            add("location", "/elsewhere"),
            add("etag", "\"1\""),
            add("content-type", "text/html"),
            Fault::StripResponseHeader { name: CONTENT_TYPE },
        ] {
            let rig = Rig::new(suite, Alpn::H2).await;
            rig.inject(fault.clone());
            let error = http::call(&rig.channel, http::get("/known/10")).await.failed();
            assert_eq!(*error.kind(), CallErrorKind::BadProof(StatusCode::OK), "{fault:?}");
            assert_eq!(error.outcome(), Outcome::Indeterminate(Unknown::BadProof));
            assert_eq!(rig.at_caller.named("bad-proof").len(), 1);
            rig.check_books().await;
        }
    }
}

#[tokio::test]
async fn an_answer_without_its_proof_is_unproven() {
    let rig = Rig::new(SUITES[0], Alpn::H2).await;
    rig.inject(Fault::StripResponseHeader { name: HeaderName::from_static("meshguard") });
    let error = http::call(&rig.channel, http::get("/known/10")).await.failed();
    assert_eq!(*error.kind(), CallErrorKind::Unproven(StatusCode::OK));
    rig.check_books().await;
}

#[tokio::test]
async fn a_field_of_an_answer_that_is_not_covered_may_change() {
    let rig = Rig::new(SUITES[0], Alpn::H2).await;
    let (name, value) = (HeaderName::from_static("x-hop"), HeaderValue::from_static("1"));
    rig.inject(Fault::AddResponseHeader { name, value });
    let answer = http::call(&rig.channel, http::get("/known/10")).await.answer();
    assert_eq!(answer, (StatusCode::OK, http::pattern(10)));
    rig.check_books().await;
}

#[tokio::test]
async fn answers_cannot_change_places() {
    for suite in SUITES {
        for path in ["/known/10", "/stream/10"] {
            let rig = Rig::new(suite, Alpn::H2).await;
            rig.inject(Fault::SwapAnswers);
            let (first, second) = tokio::join!(
                http::call(&rig.channel, http::get(path)),
                http::call(&rig.channel, http::get(path)),
            );
            for error in [first.failed(), second.failed()] {
                assert_eq!(*error.kind(), CallErrorKind::BadProof(StatusCode::OK));
            }
            assert_eq!(rig.at_caller.named("bad-proof").len(), 2);
            rig.check_books().await;
        }
    }
}
