//! One unary gRPC method, written out as tonic's generator would.

use std::convert::Infallible;
use std::future::{Ready, ready};

use axum::extract::Request;
use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::server::UnaryService;
use tonic::{Response, Status};
use tonic_prost::ProstCodec;

use crate::{Caller, Error};

pub(crate) const PATH: &str = "/bench.Echo/Unary";

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
