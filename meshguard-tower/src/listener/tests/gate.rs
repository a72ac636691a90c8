//! What the loop sees of an address, and does to it.

use std::sync::Arc;

use meshguard_core::Timestamp;
use meshguard_core::baseline::{EdgeKey, Settings, Window};
use meshguard_core::control::Loop;
use meshguard_core::reflex::{ActionKind, Plan, Reflex, Signal, Step, Trigger};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::RESERVED;
use crate::clock::steady;
use crate::control::{Gate, Overlay};
use crate::limits::Limits;
use crate::rig::{PATIENCE, Rig, connect, eventually};
use crate::tls::{Alpn, HandshakeErrorKind as Kind};

fn address() -> EdgeKey {
    EdgeKey::Address([127, 0, 0, 1].into())
}

/// What is in force where our own address has forged something.
fn cut_off() -> Overlay {
    let on = Trigger::new(Signal::Forged, None);
    let actions = vec![ActionKind::Quarantine];
    let step = Step { after: Default::default(), unless_falling: false, actions };
    let ttl = Reflex::DEFAULT_TTL;
    let reflex = Reflex { name: "forged".into(), on, steps: vec![step], ttl };
    let mut plan = Plan { reflexes: vec![reflex], ..Plan::default() };
    plan.governor.max_share = 1.0;
    plan.governor.min_peers = 0;
    let mut state = Loop::new(Settings::default(), plan);
    let window = Window { start: steady(), end: steady(), handshakes: 10, ..Window::default() };
    state.handle_window(&address(), &window);
    state.handle_signal(&address(), Signal::Forged, "by this test", steady());
    let control = state.control();
    assert!(control.restriction(&address()).is_some_and(|r| r.quarantine));
    Overlay::new(control.restrictions(), control.trusted(), 0.5, &Overlay::default())
}

#[tokio::test]
async fn handshakes_are_measured_by_the_address_they_come_from() {
    let (rig, gate) = (Rig::new(), Arc::<Gate>::default());
    let mut listener = rig.listen_behind(Limits::default(), Arc::clone(&gate)).await;
    let addr = listener.local_addr();
    let _stream = connect(addr, rig.client(Alpn::Both)).await.unwrap();
    timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    drop(connect(addr, Arc::new(rig.odd_client(None))).await);
    eventually("the refusal is counted", || !rig.stats.snapshot().is_empty()).await;
    let tally = gate.edges.get(&address());
    eventually("both are measured", || tally.events() == 2).await;
    let window = tally.take(Timestamp::EPOCH, steady());
    assert_eq!((window.handshakes, window.handshake_failures, window.peers), (2, 1, 1));
}

#[tokio::test]
async fn an_address_that_is_cut_off_is_closed_before_its_handshake_and_is_not_measured() {
    let (rig, gate) = (Rig::new(), Arc::<Gate>::default());
    let listener = rig.listen_behind(Limits::default(), Arc::clone(&gate)).await;
    gate.put(Arc::new(cut_off()));
    let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
    let read = timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
    assert!(!matches!(read, Ok(1..)));
    assert_eq!(rig.stats.snapshot(), [(Kind::Restricted, 1)]);
    assert_eq!((gate.edges.get(&address()).events(), listener.connections()), (0, 0));
    gate.put(Arc::default());
    connect(listener.local_addr(), rig.client(Alpn::Both)).await.unwrap();
}

#[tokio::test]
async fn where_a_peer_was_authenticated_only_unfinished_handshakes_are_limited() {
    let (rig, gate) = (Rig::new(), Arc::<Gate>::default());
    let mut listener = rig.listen_behind(Limits::default(), Arc::clone(&gate)).await;
    let addr = listener.local_addr();
    let connects = || connect(addr, rig.client(Alpn::Both));
    drop(connects().await.unwrap());
    timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    gate.put(Arc::new(cut_off()));
    // A handshake that finishes gives the place back.
    for _ in 0..2 * RESERVED {
        drop(connects().await.unwrap());
        timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    }
    assert_eq!(rig.stats.failed(Kind::Restricted), 0);
    // Who does not holds one, for a while.
    let mut silent = Vec::new();
    for _ in 0..RESERVED {
        silent.push(TcpStream::connect(addr).await.unwrap());
    }
    let refused = async { while connects().await.is_ok() {} };
    timeout(PATIENCE, refused).await.unwrap();
    eventually("one was refused", || rig.stats.failed(Kind::Restricted) > 0).await;
    eventually("they ran out of time", || rig.stats.failed(Kind::Timeout) >= RESERVED as u64).await;
    drop(connects().await.unwrap());
    let window = gate.edges.get(&address()).take(Timestamp::EPOCH, steady());
    assert_eq!((window.handshake_failures, window.peers), (0, 1));
}
