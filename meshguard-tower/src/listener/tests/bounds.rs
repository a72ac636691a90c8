//! What one peer can take from the others: time and places, within bounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use crate::connection::Connection;
use crate::limits::Limits;
use crate::listener::{Io, Listener};
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

/// With `limits` there is room for one handshake: a second one takes the place of the first.
async fn sheds_the_first(limits: Limits) {
    let rig = Rig::new();
    let mut listener = rig.listen(limits).await;
    let addr = listener.local_addr();
    let mut first = half_handshake(addr).await;
    let second = half_handshake(addr).await; // accepted after the first: the backlog is a queue
    closed(&mut first).await;
    eventually("the shedding is counted", || rig.stats.failed(Kind::Overloaded) == 1).await;
    // Nor does the second keep a whole one out.
    let _good = connect(addr, rig.client(Alpn::H2)).await.unwrap();
    assert!(timeout(PATIENCE, listener.accept()).await.unwrap().is_some());
    drop(second);
    eventually("both are counted", || rig.stats.failed(Kind::Overloaded) == 2).await;
    assert_eq!(rig.stats.snapshot(), [(Kind::Overloaded, 2)]);
}

#[tokio::test]
async fn where_all_handshakes_are_under_way_the_oldest_makes_room() {
    sheds_the_first(Limits::default().with_pending_handshakes(1)).await;
}

#[tokio::test]
async fn where_a_source_has_all_its_handshakes_its_oldest_makes_room() {
    sheds_the_first(Limits::default().with_pending_per_source(1)).await;
}

#[tokio::test]
async fn connections_that_say_nothing_make_room_for_others_and_take_no_handshakes_place() {
    let rig = Rig::new();
    let limits = Limits::default().with_silent(2).with_pending_handshakes(1);
    let mut listener = rig.listen(limits).await;
    let addr = listener.local_addr();
    let mut first = TcpStream::connect(addr).await.unwrap();
    let _second = TcpStream::connect(addr).await.unwrap();
    let _good = connect(addr, rig.client(Alpn::H2)).await.unwrap();
    assert!(timeout(PATIENCE, listener.accept()).await.unwrap().is_some());
    closed(&mut first).await;
    assert_eq!(rig.stats.failed(Kind::Overloaded), 1);
}

/// A service's connections, and the near ends of them all.
struct Town {
    rig: Rig,
    listener: Listener,
    near: Vec<(Io, Connection)>,
}

impl Town {
    async fn new(limits: Limits) -> Self {
        let rig = Rig::new();
        let listener = rig.listen(limits).await;
        Self { rig, listener, near: Vec::new() }
    }

    /// A connection of this peer.
    async fn comes(&mut self, peer: &str) -> Option<TlsStream<TcpStream>> {
        let id = format!("spiffe://shop.example/{peer}").parse().unwrap();
        let config = Arc::new(self.rig.odd_client(Some(&self.rig.ca.svid(&id).unwrap())));
        let mut far = connect(self.listener.local_addr(), config).await.ok()?;
        // TLS 1.3's client is done before its server is.
        let accepted = tokio::select! {
            biased;
            accepted = timeout(PATIENCE, self.listener.accept()) => accepted.unwrap(),
            _ = far.read_u8() => None,
        };
        self.near.push(accepted?);
        Some(far)
    }

    /// Which connections are asked to leave, by their order.
    fn leaving(&self) -> Vec<usize> {
        let leaving = self.near.iter().enumerate().filter(|(_, (_, c))| c.is_leaving());
        leaving.map(|(n, _)| n).collect()
    }
}

#[tokio::test]
async fn beyond_the_bound_the_peer_with_most_connections_gives_its_idlest() {
    let mut town = Town::new(Limits::default().with_connections(8)).await;
    let _single = town.comes("single").await.unwrap();
    let mut first = town.comes("many").await.unwrap();
    let mut others = Vec::new();
    for _ in 0..6 {
        others.push(town.comes("many").await.unwrap());
    }
    // Of those that `many` has, the first is in use.
    first.write_all(b"?").await.unwrap();
    timeout(PATIENCE, town.near[1].0.read_exact(&mut [0; 1])).await.unwrap().unwrap();
    assert_eq!(town.leaving(), [] as [usize; 0]);
    let _late = town.comes("late").await.unwrap();
    assert_eq!(town.leaving(), [2]);
    // It is the one that has most itself.
    let _fourth = town.comes("many").await.unwrap();
    assert_eq!(town.leaving(), [2, 3]);
    assert_eq!(town.rig.stats.snapshot(), []);
}

#[tokio::test]
async fn a_hop_keeps_its_share() {
    let mut town = Town::new(Limits::default().with_connections(6)).await;
    let mut far = Vec::new();
    for peer in ["hop", "hop", "hop", "many", "many", "single"] {
        far.push(town.comes(peer).await.unwrap());
    }
    far.push(town.comes("late").await.unwrap());
    assert_eq!(town.leaving(), [3]);
    // Beyond its share it gives as others do.
    far.push(town.comes("hop").await.unwrap());
    assert_eq!(town.leaving(), [0, 3]);
}

#[tokio::test]
async fn who_has_one_connection_keeps_it_and_one_more_is_shed() {
    let mut town = Town::new(Limits::default().with_connections(2)).await;
    let _a = town.comes("a").await.unwrap();
    let _b = town.comes("b").await.unwrap();
    assert!(town.comes("c").await.is_none());
    eventually("it is counted", || town.rig.stats.failed(Kind::Overloaded) == 1).await;
    // Who closes makes room.
    town.near.pop();
    town.comes("c").await.unwrap();
    assert_eq!(town.leaving(), [] as [usize; 0]);
}

#[tokio::test]
async fn who_may_do_nothing_gives_first_though_it_has_one() {
    let mut town = Town::new(Limits::default().with_connections(8)).await;
    let mut far = Vec::new();
    for peer in ["many", "many", "many", "many", "many", "many", "many", "nobody"] {
        far.push(town.comes(peer).await.unwrap());
    }
    far.push(town.comes("late").await.unwrap());
    assert_eq!(town.leaving(), [7]);
    far.push(town.comes("later").await.unwrap());
    assert_eq!(town.leaving(), [0, 7]);
}

/// One peer comes again and again, and reads no GOAWAY: others still come in.
#[tokio::test]
async fn who_takes_what_its_own_connections_leave_shuts_nobody_out() {
    let mut town = Town::new(Limits::default().with_connections(8)).await;
    let mut far = Vec::new();
    for n in 0..40 {
        let mut came = town.comes("many").await;
        if n % 8 == 0 {
            came = town.comes(&format!("single{n}")).await;
            assert!(came.is_some(), "{n}");
        }
        far.extend(came);
        // What was closed lets go of its place.
        for (near, connection) in &mut town.near {
            if connection.is_over() {
                let _ = timeout(PATIENCE, near.read(&mut [0; 1])).await.unwrap();
            }
        }
        town.near.retain(|(_, connection)| !connection.is_over());
    }
    assert!(town.listener.connections() <= 8 + 4, "{}", town.listener.connections());
}
