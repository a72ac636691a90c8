//! Streams of many small messages.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use meshguard_axum::BoxError;
use tonic::Status;

use super::pieces::{self, BOTH, Client, DOWN, Piece, Service, UP, pieces as of};
use super::ways::{Ours, Way, ours_h2, read};
use crate::rig::http::{get as ask, post as put};
use crate::rig::{soon, stock};

const MANY: u32 = 10_000;

/// Fails the test instead of hanging it; so many messages take their time without optimisation.
async fn in_time<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(std::time::Duration::from_secs(120), what).await.expect("in time")
}

/// Every kind of stream of `count` pieces with `size` bytes.
async fn streams<S>(service: S, count: u32, size: usize, paced: bool) -> Result<(), Status>
where
    S: tonic::client::GrpcService<tonic::body::Body>,
    S::Error: Into<BoxError>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<BoxError>,
{
    let mut client = Client::new(service);
    assert_eq!(client.send(UP, of(count, size, paced)).await?, count);
    let wanted = Piece { number: count, data: vec![7; size].into(), paced };
    let stream = client.ask(DOWN, tonic::Request::new(wanted)).await?;
    assert_eq!(pieces::counted(stream).await?, count);
    let talking = client.talk(BOTH, tonic::Request::new(of(count, size, paced))).await?;
    assert_eq!(pieces::counted(talking).await?, count);
    Ok(())
}

async fn every_stream(count: u32, size: usize, paced: bool) {
    let service = Service::default();
    let addr = stock::serve(service.router()).await;
    let stock = in_time(streams(stock::channel(addr), count, size, paced)).await;
    // Each message that comes alone is a frame there, and thousands that wait end the connection.
    assert!(stock.is_ok() || paced, "on the stock stack: {stock:?}");
    for ours in ours_h2(|| service.router()).await {
        let channel = ours.channel.clone();
        in_time(streams(channel, count, size, paced)).await.expect(&ours.name);
        let counts = ours.caller.counts();
        assert_eq!((counts.begun, counts.delivered), (3, 3), "{}: {counts:?}", ours.name);
        ours.is_at_peace().await;
    }
}

#[tokio::test]
async fn ten_thousand_small_messages_pass_in_every_kind_of_stream() {
    every_stream(MANY, 20, false).await;
}

#[tokio::test]
async fn ten_thousand_messages_that_trickle_in_pass_in_every_kind_of_stream() {
    every_stream(MANY, 20, true).await;
}

#[tokio::test]
async fn a_hundred_thousand_messages_pass_in_every_kind_of_stream() {
    every_stream(100_000, 100, false).await;
}

#[tokio::test]
async fn messages_that_are_ready_may_wait_for_a_reader_that_is_late() {
    let service = Service::late();
    let addr = stock::serve(service.router()).await;
    late(stock::channel(addr), &service).await.expect("on the stock stack");
    for delivery in [crate::rig::MAC, crate::rig::SEALED] {
        let service = Service::late();
        let ours = Ours::new(service.router(), delivery, meshguard_axum::tls::Alpn::H2).await;
        late(ours.channel.clone(), &service).await.expect(&ours.name);
        ours.is_at_peace().await;
    }
}

async fn late<S>(channel: S, service: &Service) -> Result<(), Status>
where
    S: tonic::client::GrpcService<tonic::body::Body>,
    S::Error: Into<BoxError>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<BoxError>,
{
    let (all_out, mut out) = tokio::sync::watch::channel(false);
    let end = futures_util::stream::once(async move { all_out.send_replace(true) });
    let sent = of(MANY, 20, false).map(Some).chain(end.map(|_| None)).filter_map(|p| async { p });
    let mut client = Client::new(channel);
    let reading = async {
        out.wait_for(|out| *out).await.unwrap();
        // What was handed to the connection has to get across it first.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        service.reads();
    };
    let (count, ()) = soon(async { tokio::join!(client.send(UP, Box::pin(sent)), reading) }).await;
    assert_eq!(count?, MANY);
    Ok(())
}

fn app() -> Router {
    Router::new()
        .route("/take", post(take))
        .route("/ready", get(|| async { chunks(false) }))
        .route("/paced", get(|| async { chunks(true) }))
}

async fn take(request: Request) -> String {
    let mut frames = request.into_body().into_data_stream();
    let mut bytes = 0;
    while let Some(chunk) = frames.next().await {
        bytes += chunk.unwrap().len();
    }
    bytes.to_string()
}

/// [`MANY`] chunks of 20 bytes.
fn chunks(paced: bool) -> Body {
    let all = futures_util::stream::iter(0..MANY).then(move |_| async move {
        if paced {
            tokio::task::yield_now().await;
        }
        Ok::<_, BoxError>(Bytes::from_static(b"01234567890123456789"))
    });
    Body::from_stream(all)
}

#[tokio::test]
async fn http_bodies_of_small_chunks_pass_both_ways() {
    for mut way in Way::all(app).await {
        for paced in [false, true] {
            let path = if paced { "/paced" } else { "/ready" };
            let up = soon(way.send(put("/take", chunks(paced)))).await;
            let up = match up {
                Ok(answer) => read(answer.into_body()).await,
                Err(error) => Err(error),
            };
            let down = match soon(way.send(ask(path))).await {
                Ok(answer) => read(answer.into_body()).await.map(|body| body.len()),
                Err(error) => Err(error),
            };
            println!("{} paced={paced}: up {up:?}, down {down:?}", way.name());
            if let Some(ours) = way.ours() {
                assert_eq!(up.expect(&ours.name), "200000");
                assert_eq!(down.expect(&ours.name), 200_000);
            }
        }
        if let Some(ours) = way.ours() {
            ours.is_at_peace().await;
        }
    }
}

#[tokio::test]
async fn each_chunk_that_comes_alone_arrives_alone() {
    let (next, app) = one_by_one();
    for mut way in Way::all(move || app.clone()).await {
        let answer = soon(way.send(ask("/"))).await.unwrap();
        let mut body = answer.into_body();
        for n in 0..20_u8 {
            next.send(n).await.unwrap();
            let frame = soon(body.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), vec![n], "{}", way.name());
        }
        next.send(u8::MAX).await.unwrap();
        let end = loop {
            match soon(body.frame()).await {
                Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
                end => break end,
            }
        };
        assert!(end.is_none(), "{}: {end:?}", way.name());
    }
}

/// An application that answers with a chunk for each number that it is given, until the largest.
fn one_by_one() -> (tokio::sync::mpsc::Sender<u8>, Router) {
    let (next, given) = tokio::sync::mpsc::channel::<u8>(1);
    let given = std::sync::Arc::new(tokio::sync::Mutex::new(given));
    let answer = move || {
        let given = given.clone();
        async move {
            Body::from_stream(futures_util::stream::unfold(given, |given| async move {
                let n = given.lock().await.recv().await.filter(|n| *n != u8::MAX)?;
                Some((Ok::<_, BoxError>(Bytes::from(vec![n])), given))
            }))
        }
    };
    (next, Router::new().route("/", get(answer)))
}
