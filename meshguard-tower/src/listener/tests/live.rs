//! How live connections are ended from this side.

use meshguard_core::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::dev::DevSvid;
use crate::limits::Limits;
use crate::listener::{Io, Listener};
use crate::rig::{CHECKOUT, PATIENCE, Rig, connect, eventually};
use crate::tls::Alpn;

struct Both {
    far: tokio_rustls::client::TlsStream<tokio::net::TcpStream>,
    near: Io,
    connection: Connection,
}

async fn connected(rig: &Rig, listener: &mut Listener, svid: &DevSvid) -> Both {
    let config = std::sync::Arc::new(rig.odd_client(Some(svid)));
    let far = connect(listener.local_addr(), config).await.unwrap();
    let (near, connection) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    Both { far, near, connection }
}

impl Both {
    async fn works(&mut self) {
        self.far.write_all(b"?").await.unwrap();
        self.far.flush().await.unwrap();
        timeout(PATIENCE, self.near.read_exact(&mut [0; 1])).await.unwrap().unwrap();
    }

    /// The near end fails by itself, though the far end says nothing.
    async fn has_ended(&mut self) {
        let read = timeout(PATIENCE, self.near.read(&mut [0; 1])).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
    }
}

#[tokio::test]
async fn a_revocation_ends_the_live_connections_of_the_revoked_and_no_other() {
    let rig = Rig::new();
    let (bad, good) = (rig.ca.svid(CHECKOUT).unwrap(), rig.ca.svid(CHECKOUT).unwrap());
    let mut listener = rig.listen(Limits::default()).await;
    let mut first = connected(&rig, &mut listener, &bad).await;
    let mut second = connected(&rig, &mut listener, &bad).await;
    let mut other = connected(&rig, &mut listener, &good).await;
    first.works().await;
    rig.revoke(&[&bad]);
    first.has_ended().await;
    second.has_ended().await;
    other.works().await;
    assert_eq!(rig.stats.withdrawn(), 2);
    assert_eq!(rig.stats.snapshot(), []);
}

#[tokio::test]
async fn an_expired_certificate_ends_its_live_connections() {
    let rig = Rig::new();
    let mut listener = rig.listen(Limits::default()).await;
    let mut live = connected(&rig, &mut listener, &rig.ca.svid(CHECKOUT).unwrap()).await;
    assert_eq!(listener.live().expire(live.connection.peer().not_after()), 0);
    live.works().await;
    assert_eq!(listener.live().expire(Timestamp::MAX), 1);
    live.has_ended().await;
}

#[tokio::test]
async fn closing_a_connection_ends_it_and_no_other() {
    let rig = Rig::new();
    let mut listener = rig.listen(Limits::default()).await;
    let svid = rig.ca.svid(CHECKOUT).unwrap();
    let mut one = connected(&rig, &mut listener, &svid).await;
    let mut two = connected(&rig, &mut listener, &svid).await;
    assert_ne!(one.connection.id(), two.connection.id());
    one.connection.close();
    one.has_ended().await;
    two.works().await;
}

#[tokio::test]
async fn dropping_the_listener_closes_its_socket_and_its_handshakes() {
    let rig = Rig::new();
    let listener = rig.listen(Limits::default()).await;
    let addr = listener.local_addr();
    let mut half = tokio::net::TcpStream::connect(addr).await.unwrap();
    half.write_all(&[22, 3, 1]).await.unwrap();
    drop(listener);
    // A reset where the three bytes were not read yet, an end otherwise.
    let read = timeout(PATIENCE, half.read(&mut [0; 1])).await.unwrap();
    assert!(!matches!(read, Ok(1..)));
    assert!(connect(addr, rig.client(Alpn::H2)).await.is_err());
    eventually("the socket is free", || std::net::TcpListener::bind(addr).is_ok()).await;
}
