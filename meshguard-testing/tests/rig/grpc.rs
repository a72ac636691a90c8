//! gRPC without generated code: messages with a number, streams either way.

use std::pin::Pin;

use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use meshguard_axum::Delivery;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::server::{ClientStreamingService, ServerStreamingService, StreamingService};
use tonic::{Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::app::{App, Reading, Saw};
use super::soon;

pub const CLIENT: &str = "/faults.Items/Client";
pub const SERVER: &str = "/faults.Items/Server";
pub const BIDI: &str = "/faults.Items/Bidi";

/// Two bytes on the wire, seven with gRPC's prefix.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Item {
    #[prost(uint32, tag = "1")]
    pub number: u32,
}

type Items = Pin<Box<dyn Stream<Item = Result<Item, Status>> + Send>>;
type Calling<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

fn codec() -> ProstCodec<Item, Item> {
    ProstCodec::default()
}

/// Items 1 to `n`, all ready at once.
pub fn ready(n: u32) -> impl Stream<Item = Item> + Send + 'static {
    futures_util::stream::iter((1..=n).map(|number| Item { number }))
}

/// Items 1 to `n`, none of them ready at once.
pub fn paced(n: u32) -> impl Stream<Item = Item> + Send + 'static {
    ready(n).then(|item| async move {
        tokio::task::yield_now().await;
        item
    })
}

/// Items 1 and 2, and those up to `n` once the application has been called.
pub fn gated(n: u32, app: &App) -> impl Stream<Item = Item> + Send + 'static {
    let app = app.clone();
    let gate = futures_util::stream::once(async move { app.called().await });
    let rest = gate.flat_map(move |()| ready(n).skip(2));
    Box::pin(paced(2).chain(rest))
}

/// A client's stream of items; the callee answers with their count.
pub async fn client<S>(
    service: S,
    items: impl Stream<Item = Item> + Send + 'static,
) -> Result<u32, Status>
where
    S: GrpcService<Body>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<tonic::codegen::StdError>,
{
    let mut grpc = tonic::client::Grpc::new(service);
    let call = async {
        grpc.ready().await.map_err(|e| Status::from_error(e.into()))?;
        let path = PathAndQuery::from_static(CLIENT);
        grpc.client_streaming(tonic::Request::new(items), path, codec()).await
    };
    soon(call).await.map(|answer| answer.into_inner().number)
}

/// The numbers that came, and how they ended.
pub type Numbers = (Vec<u32>, Result<(), Status>);

/// Asks for a stream of `n` items.
pub async fn server(channel: meshguard_axum::Channel, n: u32) -> Numbers {
    let mut grpc = tonic::client::Grpc::new(channel);
    let call = async {
        grpc.ready().await.map_err(|e| Status::from_error(e.into()))?;
        let path = PathAndQuery::from_static(SERVER);
        grpc.server_streaming(tonic::Request::new(Item { number: n }), path, codec()).await
    };
    numbers(soon(call).await).await
}

/// Sends items and gets each back.
pub async fn bidi(
    channel: meshguard_axum::Channel,
    items: impl Stream<Item = Item> + Send + 'static,
) -> Numbers {
    let mut grpc = tonic::client::Grpc::new(channel);
    let call = async {
        grpc.ready().await.map_err(|e| Status::from_error(e.into()))?;
        let path = PathAndQuery::from_static(BIDI);
        grpc.streaming(tonic::Request::new(items), path, codec()).await
    };
    numbers(soon(call).await).await
}

async fn numbers(answer: Result<Response<Streaming<Item>>, Status>) -> Numbers {
    let mut stream = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => return (Vec::new(), Err(status)),
    };
    let mut numbers = Vec::new();
    loop {
        match soon(stream.message()).await {
            Ok(Some(item)) => numbers.push(item.number),
            Ok(None) => return (numbers, Ok(())),
            Err(status) => return (numbers, Err(status)),
        }
    }
}

pub async fn serve_client(
    State(app): State<App>,
    request: Request,
) -> axum::response::Response<Body> {
    tonic::server::Grpc::new(codec()).client_streaming(Count(app), request).await
}

pub async fn serve_server(request: Request) -> axum::response::Response<Body> {
    tonic::server::Grpc::new(codec()).server_streaming(Give, request).await
}

pub async fn serve_bidi(
    State(app): State<App>,
    request: Request,
) -> axum::response::Response<Body> {
    tonic::server::Grpc::new(codec()).streaming(Back(app), request).await
}

/// Counts items, and tells how they ended.
struct Count(App);

impl ClientStreamingService<Item> for Count {
    type Response = Item;
    type Future = Calling<Item>;

    fn call(&mut self, request: tonic::Request<Streaming<Item>>) -> Self::Future {
        let reading = self.0.reading();
        Box::pin(async move {
            let delivery = request.extensions().get::<Delivery>().cloned();
            let mut stream = request.into_inner();
            let mut numbers = Vec::new();
            loop {
                match stream.message().await {
                    Ok(Some(item)) => numbers.push(item.number as u8),
                    Ok(None) => break,
                    Err(status) => {
                        failed(reading, numbers, &status, delivery);
                        return Err(status);
                    }
                }
            }
            let number = u32::try_from(numbers.len()).unwrap();
            reading.end(Saw::Clean { messages: numbers.len(), bytes: numbers.into() });
            Ok(Response::new(Item { number }))
        })
    }
}

fn failed(reading: Reading, numbers: Vec<u8>, status: &Status, delivery: Option<Delivery>) {
    let (error, typed) = (status.message().to_owned(), delivery.and_then(|d| d.failure()));
    reading.end(Saw::Failed { messages: numbers.len(), bytes: numbers.into(), error, typed });
}

/// Gives as many items as are asked for.
struct Give;

impl ServerStreamingService<Item> for Give {
    type Response = Item;
    type ResponseStream = Items;
    type Future = Calling<Items>;

    fn call(&mut self, request: tonic::Request<Item>) -> Self::Future {
        let items: Items = Box::pin(paced(request.into_inner().number).map(Ok));
        Box::pin(async move { Ok(Response::new(items)) })
    }
}

/// Gives each item back, and tells how they ended.
struct Back(App);

impl StreamingService<Item> for Back {
    type Response = Item;
    type ResponseStream = Items;
    type Future = Calling<Items>;

    fn call(&mut self, request: tonic::Request<Streaming<Item>>) -> Self::Future {
        let delivery = request.extensions().get::<Delivery>().cloned();
        let state = (request.into_inner(), Some(self.0.reading()), Vec::new());
        let items =
            futures_util::stream::unfold(state, move |(mut stream, mut reading, mut seen)| {
                let delivery = delivery.clone();
                async move {
                    reading.as_ref()?;
                    match stream.message().await {
                        Ok(Some(item)) => {
                            seen.push(item.number as u8);
                            Some((Ok(item), (stream, reading, seen)))
                        }
                        Ok(None) => {
                            let end = Saw::Clean { messages: seen.len(), bytes: seen.into() };
                            reading.take()?.end(end);
                            None
                        }
                        Err(status) => {
                            failed(reading.take()?, seen, &status, delivery);
                            Some((Err(status), (stream, None, Vec::new())))
                        }
                    }
                }
            });
        let items: Items = Box::pin(items);
        Box::pin(async move { Ok(Response::new(items)) })
    }
}
