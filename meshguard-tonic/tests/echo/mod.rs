//! A service with one method of each kind, as tonic would generate it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use meshguard_tonic::{Channel, MeshRequest as _};
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{
    ClientStreamingService, Grpc, NamedService, ServerStreamingService, StreamingService,
    UnaryService,
};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// Answers with the caller's name.
pub const WHO: u32 = 1_000_001;
/// Fails.
pub const FAIL: u32 = 1_000_002;
/// Never answers.
pub const HANG: u32 = 1_000_003;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Msg {
    #[prost(uint32, tag = "1")]
    pub n: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}

impl Msg {
    pub fn new(n: u32, len: usize) -> Self {
        Self { n, data: vec![n as u8; len] }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.data.clone()).unwrap()
    }
}

type Codec = ProstCodec<Msg, Msg>;
type Messages = Pin<Box<dyn Stream<Item = Result<Msg, Status>> + Send>>;
type Answer<T> = BoxFuture<Response<T>, Status>;

#[derive(Clone)]
pub struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl UnaryService<Msg> for Echo {
    type Response = Msg;
    type Future = Answer<Msg>;

    fn call(&mut self, request: Request<Msg>) -> Self::Future {
        Box::pin(async move {
            let peer = request.peer().map(|p| p.id().to_string()).unwrap_or_default();
            let msg = request.into_inner();
            match msg.n {
                WHO => Ok(Response::new(Msg { n: WHO, data: peer.into_bytes() })),
                FAIL => Err(Status::data_loss("as asked")),
                HANG => std::future::pending().await,
                _ => Ok(Response::new(msg)),
            }
        })
    }
}

impl ClientStreamingService<Msg> for Echo {
    type Response = Msg;
    type Future = Answer<Msg>;

    fn call(&mut self, request: Request<Streaming<Msg>>) -> Self::Future {
        Box::pin(async move {
            let (mut stream, mut sum) = (request.into_inner(), 0);
            while let Some(msg) = stream.message().await? {
                if msg.n == FAIL {
                    return Err(Status::data_loss("as asked"));
                }
                sum += msg.n;
            }
            Ok(Response::new(Msg::new(sum, 0)))
        })
    }
}

impl ServerStreamingService<Msg> for Echo {
    type Response = Msg;
    type ResponseStream = Messages;
    type Future = Answer<Messages>;

    fn call(&mut self, request: Request<Msg>) -> Self::Future {
        Box::pin(async move {
            let messages = (0..request.into_inner().n).map(|n| Ok(Msg::new(n, 10)));
            let stream = tokio_stream::iter(messages).then(|msg| async move {
                tokio::task::yield_now().await;
                msg.map(|m: Msg| Msg::new(m.n, 10))
            });
            Ok(Response::new(Box::pin(stream) as Messages))
        })
    }
}

impl StreamingService<Msg> for Echo {
    type Response = Msg;
    type ResponseStream = Messages;
    type Future = Answer<Messages>;

    fn call(&mut self, request: Request<Streaming<Msg>>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(Box::pin(request.into_inner()) as Messages)) })
    }
}

impl<B> Service<http::Request<B>> for Echo
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(Codec::default());
            Ok(match request.uri().path() {
                "/test.Echo/Unary" => grpc.unary(Echo, request).await,
                "/test.Echo/Sum" => grpc.client_streaming(Echo, request).await,
                "/test.Echo/Count" => grpc.server_streaming(Echo, request).await,
                "/test.Echo/Talk" => grpc.streaming(Echo, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

pub struct EchoClient(tonic::client::Grpc<Channel>);

impl EchoClient {
    pub fn new(channel: Channel) -> Self {
        Self(tonic::client::Grpc::new(channel))
    }

    async fn ready(&mut self) {
        self.0.ready().await.unwrap();
    }

    pub async fn unary(
        &mut self,
        request: impl tonic::IntoRequest<Msg>,
    ) -> Result<Response<Msg>, Status> {
        self.ready().await;
        let path = PathAndQuery::from_static("/test.Echo/Unary");
        self.0.unary(request.into_request(), path, Codec::default()).await
    }

    pub async fn at(mut self, path: &'static str, msg: Msg) -> Result<Response<Msg>, Status> {
        self.ready().await;
        let path = PathAndQuery::from_static(path);
        self.0.unary(Request::new(msg), path, Codec::default()).await
    }

    pub async fn sum(
        &mut self,
        messages: impl Stream<Item = Msg> + Send + 'static,
    ) -> Result<Response<Msg>, Status> {
        self.ready().await;
        let path = PathAndQuery::from_static("/test.Echo/Sum");
        self.0.client_streaming(Request::new(messages), path, Codec::default()).await
    }

    pub async fn count(&mut self, msg: Msg) -> Result<Response<Streaming<Msg>>, Status> {
        self.ready().await;
        let path = PathAndQuery::from_static("/test.Echo/Count");
        self.0.server_streaming(Request::new(msg), path, Codec::default()).await
    }

    pub async fn talk(
        &mut self,
        messages: impl Stream<Item = Msg> + Send + 'static,
    ) -> Result<Response<Streaming<Msg>>, Status> {
        self.ready().await;
        let path = PathAndQuery::from_static("/test.Echo/Talk");
        self.0.streaming(Request::new(messages), path, Codec::default()).await
    }
}
