//! Connections that begin and never go on: of strangers from one address, and of a peer from another.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshguard_axum::core::baseline::Feature;
use meshguard_axum::core::reflex::Signal;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::sleep;

use super::intruder::{can_bind, config, connect, handshake};
use super::{Attack, CannotRun, Cure, Scenario, Scene, Target, Tries, loopback};
use crate::shop::ids::INTERN;
use crate::shop::mesh::authority;

const SOURCE: Ipv4Addr = loopback(67);
/// Where a peer is known, the loop limits only handshakes that do not finish: so this one has an
/// address of its own.
const PEERS: Ipv4Addr = loopback(68);
/// Connections at a time that never finish their handshake,
const SOCKETS: u64 = 40;
/// and those that do, with a credential that is good, and never finish their first head.
const HEADS: usize = 8;
/// Most of an HTTP/2 preface (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM";
/// The first bytes of a ClientHello of 512 bytes (RFC 8446, sections 4.1.2 and 5.1).
const BEGUN: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
/// Who is kept for so long has tied up a place among the handshakes.
const KEPT: Duration = Duration::from_millis(100);

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "slow-loris",
        about: "40 connections from 127.0.0.67 that never finish their handshake, 8 of a peer their head",
        service: "orders",
        target: Target::Address(SOURCE.into()),
        signals: &[Signal::Feature(Feature::HandshakeFailures)],
        cure: Cure::Restricted,
        suspects: &[],
        disturbs: &[],
        begin,
    }
}

fn begin(scene: &Scene<'_>) -> Result<Attack, CannotRun> {
    can_bind(SOURCE)?;
    can_bind(PEERS)?;
    let mut attack = Attack::new();
    for n in 0..SOCKETS {
        let delay = Duration::from_millis(n * 10);
        let (tries, stop) = attack.task();
        attack.tasks.spawn(dawdle(scene.town.orders_at, delay, tries, stop));
    }
    let svid = authority().map_err(|e| CannotRun(e.to_string()))?.svid(&INTERN);
    let config = config(Some(&svid.map_err(|e| CannotRun(e.to_string()))?))?;
    for _ in 0..HEADS {
        let (tries, stop) = attack.task();
        let config = Arc::clone(&config);
        attack.tasks.spawn(half_head(config, scene.town.orders_at, tries, stop));
    }
    Ok(attack)
}

async fn half_head(
    config: Arc<ClientConfig>,
    to: SocketAddr,
    tries: Arc<Tries>,
    mut stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        tries.tried();
        // It is let in, and held to the time that a head may take.
        if let Ok(stream) = connect(PEERS, to).await
            && let Ok(mut tls) = handshake(stream, &config).await
            && tls.write_all(PREFACE).await.is_ok()
        {
            let mut nothing = Vec::new();
            tokio::select! {
                _ = tls.read_to_end(&mut nothing) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn dawdle(to: SocketAddr, delay: Duration, tries: Arc<Tries>, stop: watch::Receiver<bool>) {
    sleep(delay).await;
    while !*stop.borrow() {
        tries.tried();
        let begun = Instant::now();
        if let Ok(mut stream) = connect(SOURCE, to).await
            && stream.write_all(BEGUN).await.is_ok()
        {
            // Nothing is sent to us; the end of it is what we wait for.
            let _ = stream.read(&mut [0; 64]).await;
        }
        if begun.elapsed() >= KEPT {
            tries.got_through_at(begun);
        }
        sleep(Duration::from_millis(20)).await;
    }
}
