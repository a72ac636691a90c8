//! What hints, and what it may bring about.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use meshguard_axum::core::delivery::Outcome;
use meshguard_axum::tls::Alpn;
use meshguard_testing::{Fault, Forged, Injection, Match};

use super::shapes::Shape;
use crate::rig::{Rig, http};

/// An answer that asks for another session, in whatever form.
fn hint(status: StatusCode, grpc: bool) -> Fault {
    let name = HeaderName::from_static("meshguard-session");
    let mut hint = Forged::status(status).header(name, HeaderValue::from_static("renew"));
    if grpc {
        let value = HeaderValue::from_static;
        hint = hint
            .header(header::CONTENT_TYPE, value("application/grpc"))
            .header(HeaderName::from_static("grpc-status"), value("16"));
    }
    Fault::AnswerItself(hint)
}

#[tokio::test]
async fn a_hint_is_known_by_its_header_alone() {
    let forms =
        [(StatusCode::UNAUTHORIZED, false), (StatusCode::OK, true), (StatusCode::OK, false)];
    for (status, grpc) in forms.into_iter().chain([(StatusCode::BAD_GATEWAY, false)]) {
        for alpn in [Alpn::H2, Alpn::Http11] {
            let rig = Rig::new("", alpn).await;
            http::call(&rig.channel, http::get("/known/10")).await.answer();
            rig.inject(hint(status, grpc));
            // Safe, and so sent again in another session.
            let (got, _) = http::call(&rig.channel, http::get("/known/10")).await.answer();
            assert_eq!((got, rig.app.calls()), (StatusCode::OK, 2), "{status} over {alpn:?}");
            assert_eq!(rig.callee.sessions_open(), 2);
            rig.check_books().await;
        }
    }
}

#[tokio::test]
async fn hints_in_a_row_make_calls_wait_and_none_fail() {
    const HINTS: usize = 3;
    let rig = Rig::new("", Alpn::H2).await;
    let began = std::time::Instant::now();
    for n in 1..=HINTS {
        rig.inject(hint(StatusCode::UNAUTHORIZED, false));
        let got = Shape::Get.call(&rig.channel).await;
        assert!(got.is_ok(), "{got:?}");
        rig.injected(n).await;
    }
    // One to begin with, and at most one in each second.
    let most = 2 + began.elapsed().as_secs() as usize;
    assert!(rig.callee.sessions_open() <= most, "{}", rig.callee.sessions_open());
    assert!(rig.callee.sessions_open() > HINTS);
    rig.check_books().await;
}

#[tokio::test]
async fn a_hint_without_end_ends_the_call_and_not_the_channel() {
    let rig = Rig::new("", Alpn::H2).await;
    http::call(&rig.channel, http::get("/known/10")).await.answer();
    for _ in 0..2 {
        let (fault, on) = (hint(StatusCode::UNAUTHORIZED, false), Match::path("/known/10"));
        rig.hop.inject(Injection { fault, on });
    }
    let failed = Shape::Get.call(&rig.channel).await;
    let outcome = failed.as_ref().err().and_then(super::shapes::Failed::outcome);
    assert!(matches!(outcome, None | Some(Outcome::Indeterminate(_))), "{failed:?}");
    Shape::Get.call(&rig.channel).await.unwrap();
    rig.check_books().await;
}
