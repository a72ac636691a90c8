//! A caller that wants no more: its callee notices as soon as on the stock stack.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use meshguard_axum::BoxError;
use tokio::sync::watch;

use super::pieces::{Client, Piece, Pieces, Service, TICKS};
use super::ways::{Way, ours_h2};
use crate::rig::http::get as ask;
use crate::rig::{soon, stock};

/// The stock stack takes a millisecond or two; what is ours took two seconds.
const PROMPT: Duration = Duration::from_millis(700);

/// Counts the answers' bodies that run.
#[derive(Clone)]
struct App(watch::Sender<usize>);

struct Running(App);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.send_modify(|n| *n -= 1);
    }
}

impl App {
    fn router(&self) -> Router {
        let (ticks, hangs) = (self.clone(), self.clone());
        Router::new().route("/ticks", get(move || async move { ticks.ticks() })).route(
            "/hang",
            get(move || async move {
                let _running = hangs.run();
                std::future::pending::<()>().await;
            }),
        )
    }

    fn run(&self) -> Running {
        self.0.send_modify(|n| *n += 1);
        Running(self.clone())
    }

    /// A chunk every 10 ms, for ever.
    fn ticks(&self) -> Body {
        let ticks = tokio::time::interval(Duration::from_millis(10));
        let state = (ticks, self.run());
        Body::from_stream(futures_util::stream::unfold(state, |(mut ticks, running)| async move {
            ticks.tick().await;
            Some((Ok::<_, BoxError>(Bytes::from_static(b"tick")), (ticks, running)))
        }))
    }

    async fn running(&self, n: usize) {
        soon(self.0.subscribe().wait_for(|running| *running == n)).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_its_caller_drops_ends_at_the_callee_at_once() {
    let app = App(watch::Sender::new(0));
    for mut way in Way::all(|| app.router()).await {
        let answer = soon(way.send(ask("/ticks"))).await.unwrap();
        let mut body = answer.into_body();
        soon(body.frame()).await.unwrap().unwrap();
        app.running(1).await;
        let since = Instant::now();
        drop(body);
        app.running(0).await;
        assert!(since.elapsed() < PROMPT, "{}: {:?}", way.name(), since.elapsed());
        if let Some(ours) = way.ours() {
            ours.is_at_peace().await;
        }
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_at_the_callee_at_once() {
    let app = App(watch::Sender::new(0));
    for mut way in Way::all(|| app.router()).await {
        let name = way.name().to_owned();
        let call = tokio::spawn(async move {
            let _ = way.send(ask("/hang")).await;
            way
        });
        app.running(1).await;
        let since = Instant::now();
        call.abort();
        app.running(0).await;
        assert!(since.elapsed() < PROMPT, "{name}: {:?}", since.elapsed());
    }
}

#[tokio::test]
async fn a_grpc_stream_that_its_caller_drops_ends_at_the_callee_at_once() {
    let service = Service::default();
    let addr = stock::serve(service.router()).await;
    // Its request ends before its answer begins, or later.
    for late in [false, true] {
        let took = ticks(stock::channel(addr), &service, late).await;
        assert!(took < PROMPT, "stock, {late}: {took:?}");
        for ours in ours_h2(|| service.router()).await {
            let took = ticks(ours.channel.clone(), &service, late).await;
            assert!(took < PROMPT, "{}, {late}: {took:?}", ours.name);
            ours.is_at_peace().await;
        }
    }
}

/// Reads two ticks and drops the stream; how long the callee's goes on.
async fn ticks<S>(channel: S, service: &Service, late: bool) -> Duration
where
    S: tonic::client::GrpcService<tonic::body::Body>,
    S::Error: Into<BoxError>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<BoxError>,
{
    let mut client = Client::new(channel);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let end = Some(end).filter(|_| late);
    let none = futures_util::stream::once(ended).filter_map(async |_| None);
    let one = futures_util::stream::iter([Piece::default()]);
    let asks: Pieces = Box::pin(one.chain(Box::pin(none)));
    let mut stream = soon(client.talk(TICKS, tonic::Request::new(asks))).await.unwrap();
    soon(stream.message()).await.unwrap().unwrap();
    soon(stream.message()).await.unwrap().unwrap();
    soon(service.running(1)).await;
    drop(end);
    let since = Instant::now();
    drop(stream);
    soon(service.running(0)).await;
    since.elapsed()
}
