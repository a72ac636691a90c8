//! A cut says who cut.

use axum::Router;
use axum::body::Body;
use axum::response::AppendHeaders;
use axum::routing::get;
use bytes::Bytes;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallErrorKind, DeliveryErrorKind, Failure, Outcome};
use meshguard_testing::{Cut, Fault};

use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, Rig, SUITES, http, soon};

/// A body that breaks off after its first piece.
fn breaking() -> Body {
    let pieces = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("the disk is full"))];
    let stream = futures_util::stream::iter(pieces);
    Body::from_stream(futures_util::StreamExt::then(stream, |piece| async move {
        tokio::task::yield_now().await;
        piece
    }))
}

#[tokio::test]
async fn a_request_whose_own_body_breaks_off_says_so() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        for suite in SUITES {
            let rig = Rig::new(suite, alpn).await;
            let got = http::call(&rig.channel, http::post("/take", breaking())).await;
            match got {
                http::Got::Failed(error) => {
                    let kind = DeliveryErrorKind::OwnBody;
                    let own = matches!(error.kind(), CallErrorKind::Body(e) if e.kind() == kind);
                    assert!(own, "{error}");
                    assert!(error.to_string().contains("the disk is full"), "{error}");
                    assert_eq!(error.outcome(), Outcome::Failed(Failure::Aborted));
                }
                // The callee was quicker to say that it did not get all.
                http::Got::Answer(status, _) => assert!(status.is_client_error(), "{status}"),
                http::Got::Broken(_, _, error) => {
                    assert_eq!(error.kind(), DeliveryErrorKind::OwnBody, "{error}");
                }
            }
            rig.check_books().await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_says_by_whom() {
    let rig = Rig::new(SUITES[0], Alpn::H2).await;
    rig.inject(Fault::CutResponse { after: 200, how: Cut::ResetCancel });
    let (_, error) = soon(http::call(&rig.channel, http::get("/stream/1000"))).await.broken();
    assert!(error.to_string().contains("the far end reset the stream with CANCEL"), "{error}");
    assert!(!error.to_string().contains("changed"), "{error}");
}

#[tokio::test]
async fn an_answer_whose_connection_is_lost_says_so_over_http1() {
    let rig = Rig::new(SUITES[0], Alpn::Http11).await;
    rig.inject(Fault::CutResponse { after: 200, how: Cut::CloseConnection });
    let (_, error) = soon(http::call(&rig.channel, http::get("/stream/1000"))).await.broken();
    assert!(error.to_string().contains("the connection was lost"), "{error}");
    assert!(!error.to_string().contains("changed"), "{error}");
}

/// Of a head that is too long, the connection says only that the protocol was broken.
#[tokio::test]
async fn an_answer_whose_head_is_too_long_says_how_long_one_may_be() {
    let long = || async {
        let fields = (0..40).map(|n| (format!("x-{n}"), "x".repeat(1000)));
        AppendHeaders(fields.collect::<Vec<_>>())
    };
    let policy = rig::policy("");
    let callee = rig::mesh(CALLEE, &policy, &Told::default());
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    let app = Router::new().route("/long", get(long));
    tokio::spawn(async move { meshguard_axum::serve(listener, app).await });
    let caller = rig::mesh(CALLER, &policy, &Told::default());
    let channel = caller.channel(&uri, CALLEE).unwrap().protocols(Alpn::H2);
    let error = soon(http::call(&channel, http::get("/long"))).await.failed();
    assert!(error.to_string().contains("its head is above 32 KiB"), "{error}");
}
