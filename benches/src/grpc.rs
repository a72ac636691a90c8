//! A unary gRPC method and two streams, written out as tonic's generator would.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;

use axum::extract::Request;
use bytes::Bytes;
use futures_util::stream::{Iter, iter};
use http::uri::PathAndQuery;
use tonic::server::{ClientStreamingService, ServerStreamingService, UnaryService};
use tonic::{Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::{Caller, Error};

pub(crate) const PATH: &str = "/bench.Echo/Unary";
pub(crate) const UP: &str = "/bench.Echo/Up";
pub(crate) const DOWN: &str = "/bench.Echo/Down";

/// Bytes of a stream's message: 100, with its field's tag and length.
const PIECE: usize = 98;

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(bytes = "bytes", tag = "1")]
    payload: Bytes,
}

struct Echo;

impl UnaryService<Message> for Echo {
    type Response = Message;
    type Future = Ready<Result<Response<Message>, Status>>;

    fn call(&mut self, request: tonic::Request<Message>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

/// The method as a handler of an axum route.
pub(crate) async fn serve(
    request: Request,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let codec = ProstCodec::<Message, Message>::default();
    Ok(tonic::server::Grpc::new(codec).unary(Echo, request).await)
}

/// Calls the method once.
pub(crate) async fn call(caller: &Caller, payload: Bytes) -> Result<(), Error> {
    let mut client = tonic::client::Grpc::new(caller.clone());
    client.ready().await?;
    let codec = ProstCodec::<Message, Message>::default();
    let length = payload.len();
    let request = tonic::Request::new(Message { payload });
    let response = client.unary(request, PathAndQuery::from_static(PATH), codec).await?;
    if response.get_ref().payload.len() == length {
        Ok(())
    } else {
        Err("the echo has another length".into())
    }
}

/// So many messages of 100 bytes.
fn pieces(count: usize) -> impl Iterator<Item = Message> + Send + 'static {
    let payload = Bytes::from(vec![0x5a; PIECE]);
    (0..count).map(move |_| Message { payload: payload.clone() })
}

/// Counts messages, and answers with as many bytes as they had.
struct Up;

impl ClientStreamingService<Message> for Up {
    type Response = Message;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Message>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Streaming<Message>>) -> Self::Future {
        Box::pin(async move {
            let mut stream = request.into_inner();
            let mut count = 0_u64;
            while stream.message().await?.is_some() {
                count += 1;
            }
            let payload = Bytes::copy_from_slice(&count.to_be_bytes());
            Ok(Response::new(Message { payload }))
        })
    }
}

/// Sends as many messages as the request's payload says.
struct Down;

type Pieces = Iter<Box<dyn Iterator<Item = Result<Message, Status>> + Send>>;

impl ServerStreamingService<Message> for Down {
    type Response = Message;
    type ResponseStream = Pieces;
    type Future = Ready<Result<Response<Pieces>, Status>>;

    fn call(&mut self, request: tonic::Request<Message>) -> Self::Future {
        let asked = request.into_inner().payload;
        let count = asked.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        let all: Box<dyn Iterator<Item = _> + Send> = Box::new(pieces(count).map(Ok));
        ready(Ok(Response::new(iter(all))))
    }
}

/// The client's stream as a handler of an axum route.
pub(crate) async fn serve_up(
    request: Request,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let codec = ProstCodec::<Message, Message>::default();
    Ok(tonic::server::Grpc::new(codec).client_streaming(Up, request).await)
}

/// The server's stream as a handler of an axum route.
pub(crate) async fn serve_down(
    request: Request,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let codec = ProstCodec::<Message, Message>::default();
    Ok(tonic::server::Grpc::new(codec).server_streaming(Down, request).await)
}

/// Sends a stream of so many messages.
pub(crate) async fn up(caller: &Caller, count: usize) -> Result<(), Error> {
    let mut client = tonic::client::Grpc::new(caller.clone());
    client.ready().await?;
    let codec = ProstCodec::<Message, Message>::default();
    let request = tonic::Request::new(iter(pieces(count)));
    let answer = client.client_streaming(request, PathAndQuery::from_static(UP), codec).await?;
    all_of(count, answer.get_ref().payload.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)))
}

/// Asks for a stream of so many messages.
pub(crate) async fn down(caller: &Caller, count: usize) -> Result<(), Error> {
    let mut client = tonic::client::Grpc::new(caller.clone());
    client.ready().await?;
    let codec = ProstCodec::<Message, Message>::default();
    let payload = Bytes::copy_from_slice(&count.to_be_bytes());
    let request = tonic::Request::new(Message { payload });
    let answer = client.server_streaming(request, PathAndQuery::from_static(DOWN), codec).await?;
    let (mut stream, mut got) = (answer.into_inner(), 0);
    while stream.message().await?.is_some() {
        got += 1;
    }
    all_of(count, got)
}

fn all_of(count: usize, got: usize) -> Result<(), Error> {
    if got == count { Ok(()) } else { Err(format!("{got} of {count} messages came").into()) }
}
