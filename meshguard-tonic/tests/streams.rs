//! gRPC on real sockets: unary, client, server and bidirectional streams, in every suite, under
//! the mesh's own loop and under tonic's server.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod echo;

use std::time::Duration;

use echo::{Echo, EchoClient, Msg};
use meshguard_tonic::{Mesh, Policy};
use tokio_stream::StreamExt as _;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Code, Request};

const CALLER: &str = "spiffe://grpc.example/caller";
const CALLEE: &str = "spiffe://grpc.example/callee";

fn policy(delivery: &str) -> Policy {
    let text = format!(
        "mesh = \"grpc.example\"\nversion = 1\n[peers]\ncaller = \"{CALLER}\"\n\
         [[allow]]\nname = \"echo\"\nfrom = [\"caller\"]\ngrpc = [\"test.Echo/*\"]\n{delivery}"
    );
    text.parse().unwrap()
}

fn mesh(id: &str, delivery: &str) -> Mesh {
    Mesh::dev(id).unwrap().policy(policy(delivery)).build().unwrap()
}

/// Which loop serves.
#[derive(Clone, Copy, Debug)]
enum By {
    Mesh,
    Tonic,
}

async fn client(delivery: &str, by: By) -> (EchoClient, Mesh) {
    let (caller, callee) = (mesh(CALLER, delivery), mesh(CALLEE, delivery));
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    match by {
        By::Mesh => {
            let serving = meshguard_tonic::serve(listener, Routes::new(Echo));
            tokio::spawn(serving.into_future());
        }
        By::Tonic => {
            let server = Server::builder().layer(callee.inbound()).add_service(Echo);
            tokio::spawn(server.serve_with_incoming(meshguard_tonic::incoming(listener)));
        }
    }
    (EchoClient::new(caller.channel(&uri, CALLEE).unwrap()), caller)
}

const DELIVERIES: [&str; 4] = [
    "",
    "[[delivery]]\nseal = true",
    "[[delivery]]\ntranscript = \"blake3\"",
    "[[delivery]]\nseal = true\ntranscript = \"blake3\"",
];

fn messages(n: u32) -> impl tokio_stream::Stream<Item = Msg> + Send + 'static {
    tokio_stream::iter(0..n).then(|n| async move {
        tokio::task::yield_now().await;
        Msg::new(n, n as usize * 100)
    })
}

#[tokio::test]
async fn every_kind_of_call_is_delivered_in_every_suite_by_both_servers() {
    for delivery in DELIVERIES {
        for by in [By::Mesh, By::Tonic] {
            println!("{delivery:?} {by:?}");
            let (mut client, caller) = client(delivery, by).await;
            let big = Msg::new(7, 100_000);
            assert_eq!(client.unary(big.clone()).await.unwrap().into_inner(), big);
            let sum = client.sum(messages(100)).await.unwrap().into_inner();
            assert_eq!(sum.n, (0..100).sum::<u32>());
            let mut count = client.count(Msg::new(50, 0)).await.unwrap().into_inner();
            let mut got = 0;
            while let Some(msg) = count.message().await.unwrap() {
                assert_eq!(msg.n, got);
                got += 1;
            }
            assert_eq!(got, 50);
            let mut talk = client.talk(messages(20)).await.unwrap().into_inner();
            for n in 0..20 {
                assert_eq!(talk.message().await.unwrap().unwrap(), Msg::new(n, n as usize * 100));
            }
            assert_eq!(talk.message().await.unwrap(), None);
            assert!(talk.trailers().await.unwrap().is_some());
            let counts = caller.counts();
            assert_eq!((counts.begun, counts.delivered), (4, 4), "{counts:?}");
        }
    }
}

#[tokio::test]
async fn the_handler_sees_its_caller() {
    let (mut client, _caller) = client("", By::Tonic).await;
    let request = Request::new(Msg::new(echo::WHO, 0));
    assert_eq!(client.unary(request).await.unwrap().into_inner().text(), CALLER);
}

#[tokio::test]
async fn an_error_of_the_handler_arrives_as_it_is_and_its_request_is_accounted_for() {
    for delivery in ["", "[[delivery]]\nseal = true"] {
        let (mut client, caller) = client(delivery, By::Mesh).await;
        let status = client.unary(Msg::new(echo::FAIL, 0)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::DataLoss, "as asked"));
        assert!(meshguard_tonic::cause(&status).is_none(), "it is the application's");
        let status = client.sum(tokio_stream::iter([Msg::new(echo::FAIL, 0)])).await.unwrap_err();
        assert_eq!(status.code(), Code::DataLoss);
        let counts = caller.counts();
        assert!(counts.balances(), "{counts:?}");
        assert_eq!(counts.indeterminate, 0, "{counts:?}");
    }
}

#[tokio::test]
async fn a_deadline_is_enforced_by_the_channel() {
    let (mut client, _caller) = client("", By::Mesh).await;
    let mut request = Request::new(Msg::new(echo::HANG, 0));
    request.set_timeout(Duration::from_millis(50));
    assert_eq!(client.unary(request).await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn what_policy_does_not_allow_is_permission_denied() {
    let (client, _caller) = client("", By::Mesh).await;
    let status = client.at("/test.Other/Unary", Msg::new(1, 0)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.metadata().get("meshguard-decision").is_some(), "for the operator");
}
