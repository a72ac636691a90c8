//! axum and tonic behind one port and one layer.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

mod echo;

use axum::Router;
use axum::routing::get;
use echo::{Echo, EchoClient, Msg};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use meshguard_tonic::tls::Alpn;
use meshguard_tonic::{Mesh, Policy};
use tonic::service::Routes;
use tower::ServiceExt as _;

const CALLER: &str = "spiffe://port.example/caller";
const CALLEE: &str = "spiffe://port.example/callee";

fn mesh(id: &str) -> Mesh {
    let policy: Policy = format!(
        "mesh = \"port.example\"\nversion = 1\n[peers]\ncaller = \"{CALLER}\"\n\
         [[allow]]\nname = \"both\"\nfrom = [\"caller\"]\nhttp = [\"GET /hello\"]\ngrpc = [\"test.Echo/*\"]"
    )
    .parse()
    .unwrap();
    Mesh::dev(id).unwrap().policy(policy).build().unwrap()
}

#[tokio::test]
async fn one_port_speaks_http1_http2_and_grpc() {
    let (caller, callee) = (mesh(CALLER), mesh(CALLEE));
    let grpc = Routes::new(Echo).prepare().into_axum_router();
    let app = Router::new().route("/hello", get(|| async { "hello" })).merge(grpc);
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    tokio::spawn(listener.serve(app).into_future());
    for alpn in [Alpn::H2, Alpn::Http11] {
        let channel = caller.channel(&uri, CALLEE).unwrap().protocols(alpn);
        let request = Request::get("/hello").body(Empty::<bytes::Bytes>::new()).unwrap();
        let response = channel.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
    let mut client = EchoClient::new(caller.channel(&uri, CALLEE).unwrap());
    let msg = Msg::new(3, 10);
    assert_eq!(client.unary(msg.clone()).await.unwrap().into_inner(), msg);
}
