//! The application that both sides serve: HTTP and gRPC on one port. It counts each call.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::BodyExt as _;
use tonic::{Status, Streaming};

use crate::journal::Journal;
use crate::proto::interop_server::{Interop, InteropServer};
use crate::proto::{Answer, Ask, Nothing, Order, Piece, Sum};
use crate::shape::Side;

/// Names a call to the handler that counts it.
pub(crate) const CALL: &str = "x-call";
/// The size of what a streamed download is made of.
const CHUNK: usize = 10_000;

/// Whose calls are counted where.
#[derive(Clone)]
struct Counting {
    side: Side,
    journal: Arc<Journal>,
}

/// The application of one side.
pub(crate) fn router(side: Side, journal: &Arc<Journal>) -> Router {
    let counting = Counting { side, journal: Arc::clone(journal) };
    Router::new()
        .route("/small", get(|| async { "a small answer" }))
        .route("/take", post(take))
        .route("/idempotent", post(take))
        .route("/slow/{millis}", get(slow))
        .route("/known/{bytes}", get(|Path(n): Path<usize>| async move { vec![7_u8; n] }))
        .route("/stream/{bytes}", get(|Path(n): Path<usize>| async move { streamed(n) }))
        .route("/events/{count}", get(events))
        .merge(tonic::service::Routes::new(InteropServer::new(Service)).into_axum_router())
        .layer(axum::middleware::from_fn_with_state(counting, count))
}

async fn count(State(counting): State<Counting>, request: Request, next: Next) -> Response {
    let id = request.headers().get(CALL).and_then(|id| id.to_str().ok()?.parse().ok());
    if let Some(id) = id {
        counting.journal.handled(counting.side, id);
    }
    next.run(request).await
}

/// Answers with the length of what came.
async fn take(request: Request) -> Result<String, StatusCode> {
    let mut body = request.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    Ok(length.to_string())
}

async fn slow(Path(millis): Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    "at last"
}

/// In pieces, the length not stated.
pub(crate) fn streamed(bytes: usize) -> Body {
    let pieces = stream::iter(0..bytes.div_ceil(CHUNK)).then(move |i| async move {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Bytes::from(vec![7; CHUNK.min(bytes - i * CHUNK)]))
    });
    Body::from_stream(pieces)
}

async fn events(Path(count): Path<u32>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::iter(0..count).then(|number| async move {
        tokio::time::sleep(Duration::from_millis(33)).await;
        Ok(Event::default().data(number.to_string()))
    }))
}

/// The gRPC service.
struct Service;

type Pieces = Pin<Box<dyn Stream<Item = Result<Piece, Status>> + Send>>;

#[tonic::async_trait]
impl Interop for Service {
    type ProduceStream = Pieces;
    type PingPongStream = Pieces;

    async fn empty(&self, _: tonic::Request<Nothing>) -> Result<tonic::Response<Nothing>, Status> {
        Ok(tonic::Response::new(Nothing {}))
    }

    async fn unary(&self, ask: tonic::Request<Ask>) -> Result<tonic::Response<Answer>, Status> {
        Ok(tonic::Response::new(Answer { body: vec![7; ask.into_inner().size as usize] }))
    }

    async fn collect(
        &self,
        pieces: tonic::Request<Streaming<Piece>>,
    ) -> Result<tonic::Response<Sum>, Status> {
        let mut pieces = pieces.into_inner();
        let mut sum = Sum::default();
        while let Some(piece) = pieces.message().await? {
            sum.pieces += 1;
            sum.bytes += piece.body.len() as u64;
        }
        Ok(tonic::Response::new(sum))
    }

    async fn produce(
        &self,
        order: tonic::Request<Order>,
    ) -> Result<tonic::Response<Pieces>, Status> {
        Ok(tonic::Response::new(fulfil(order.into_inner())))
    }

    async fn ping_pong(
        &self,
        orders: tonic::Request<Streaming<Order>>,
    ) -> Result<tonic::Response<Pieces>, Status> {
        let pieces = orders.into_inner().flat_map(|order| match order {
            Ok(order) => fulfil(order),
            Err(status) => Box::pin(stream::iter([Err(status)])) as Pieces,
        });
        Ok(tonic::Response::new(Box::pin(pieces) as Pieces))
    }
}

fn fulfil(order: Order) -> Pieces {
    let pieces = order.sizes.into_iter().map(|size| Ok(Piece { body: vec![7; size as usize] }));
    Box::pin(stream::iter(pieces))
}
