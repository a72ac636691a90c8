//! Requests that are repeated, and requests that never arrive.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Outcome, Unknown};
use meshguard_testing::{Fault, Forged};

use crate::rig::app::Saw;
use crate::rig::{self, Rig, SUITES, grpc, http};

fn bodies() -> [Request<Body>; 3] {
    let streamed = http::post("/take", http::halves(&http::pattern(100)));
    [http::get("/known/10"), http::post("/take", http::pattern(100)), streamed]
}

#[tokio::test]
async fn a_repeated_request_reaches_the_application_once() {
    for suite in SUITES {
        for request in bodies() {
            let rig = Rig::new(suite, Alpn::H2).await;
            rig.inject(Fault::ReplayRequest);
            let (status, _) = http::call(&rig.channel, request).await.answer();
            assert_eq!(status, StatusCode::OK);
            let log = rig.injected(1).await;
            assert!(log[0].note.contains("409"), "{log:?}");
            let found = rig.at_callee.wait("duplicate").await;
            assert_eq!(found.via, Some(rig::HOP.to_string()));
            assert_eq!(rig.app.calls(), 1);
            let counts = rig.caller.counts();
            assert_eq!((counts.begun, counts.delivered), (1, 1));
            rig.check_books().await;
        }
    }
}

#[tokio::test]
async fn a_repeated_stream_reaches_the_application_once() {
    for suite in SUITES {
        let rig = Rig::new(suite, Alpn::H2).await;
        rig.inject(Fault::ReplayRequest);
        assert_eq!(grpc::client(rig.channel.clone(), grpc::paced(10)).await.unwrap(), 10);
        rig.injected(1).await;
        rig.at_callee.wait("duplicate").await;
        assert_eq!(rig.app.calls(), 1);
        rig.check_books().await;
    }
}

#[tokio::test]
async fn a_request_that_a_hop_withholds_and_answers_is_missed_by_the_next() {
    for suite in SUITES {
        for request in bodies() {
            let rig = Rig::new(suite, Alpn::H2).await;
            rig.inject(Fault::AnswerItself(Forged::status(StatusCode::SERVICE_UNAVAILABLE)));
            let error = http::call(&rig.channel, request).await.failed();
            assert_eq!(error.outcome(), Outcome::Indeterminate(Unknown::Unproven), "{error}");
            rig.check_books().await;
            assert_eq!(rig.app.calls(), 0);

            assert!(rig.at_callee.named("divergence").is_empty());
            let (status, _) = http::call(&rig.channel, http::get("/known/10")).await.answer();
            assert_eq!(status, StatusCode::OK);
            let found = rig.at_callee.wait("divergence").await;
            assert_eq!(found.detail, "request 1 was sent and never arrived");
            assert_eq!(found.from, Some(rig::CALLER.to_string()));
            rig.check_books().await;
        }
    }
}

/// Nobody can say whether it would have arrived: it is not missed.
#[tokio::test]
async fn a_request_that_its_caller_gives_up_is_not_missed() {
    for suite in SUITES {
        for request in bodies() {
            let rig = Rig::new(suite, Alpn::H2).await;
            rig.inject(Fault::DropRequest);
            tokio::select! {
                got = http::call(&rig.channel, request) => panic!("{got:?}"),
                // The caller's patience ends here.
                _ = rig.injected(1) => {}
            }
            rig.check_books().await;
            let counts = rig.caller.counts();
            assert_eq!((counts.begun, counts.indeterminate), (1, 1));
            assert_eq!(rig.app.calls(), 0);
            let (status, _) = http::call(&rig.channel, http::get("/known/10")).await.answer();
            assert_eq!(status, StatusCode::OK);
            assert!(rig.at_callee.all().is_empty(), "{:?}", rig.at_callee.all());
            rig.check_books().await;
        }
    }
}

#[tokio::test]
async fn requests_cannot_exchange_their_bodies() {
    for suite in SUITES {
        for streamed in [false, true] {
            let rig = Rig::new(suite, Alpn::H2).await;
            let (one, two) = (http::pattern(100), http::pattern(101).slice(1..));
            let body = |whole| if streamed { http::halves(whole) } else { whole.clone().into() };
            rig.inject(Fault::SwapRequestBodies);
            let (first, second) = tokio::join!(
                http::call(&rig.channel, http::post("/take", body(&one))),
                http::call(&rig.channel, http::post("/take", body(&two))),
            );
            for got in [first, second] {
                let error = got.failed();
                assert_eq!(error.kind().as_str(), "not-confirmed", "{error}");
            }
            if streamed || suite == rig::SEALED {
                for _ in 0..2 {
                    let saw = rig.app.saw().await;
                    assert!(
                        matches!(&saw, Saw::Failed { bytes, .. } if bytes.is_empty()),
                        "{saw:?}"
                    );
                }
                assert_eq!(rig.at_callee.named("bad-tag").len(), 2);
            } else {
                assert_eq!(rig.app.calls(), 0);
                assert_eq!(rig.at_callee.named("digest").len(), 2);
            }
            rig.check_books().await;
        }
    }
}
