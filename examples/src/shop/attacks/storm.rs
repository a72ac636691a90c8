//! Handshakes with wrong certificates, many of them, from one address.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use meshguard_axum::core::baseline::Feature;
use meshguard_axum::core::reflex::Signal;
use meshguard_testing::{DevCa, DevCaError, DevSvid, LeafSpec};
use rustls::ClientConfig;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio::time::interval;

use super::intruder::{can_bind, config, connect, handshake};
use super::{Attack, CannotRun, Cure, Scenario, Scene, Target, Tries, loopback};
use crate::shop::ids::{BATCH, DOMAIN};
use crate::shop::mesh::authority;

const SOURCE: Ipv4Addr = loopback(66);
/// Each kind of certificate is tried so often: a hundred handshakes a second in all.
const EVERY: Duration = Duration::from_millis(30);

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "handshake-storm",
        about: "a hundred handshakes a second with wrong certificates, from 127.0.0.66",
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
    let [foreign, expired] = certificates().map_err(|e| CannotRun(e.to_string()))?;
    let mut attack = Attack::new();
    for svid in [Some(&foreign), Some(&expired), None] {
        let (config, to) = (config(svid)?, scene.town.orders_at);
        let (tries, stop) = attack.task();
        attack.tasks.spawn(storm(config, to, tries, stop));
    }
    Ok(attack)
}

/// One of another authority, and one that has expired.
fn certificates() -> Result<[DevSvid; 2], DevCaError> {
    let foreign = DevCa::new(DOMAIN)?.svid(&BATCH)?;
    let ours = authority().map_err(|_| DevCaError::SubjectName(DOMAIN.to_owned()))?;
    Ok([foreign, ours.issue(&LeafSpec::expired(&BATCH))?])
}

async fn storm(
    config: Arc<ClientConfig>,
    to: SocketAddr,
    tries: Arc<Tries>,
    stop: watch::Receiver<bool>,
) {
    let mut ticks = interval(EVERY);
    while !*stop.borrow() {
        ticks.tick().await;
        tries.tried();
        let Ok(stream) = connect(SOURCE, to).await else { continue };
        // Where the server answers at all, it has spent a handshake on this.
        if let Ok(mut tls) = handshake(stream, &config).await {
            tries.got_through();
            let _ = tls.read(&mut [0; 16]).await;
        }
    }
}
