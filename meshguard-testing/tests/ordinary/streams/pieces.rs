//! A gRPC service of streams without generated code: pieces of any size, ready at once or one by
//! one.

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::routing::post;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use meshguard_axum::BoxError;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::server::{ClientStreamingService, ServerStreamingService, StreamingService};
use tonic::{Response, Status, Streaming};
use tonic_prost::ProstCodec;

pub const UP: &str = "/ordinary.Pieces/Up";
pub const DOWN: &str = "/ordinary.Pieces/Down";
pub const BOTH: &str = "/ordinary.Pieces/Both";
/// Answers after this many pieces, with this status; see [`Piece::number`].
pub const SOME: &str = "/ordinary.Pieces/Some";
/// One piece now and then, for ever.
pub const TICKS: &str = "/ordinary.Pieces/Ticks";

/// Also what is asked for: so many pieces of that size.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Piece {
    #[prost(uint32, tag = "1")]
    pub number: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
    /// None of them ready at once.
    #[prost(bool, tag = "3")]
    pub paced: bool,
}

pub type Pieces = Pin<Box<dyn Stream<Item = Piece> + Send>>;
type Answers = Pin<Box<dyn Stream<Item = Result<Piece, Status>> + Send>>;
type Calling<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

/// What the service's handlers do and have noticed.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    /// Handlers read nothing before this is true.
    reads: watch::Sender<bool>,
    /// Streams of the service that run.
    running: watch::Sender<usize>,
}

impl Default for Service {
    fn default() -> Self {
        Self(Arc::new(Inner { reads: watch::Sender::new(true), running: watch::Sender::new(0) }))
    }
}

impl Service {
    /// Handlers wait until [`reads`](Self::reads) before they read anything.
    pub fn late() -> Self {
        let new = Self::default();
        new.0.reads.send_replace(false);
        new
    }

    pub fn reads(&self) {
        self.0.reads.send_replace(true);
    }

    /// Waits until so many of its answers' streams run.
    pub async fn running(&self, n: usize) {
        let mut running = self.0.running.subscribe();
        running.wait_for(|running| *running == n).await.unwrap();
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route(UP, post(up))
            .route(DOWN, post(down))
            .route(BOTH, post(both))
            .route(SOME, post(some))
            .route(TICKS, post(ticks))
            .with_state(self.clone())
    }

    async fn may_read(&self) {
        self.0.reads.subscribe().wait_for(|reads| *reads).await.unwrap();
    }

    fn run(&self) -> Running {
        self.0.running.send_modify(|n| *n += 1);
        Running(self.clone())
    }
}

struct Running(Service);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.running.send_modify(|n| *n -= 1);
    }
}

/// `count` pieces with `size` bytes each.
pub fn pieces(count: u32, size: usize, paced: bool) -> Pieces {
    let data = Bytes::from(vec![7; size]);
    let all = futures_util::stream::iter(0..count);
    let all = all.map(move |number| Piece { number, data: data.clone(), paced: false });
    if !paced {
        return Box::pin(all);
    }
    Box::pin(all.then(|piece| async move {
        tokio::task::yield_now().await;
        piece
    }))
}

pub fn codec() -> ProstCodec<Piece, Piece> {
    ProstCodec::default()
}

/// Checks that pieces come in order, and counts them.
pub async fn counted(mut stream: Streaming<Piece>) -> Result<u32, Status> {
    let mut count = 0;
    while let Some(piece) = stream.message().await? {
        assert_eq!(piece.number, count);
        count += 1;
    }
    Ok(count)
}

/// A client of the service over any channel.
pub struct Client<S>(tonic::client::Grpc<S>);

