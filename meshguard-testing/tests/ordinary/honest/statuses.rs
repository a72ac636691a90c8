//! A failed call of gRPC has the status that its clients act on, and its cause behind it.

use std::net::SocketAddr;

use axum::Router;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallErrorKind, Channel};
use meshguard_testing::{Cut, Fault};
use meshguard_tonic::{Cause, cause};
use tonic::{Code, Status};

use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, Rig, SUITES, grpc, stock};

/// Where nobody listens.
async fn nowhere() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn channel(to: SocketAddr) -> Channel {
    let caller = rig::mesh(CALLER, &rig::policy(""), &Told::default());
    caller.channel(&format!("https://{to}"), CALLEE).unwrap()
}

#[track_caller]
fn call_error(status: &Status) -> CallErrorKind {
    match cause(status) {
        Some(Cause::Call(error)) => error.kind().clone(),
        other => panic!("{other:?} of {status:?}"),
    }
}

#[tokio::test]
async fn a_callee_that_is_not_there_is_unavailable_as_on_the_stock_stack() {
    let to = nowhere().await;
    let stock = grpc::client(stock::channel(to), grpc::ready(1)).await.unwrap_err();
    assert_eq!(stock.code(), Code::Unavailable, "{stock:?}");
    let ours = grpc::client(channel(to), grpc::ready(1)).await.unwrap_err();
    assert_eq!(ours.code(), Code::Unavailable, "{ours:?}");
    assert_eq!(call_error(&ours), CallErrorKind::Connect);
    assert!(ours.message().starts_with("there is no connection"), "{ours:?}");
    let mut behind = std::error::Error::source(&ours);
    let refused = std::iter::from_fn(|| {
        let next = behind?;
        behind = next.source();
        Some(next)
    });
    let mut of_connecting =
        refused.filter_map(|e| e.downcast_ref::<meshguard_axum::ConnectError>());
    assert!(of_connecting.next().is_some(), "{ours:?}");
}

#[tokio::test]
async fn a_callee_outside_of_the_mesh_is_unavailable() {
    let to = stock::serve(Router::new()).await;
    let status = grpc::client(channel(to), grpc::ready(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(matches!(call_error(&status), CallErrorKind::Session(_)), "{status:?}");
}

#[tokio::test]
async fn a_stream_that_is_cut_is_unavailable() {
    for suite in SUITES {
        let rig = Rig::new(suite, Alpn::H2).await;
        rig.inject(Fault::CutResponse { after: 200, how: Cut::ResetCancel });
        let (numbers, end) = grpc::server(rig.channel.clone(), 1000).await;
        let status = end.unwrap_err();
        assert!(numbers.len() < 1000);
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(matches!(cause(&status), Some(Cause::Delivery(_))), "{status:?}");
    }
}
