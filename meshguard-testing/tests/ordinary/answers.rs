//! Answers that come before their request has ended, and answers without a body.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tonic::Code;

use crate::rig::http::{pattern, request};
use crate::rig::{soon, stock};
use crate::streams::pieces::{Client, Piece, Pieces, SOME, Service};
use crate::streams::ways::{Way, ours, ours_h2, read};

/// What docs/protocol.md promises, and what a busy machine adds.
const AT_ONCE: Duration = Duration::from_millis(700);

/// Answers with the status in its path, and reads nothing.
fn app() -> Router {
    let early = |Path(status): Path<u16>, request: Request| async move {
        drop(request);
        let status = StatusCode::from_u16(status).unwrap();
        let bodyless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        if bodyless { status.into_response() } else { (status, "early").into_response() }
    };
    let reads = |Path(status): Path<u16>, request: Request| async move {
        let mut frames = request.into_body().into_data_stream();
        frames.next().await.unwrap().unwrap();
        Response::builder().status(status).body(Body::from("early")).unwrap()
    };
    Router::new().route("/early/{status}", any(early)).route("/reads/{status}", any(reads))
}

/// Some bytes, and an end that does not come.
fn open(bytes: usize) -> Body {
    let some = futures_util::stream::iter([Ok::<Bytes, std::io::Error>(pattern(bytes))]);
    Body::from_stream(some.chain(futures_util::stream::pending()))
}

async fn heard_early(way: &mut Way, method: Method, path: &str, body: Body) -> StatusCode {
    let since = Instant::now();
    let answer = soon(way.send(request(method.clone(), path, body))).await;
    let answer = answer.unwrap_or_else(|e| panic!("{} {method} {path}: {e}", way.name()));
    let status = answer.status();
    let body = read(answer.into_body()).await;
    let body = body.unwrap_or_else(|e| panic!("{} {method} {path}: {e}", way.name()));
    assert!(body == "early" || body.is_empty(), "{} {path}: {body:?}", way.name());
    assert!(since.elapsed() < AT_ONCE, "{} {method} {path}: {:?}", way.name(), since.elapsed());
    status
}

const STATUSES: [u16; 6] = [200, 201, 204, 304, 404, 500];

/// How the callee's answer stands in the caller's books.
async fn is_booked(way: &Way, status: u16, before: (u64, u64)) {
    let Some(ours) = way.ours() else { return };
    ours.is_at_peace().await;
    let counts = ours.caller.counts();
    let (early, rejected) = before;
    let wanted = match status {
        200..300 => (early + 1, rejected),
        _ => (early, rejected + 1),
    };
    let got = (counts.answered_early, counts.rejected);
    assert_eq!(got, wanted, "{} {status}: {counts:?}", ours.name);
}

fn booked(way: &Way) -> (u64, u64) {
    let counts = way.ours().map(|ours| ours.caller.counts()).unwrap_or_default();
    (counts.answered_early, counts.rejected)
}

#[tokio::test]
async fn an_upload_that_pauses_is_answered_at_once() {
    for way in Way::all(app).await {
        for status in STATUSES {
            for reads in ["early", "reads"] {
                if reads == "reads" && matches!(status, 204 | 304) {
                    continue; // its body would be too much
                }
                let mut sender = way.another().await;
                let (before, path) = (booked(&way), format!("/{reads}/{status}"));
                let got = heard_early(&mut sender, Method::POST, &path, open(1000)).await;
                assert_eq!(got.as_u16(), status, "{}", way.name());
                is_booked(&way, status, before).await;
            }
        }
        let mut sender = way.another().await;
        let before = booked(&way);
        let got = heard_early(&mut sender, Method::HEAD, "/early/200", open(1000)).await;
        assert_eq!(got, 200, "{}", way.name());
        is_booked(&way, 200, before).await;
    }
}

#[tokio::test]
async fn an_upload_that_nobody_reads_is_answered_whatever_the_status() {
    for way in Way::all(app).await {
        for status in STATUSES {
            let mut sender = way.another().await;
            let (before, path) = (booked(&way), format!("/early/{status}"));
            let body = Body::from(pattern(200_000));
            let got = heard_early(&mut sender, Method::POST, &path, body).await;
            assert_eq!(got.as_u16(), status, "{}", way.name());
            is_booked(&way, status, before).await;
        }
    }
}

