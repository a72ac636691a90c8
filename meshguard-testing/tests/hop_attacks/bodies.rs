//! HTTP bodies, changed on their way.

use axum::http::StatusCode;
use meshguard_axum::CallErrorKind;
use meshguard_axum::tls::Alpn;
use meshguard_testing::Direction::{self, Request, Response};
use meshguard_testing::Fault;

use crate::rig::app::Saw;
use crate::rig::http::{Got, pieces};
use crate::rig::{Rig, SEALED, SUITES, http};

/// Pieces of a streamed body, each a record of 32 bytes.
const PIECES: usize = 10;
const RECORD: u64 = 10 + 22;

/// What a hop can do to records, and how many pieces still pass.
fn mangled(direction: Direction) -> Vec<(Fault, usize)> {
    let fin = PIECES; // counted as a message of its own
    vec![
        (Fault::FlipByte { direction, offset: 2 * RECORD + 15 }, 2),
        (Fault::FlipByte { direction, offset: 2 * RECORD + 5 }, 2),
        (Fault::FlipByte { direction, offset: PIECES as u64 * RECORD + 20 }, PIECES),
        (Fault::DropMessage { direction, index: 0 }, 0),
        (Fault::DropMessage { direction, index: 2 }, 2),
        (Fault::DropMessage { direction, index: fin }, PIECES),
        (Fault::RepeatMessage { direction, index: 2 }, 3),
        (Fault::RepeatMessage { direction, index: fin }, PIECES),
        (Fault::SwapMessages { direction, index: 2 }, 2),
        (Fault::SwapMessages { direction, index: fin - 1 }, PIECES - 1),
    ]
}

fn streamed() -> axum::body::Body {
    let whole = http::pattern(10 * PIECES);
    pieces((0..PIECES).map(|i| whole.slice(10 * i..10 * (i + 1))).collect())
}

#[tokio::test]
async fn of_a_changed_request_the_application_sees_a_verified_beginning_and_an_error() {
    for suite in SUITES {
        for alpn in [Alpn::H2, Alpn::Http11] {
            for (fault, passed) in mangled(Request) {
                let rig = Rig::new(suite, alpn).await;
                rig.inject(fault.clone());
                let got = http::call(&rig.channel, http::post("/take", streamed())).await;
                let error = got.failed();
                if alpn == Alpn::H2 {
                    let bytes = 10 * passed;
                    let short = format!("it got {passed} of 10 messages ({bytes} of 100 bytes)");
                    assert!(error.to_string().contains(&short), "{fault:?}: {error}");
                    assert_eq!(error.kind().as_str(), "not-confirmed", "{fault:?}: {error}");
                } else {
                    // Over HTTP/1.1 the callee answers and closes while the hop still sends, so
                    // that the hop may have an answer of its own.
                    let kinds = ["not-confirmed", "unproven", "no-answer"];
                    assert!(kinds.contains(&error.kind().as_str()), "{fault:?}: {error}");
                }
                match rig.app.saw().await {
                    Saw::Failed { bytes, typed: Some(_), .. } => {
                        assert_eq!(bytes, http::pattern(10 * passed), "{fault:?}");
                    }
                    saw => panic!("{fault:?}: {saw:?}"),
                }
                rig.injected(1).await;
                rig.check_books().await;
            }
        }
    }
}

#[tokio::test]
async fn of_a_changed_answer_the_caller_sees_a_verified_beginning_and_an_error() {
    for suite in SUITES {
        for alpn in [Alpn::H2, Alpn::Http11] {
            for (fault, passed) in mangled(Response) {
                let rig = Rig::new(suite, alpn).await;
                rig.inject(fault.clone());
                let got = http::call(&rig.channel, http::get("/pieces/10")).await;
                let (bytes, error) = got.broken();
                assert_eq!(bytes, http::pattern(10 * passed), "{fault:?}: {error}");
                rig.injected(1).await;
                rig.check_books().await;
            }
        }
    }
}

#[tokio::test]
async fn the_callee_learns_that_its_answer_did_not_arrive_whole() {
    let direction = Response;
    for suite in SUITES {
        let rig = Rig::new(suite, Alpn::H2).await;
        rig.inject(Fault::DropMessage { direction, index: PIECES });
        let (bytes, error) = http::call(&rig.channel, http::get("/pieces/10")).await.broken();
        let cut = "got 10 messages (100 bytes), then no more";
        assert!(bytes.len() == 100 && error.to_string().contains(cut), "{error}");
        let found = rig.at_callee.wait("answer-not-received").await;
        let detail = "the answer to request 1 was bad: 10 of 10 messages (100 of 100 bytes)";
        assert_eq!(found.detail, detail);
        rig.check_books().await;
    }
}

#[tokio::test]
async fn a_changed_known_request_never_reaches_the_application() {
    let fault = Fault::FlipByte { direction: Request, offset: 50 };
    for suite in SUITES {
        let rig = Rig::new(suite, Alpn::H2).await;
        rig.inject(fault.clone());
        let got = http::call(&rig.channel, http::post("/take", http::pattern(100))).await;
        assert_eq!(got.failed().kind().as_str(), "not-confirmed");
        let found = rig.at_callee.wait_any(&["digest", "bad-tag"]).await;
        if suite == SEALED {
            // A body in records is announced before it is there; nothing of it is passed on.
            let saw = rig.app.saw().await;
            assert!(matches!(&saw, Saw::Failed { bytes, .. } if bytes.is_empty()), "{saw:?}");
        } else {
            assert_eq!(rig.app.calls(), 0, "{found:?}");
        }
        rig.check_books().await;
    }
}

#[tokio::test]
async fn nothing_of_a_changed_known_answer_is_passed_on() {
    let fault = Fault::FlipByte { direction: Response, offset: 50 };
    for suite in SUITES {
        let rig = Rig::new(suite, Alpn::H2).await;
        rig.inject(fault.clone());
        match http::call(&rig.channel, http::get("/known/100")).await {
            Got::Failed(error) => assert!(matches!(error.kind(), CallErrorKind::Answer(_))),
            Got::Broken(status, bytes, _) => {
                assert_eq!((status, bytes.len()), (StatusCode::OK, 0));
            }
            got => panic!("{got:?}"),
        }
        rig.at_callee.wait("answer-not-received").await;
        rig.check_books().await;
    }
}
