//! What one peer can take from the others: time and places, within bounds.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::limits::Limits;
use crate::rig::{PATIENCE, Rig, connect, eventually};
use crate::tls::{Alpn, HandshakeErrorKind as Kind};

/// A TLS record that is announced and never comes.
async fn half_handshake(addr: SocketAddr) -> TcpStream {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3]).await.unwrap();
    tcp
}

/// The far end closes, with or without an alert before.
async fn closed(tcp: &mut TcpStream) {
    let mut rest = Vec::new();
    drop(timeout(PATIENCE, tcp.read_to_end(&mut rest)).await.unwrap());
}

#[tokio::test]
async fn half_a_handshake_is_closed_in_time_and_holds_up_nobody() {
    let rig = Rig::new();
    let limits = Limits::default().with_handshake_timeout(Duration::from_secs(1));
    let mut listener = rig.listen(limits).await;
    let start = Instant::now();
    let mut half = half_handshake(listener.local_addr()).await;
    let _good = connect(listener.local_addr(), rig.client(Alpn::H2)).await.unwrap();
    assert!(timeout(PATIENCE, listener.accept()).await.unwrap().is_some());
    closed(&mut half).await;
    assert!(start.elapsed() >= Duration::from_secs(1) && start.elapsed() < PATIENCE);
    eventually("the timeout is counted", || rig.stats.failed(Kind::Timeout) == 1).await;
    assert_eq!(rig.stats.snapshot(), [(Kind::Timeout, 1)]);
}

/// With `limits` there is room for one handshake: the second is shed, until the first is gone.
async fn sheds_the_second(limits: Limits) {
    let rig = Rig::new();
    let mut listener = rig.listen(limits).await;
    let addr = listener.local_addr();
    let first = half_handshake(addr).await;
    let mut second = half_handshake(addr).await; // accepted after the first: the backlog is a queue
    closed(&mut second).await;
    eventually("the shedding is counted", || rig.stats.failed(Kind::Overloaded) == 1).await;
    drop(first);
    eventually("the first is gone", || rig.stats.failed(Kind::Disconnected) == 1).await;
    let _good = connect(addr, rig.client(Alpn::H2)).await.unwrap();
    assert!(timeout(PATIENCE, listener.accept()).await.unwrap().is_some());
    assert_eq!(rig.stats.snapshot(), [(Kind::Disconnected, 1), (Kind::Overloaded, 1)]);
}

#[tokio::test]
async fn handshakes_beyond_the_bound_are_shed() {
    sheds_the_second(Limits::default().with_pending_handshakes(1)).await;
}

#[tokio::test]
async fn handshakes_of_one_source_beyond_its_bound_are_shed() {
    sheds_the_second(Limits::default().with_pending_per_source(1)).await;
}

#[tokio::test]
async fn connections_beyond_the_bound_are_shed() {
    let rig = Rig::new();
    let mut listener = rig.listen(Limits::default().with_connections(1)).await;
    let addr = listener.local_addr();
    let _far = connect(addr, rig.client(Alpn::H2)).await.unwrap();
    let near = timeout(PATIENCE, listener.accept()).await.unwrap();
    assert!(connect(addr, rig.client(Alpn::H2)).await.is_err());
    assert_eq!(rig.stats.snapshot(), [(Kind::Overloaded, 1)]);
    drop(near);
    let _far = connect(addr, rig.client(Alpn::H2)).await.unwrap();
    assert!(timeout(PATIENCE, listener.accept()).await.unwrap().is_some());
}