/// gRPC has a field of its own for how a call ended, whatever status goes with it.
#[tokio::test]
async fn an_early_answer_that_carries_a_grpc_status_was_answered() {
    let status = |request: Request| async move {
        drop(request);
        (StatusCode::SERVICE_UNAVAILABLE, [("grpc-status", "14")])
    };
    for ours in ours(|| Router::new().route("/", any(status))).await {
        let mut way = Way::Ours(Box::new(ours));
        let got = heard_early(&mut way, Method::POST, "/", open(1000)).await;
        assert_eq!(got, StatusCode::SERVICE_UNAVAILABLE, "{}", way.name());
        is_booked(&way, 200, (0, 0)).await;
    }
}

/// The stock stack over HTTP/1.1 closes the connection under what is still to come, and its caller
/// hears the answer where it is quick.
#[tokio::test]
async fn a_large_upload_that_nobody_reads_is_answered() {
    let stream = || {
        let piece = pattern(64 * 1024);
        let pieces = (0..80).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    for way in Way::all(app).await {
        if way.name() == "stock over HTTP/1.1" {
            continue;
        }
        for status in STATUSES {
            for body in [stream(), Body::from(pattern(5 << 20))] {
                let mut sender = way.another().await;
                let request = request(Method::POST, &format!("/early/{status}"), body);
                let answer = soon(sender.send(request)).await;
                let answer = answer.unwrap_or_else(|e| panic!("{} {status}: {e}", way.name()));
                assert_eq!(answer.status().as_u16(), status, "{}", way.name());
            }
        }
    }
}

#[tokio::test]
async fn a_small_body_that_nobody_reads_costs_its_caller_nothing() {
    for ours in ours(app).await {
        let mut way = Way::Ours(Box::new(ours));
        for status in STATUSES {
            let path = format!("/early/{status}");
            heard_early(&mut way, Method::POST, &path, Body::from("small")).await;
        }
        let ours = way.ours().unwrap();
        ours.is_at_peace().await;
        let counts = ours.caller.counts();
        assert_eq!(counts.failed + counts.indeterminate, 0, "{}: {counts:?}", ours.name);
    }
}

#[tokio::test]
async fn a_grpc_status_that_comes_before_the_request_has_ended_is_heard_at_once() {
    let service = Service::default();
    let addr = stock::serve(service.router()).await;
    for code in [0, 5, 13] {
        let (got, took) = some(stock::channel(addr), code).await;
        assert_eq!(got, Code::from(code), "stock");
        assert!(took < AT_ONCE, "stock {code}: {took:?}");
    }
    for ours in ours_h2(|| service.router()).await {
        for (n, code) in (1..).zip([0, 5, 13]) {
            let (got, took) = some(ours.channel.clone(), code).await;
            assert_eq!(got, Code::from(code), "{}", ours.name);
            assert!(took < AT_ONCE, "{} {code}: {took:?}", ours.name);
            ours.is_at_peace().await;
            let counts = ours.caller.counts();
            assert_eq!((counts.begun, counts.answered_early), (n, n), "{counts:?}");
        }
        let edges = ours.callee.edges();
        assert!(edges.iter().all(|edge| edge.trust >= 0.5), "{edges:?}");
    }
}

/// Sends two messages, and then nothing: how it was answered, and after what time.
async fn some<S>(channel: S, code: i32) -> (Code, Duration)
where
    S: tonic::client::GrpcService<tonic::body::Body>,
    S::Error: Into<meshguard_axum::BoxError>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<meshguard_axum::BoxError>,
{
    let code = u32::try_from(code).unwrap();
    let two = [Piece::default(), Piece { number: code, ..Piece::default() }];
    let two = futures_util::stream::iter(two).chain(futures_util::stream::pending());
    let two: Pieces = Box::pin(two);
    let mut client = Client::new(channel);
    let since = Instant::now();
    let answer = soon(client.send(SOME, two)).await;
    let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
    (code, since.elapsed())
}
