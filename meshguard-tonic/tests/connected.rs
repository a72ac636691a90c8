//! What tonic's requests know of their connection, and its interceptors over a channel.

#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use meshguard_tonic::{Listener, Mesh, Policy};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

const CALLER: &str = "spiffe://ends.example/caller";
const CALLEE: &str = "spiffe://ends.example/callee";

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

type Codec = ProstCodec<Text, Text>;

/// Answers with what it knows of the connection, and of the request's metadata.
#[derive(Clone)]
struct Ends;

impl NamedService for Ends {
    const NAME: &'static str = "test.Ends";
}

impl UnaryService<Text> for Ends {
    type Response = Text;
    type Future = BoxFuture<Response<Text>, Status>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let ends = (request.remote_addr(), request.local_addr());
        let certificates = request.peer_certs().map(|certs| certs.len());
        let mark = request.metadata().get("x-mark").map(|mark| mark.to_str().unwrap().to_owned());
        let (remote, local) = (ends.0.map(|a| a.ip()), ends.1.map(|a| a.ip()));
        let text = format!("{remote:?} {local:?} {certificates:?} {mark:?}");
        Box::pin(async move { Ok(Response::new(Text { text })) })
    }
}

impl Service<http::Request<Body>> for Ends {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(Grpc::new(Codec::default()).unary(Ends, request).await) })
    }
}

fn mesh(id: &str) -> Mesh {
    let policy: Policy = format!(
        "mesh = \"ends.example\"\nversion = 1\n[peers]\ncaller = \"{CALLER}\"\n\
         [[allow]]\nname = \"all\"\nfrom = [\"caller\"]\ngrpc = [\"test.Ends/*\"]"
    )
    .parse()
    .unwrap();
    Mesh::dev(id).unwrap().policy(policy).build().unwrap()
}

/// Through an interceptor, as a generated client's `with_interceptor` makes it.
async fn ask(uri: &str) -> String {
    let mark = |mut request: Request<()>| {
        request.metadata_mut().insert("x-mark", "1".parse().unwrap());
        Ok::<_, Status>(request)
    };
    let channel = mesh(CALLER).channel(uri, CALLEE).unwrap();
    let mut grpc = tonic::client::Grpc::new(InterceptedService::new(channel, mark));
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/test.Ends/Ask");
    let answer = grpc.unary(Request::new(Text::default()), path, Codec::default()).await;
    answer.unwrap().into_inner().text
}

#[tokio::test]
async fn tonics_requests_know_their_connection_and_interceptors_pass_over_a_channel() {
    let of_mesh = |listener: Listener, _: Mesh| {
        tokio::spawn(async { meshguard_tonic::serve(listener, Routes::new(Ends)).await.unwrap() });
    };
    let of_tonic = |listener: Listener, mesh: Mesh| {
        let server = Server::builder().layer(mesh.inbound()).add_service(Ends);
        let serving = server.serve_with_incoming(meshguard_tonic::incoming(listener));
        tokio::spawn(async { serving.await.unwrap() });
    };
    let servers: [Box<dyn Fn(Listener, Mesh)>; 2] = [Box::new(of_mesh), Box::new(of_tonic)];
    for serve in servers {
        let callee = mesh(CALLEE);
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr());
        serve(listener, callee);
        assert_eq!(ask(&uri).await, "Some(127.0.0.1) Some(127.0.0.1) Some(1) Some(\"1\")");
    }
}
