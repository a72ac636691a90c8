//! `grpc-timeout` bounds the whole call, at both ends.

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use tonic::Code;

use super::pieces::{Client, Piece, Pieces, Service, TICKS};
use super::ways::{Way, ours_h2};
use crate::rig::http::post;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, soon, stock};

const LIMIT: Duration = Duration::from_millis(400);

/// Its only message is sent; its end never comes.
fn open() -> Pieces {
    use futures_util::StreamExt as _;
    let one = futures_util::stream::iter([Piece::default()]);
    Box::pin(one.chain(futures_util::stream::pending()))
}

#[tokio::test]
async fn a_stream_that_goes_on_beyond_its_deadline_is_ended_for_both() {
    let service = Service::default();
    for ours in ours_h2(|| service.router()).await {
        let mut request = tonic::Request::new(open());
        request.set_timeout(LIMIT);
        let since = Instant::now();
        let mut client = Client::new(ours.channel.clone());
        let mut stream = soon(client.talk(TICKS, request)).await.unwrap();
        let status = loop {
            match soon(stream.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{}: the stream has ended well", ours.name),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::DeadlineExceeded, "{}: {status}", ours.name);
        assert!(since.elapsed() >= LIMIT, "{}: {:?}", ours.name, since.elapsed());
        soon(service.running(0)).await;
        ours.is_at_peace().await;
    }
}

/// The callee ends its stream by itself: this caller has no clock.
#[tokio::test]
async fn a_callee_ends_its_stream_at_the_deadline() {
    let service = Service::default();
    for mut way in Way::all_h2(|| service.router()).await.into_iter().skip(1) {
        let mut request = post(TICKS, &b"\0\0\0\0\0"[..]);
        let headers = request.headers_mut();
        headers.insert("content-type", "application/grpc".parse().unwrap());
        // The caller's own clock starts with the call: the callee's is what ends it first where
        // the caller does not read.
        headers.insert("grpc-timeout", "400m".parse().unwrap());
        let mut answer = soon(way.send(request)).await.unwrap();
        soon(service.running(1)).await;
        soon(service.running(0)).await;
        let mut status = None;
        while let Some(frame) = soon(answer.body_mut().frame()).await {
            if let Ok(trailers) = frame.unwrap().into_trailers() {
                status = trailers.get("grpc-status").cloned();
            }
        }
        assert_eq!(status.unwrap(), "4", "{}", way.name());
    }
}

/// The stock stack's router knows no deadlines: it is this side that ends the stream.
#[tokio::test]
async fn a_caller_ends_its_stream_at_the_deadline_whatever_its_callee_does() {
    let service = Service::default();
    let addr = stock::serve(service.router()).await;
    let off = rig::policy("[[delivery]]\nmode = \"off\"\n");
    let caller = rig::mesh(CALLER, &off, &Told::default());
    let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
    let mut request = tonic::Request::new(open());
    request.set_timeout(LIMIT);
    let since = Instant::now();
    let mut stream = soon(Client::new(channel).talk(TICKS, request)).await.unwrap();
    let ended = async {
        loop {
            if let Err(status) = stream.message().await {
                return status;
            }
        }
    };
    assert_eq!(soon(ended).await.code(), Code::DeadlineExceeded);
    assert!(since.elapsed() >= LIMIT, "{:?}", since.elapsed());
    soon(service.running(0)).await;
}

#[tokio::test]
async fn without_a_timeout_there_is_no_deadline() {
    let service = Service::default();
    for ours in ours_h2(|| service.router()).await {
        let mut client = Client::new(ours.channel.clone());
        let mut stream = soon(client.talk(TICKS, tonic::Request::new(open()))).await.unwrap();
        let since = Instant::now();
        while since.elapsed() < 2 * LIMIT {
            assert!(soon(stream.message()).await.unwrap().is_some(), "{}", ours.name);
        }
    }
}