impl<S> Client<S>
where
    S: GrpcService<Body>,
    S::Error: Into<BoxError>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<BoxError>,
{
    pub fn new(service: S) -> Self {
        Self(tonic::client::Grpc::new(service))
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|e| Status::from_error(e.into()))
    }

    /// Sends pieces; the callee answers with their number.
    pub async fn send(
        &mut self,
        path: &'static str,
        pieces: impl Stream<Item = Piece> + Send + 'static,
    ) -> Result<u32, Status> {
        self.ready().await?;
        let (request, path) = (tonic::Request::new(pieces), PathAndQuery::from_static(path));
        let answer = self.0.client_streaming(request, path, codec()).await?;
        Ok(answer.into_inner().number)
    }

    /// Asks for a stream of pieces.
    pub async fn ask(
        &mut self,
        path: &'static str,
        request: tonic::Request<Piece>,
    ) -> Result<Streaming<Piece>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static(path);
        Ok(self.0.server_streaming(request, path, codec()).await?.into_inner())
    }

    /// Sends pieces, and gets a stream of them.
    pub async fn talk(
        &mut self,
        path: &'static str,
        request: tonic::Request<Pieces>,
    ) -> Result<Streaming<Piece>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static(path);
        Ok(self.0.streaming(request, path, codec()).await?.into_inner())
    }
}

type Answer = axum::response::Response<Body>;

async fn up(State(service): State<Service>, request: Request) -> Answer {
    tonic::server::Grpc::new(codec()).client_streaming(Up(service), request).await
}

async fn down(request: Request) -> Answer {
    tonic::server::Grpc::new(codec()).server_streaming(Down, request).await
}

async fn both(State(service): State<Service>, request: Request) -> Answer {
    tonic::server::Grpc::new(codec()).streaming(Both(service), request).await
}

async fn some(request: Request) -> Answer {
    tonic::server::Grpc::new(codec()).client_streaming(Some_, request).await
}

async fn ticks(State(service): State<Service>, request: Request) -> Answer {
    tonic::server::Grpc::new(codec()).streaming(Ticks(service), request).await
}

struct Up(Service);

impl ClientStreamingService<Piece> for Up {
    type Response = Piece;
    type Future = Calling<Piece>;

    fn call(&mut self, request: tonic::Request<Streaming<Piece>>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            service.may_read().await;
            let number = counted(request.into_inner()).await?;
            Ok(Response::new(Piece { number, ..Piece::default() }))
        })
    }
}

struct Down;

impl ServerStreamingService<Piece> for Down {
    type Response = Piece;
    type ResponseStream = Answers;
    type Future = Calling<Answers>;

    fn call(&mut self, request: tonic::Request<Piece>) -> Self::Future {
        let Piece { number, data, paced } = request.into_inner();
        let answers: Answers = Box::pin(pieces(number, data.len(), paced).map(Ok));
        Box::pin(async move { Ok(Response::new(answers)) })
    }
}

struct Both(Service);

impl StreamingService<Piece> for Both {
    type Response = Piece;
    type ResponseStream = Answers;
    type Future = Calling<Answers>;

    fn call(&mut self, request: tonic::Request<Streaming<Piece>>) -> Self::Future {
        let service = self.0.clone();
        let answers: Answers = Box::pin(request.into_inner());
        Box::pin(async move {
            service.may_read().await;
            Ok(Response::new(answers))
        })
    }
}

/// Reads two pieces. The second one's number is the status that it answers with.
struct Some_;

impl ClientStreamingService<Piece> for Some_ {
    type Response = Piece;
    type Future = Calling<Piece>;

    fn call(&mut self, request: tonic::Request<Streaming<Piece>>) -> Self::Future {
        Box::pin(async move {
            let mut stream = request.into_inner();
            stream.message().await?;
            let code = stream.message().await?.unwrap().number;
            match i32::try_from(code).unwrap() {
                0 => Ok(Response::new(Piece { number: 2, ..Piece::default() })),
                code => Err(Status::new(code.into(), "enough")),
            }
        })
    }
}

struct Ticks(Service);

impl StreamingService<Piece> for Ticks {
    type Response = Piece;
    type ResponseStream = Answers;
    type Future = Calling<Answers>;

    fn call(&mut self, _: tonic::Request<Streaming<Piece>>) -> Self::Future {
        let running = self.0.run();
        let ticks = tokio::time::interval(std::time::Duration::from_millis(10));
        let answers = futures_util::stream::unfold((ticks, running, 0), |state| async move {
            let (mut ticks, running, number) = state;
            ticks.tick().await;
            Some((Ok(Piece { number, ..Piece::default() }), (ticks, running, number + 1)))
        });
        let answers: Answers = Box::pin(answers);
        Box::pin(async move { Ok(Response::new(answers)) })
    }
}
