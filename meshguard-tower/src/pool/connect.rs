//! From a name to a connection that has proved who is at its other end.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Version;
use rustls::HandshakeKind;
use rustls::client::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::binding::{Binding, Watched};
use super::limits::{MAX_ADDRESSES, PoolLimits};
use super::{ConnectError, Target, Via};
use crate::clock::reached;
use crate::tls::{HandshakeErrorKind, TlsContext, classify_io};

/// Makes connections to one target.
pub(crate) struct Dialer {
    pub(crate) target: Target,
    pub(crate) limits: PoolLimits,
    tls: TlsContext,
    /// Kept while the generation is the same: it holds the tickets.
    aim: Mutex<Option<Aim>>,
    /// Connections whose tasks run.
    live: watch::Sender<usize>,
}

/// A connection's task runs until this is dropped.
pub(super) struct Live(watch::Sender<usize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.send_modify(|live| *live -= 1);
    }
}

#[derive(Clone)]
struct Aim {
    generation: u64,
    config: Arc<ClientConfig>,
}

/// A connection on which nothing was said yet.
pub(crate) struct Link {
    pub(crate) stream: Watched<TlsStream<TcpStream>>,
    pub(crate) proof: Proof,
}

/// What a connection was made with, and what came of it.
#[derive(Clone)]
pub(crate) struct Proof {
    pub(crate) via: Via,
    pub(crate) binding: Arc<Binding>,
    generation: u64,
}

impl Dialer {
    pub(crate) fn new(tls: TlsContext, target: Target, limits: PoolLimits) -> Self {
        Self { target, limits, tls, aim: Mutex::new(None), live: watch::Sender::new(0) }
    }

    /// A connection's task begins.
    pub(super) fn live(&self) -> Live {
        self.live.send_modify(|live| *live += 1);
        Live(self.live.clone())
    }

    /// Waits until no connection's task runs.
    pub(super) async fn deserted(&self) {
        // The sender is here.
        let _ = self.live.subscribe().wait_for(|live| *live == 0).await;
    }

    /// Whether a connection can carry another request: it was made with the credentials in use,
    /// and its peer's certificate has not expired.
    pub(crate) fn is_current(&self, proof: &Proof) -> bool {
        proof.generation == self.generation() && proof.via.peer.not_after() > reached()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.tls.generation()
    }

    /// Connects by TCP and TLS, and checks who answered.
    pub(crate) async fn link(&self) -> Result<Link, ConnectError> {
        let host = bare(&self.target.host);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_invalid| ConnectError::InvalidHost(self.target.host.clone()))?;
        let tcp = self.tcp(host).await?;
        let aim = self.aim();
        let handshake = TlsConnector::from(aim.config).connect(name, tcp);
        let stream = self
            .in_time(handshake)
            .await?
            .map_err(|error| ConnectError::Handshake(classify_io(&error)))?;
        let via = self.proved(&stream, aim.generation).map_err(ConnectError::Handshake)?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        let binding = Arc::new(Binding::new(resumed));
        let stream = Watched::new(stream, Arc::clone(&binding));
        Ok(Link { stream, proof: Proof { via, binding, generation: aim.generation } })
    }

    /// `step` within the time for handshakes.
    pub(crate) async fn in_time<F: Future>(&self, step: F) -> Result<F::Output, ConnectError> {
        timeout(self.limits.handshake_timeout, step)
            .await
            .map_err(|_elapsed| ConnectError::Handshake(HandshakeErrorKind::Timeout))
    }

    async fn tcp(&self, host: &str) -> Result<TcpStream, ConnectError> {
        let end = Instant::now() + self.limits.connect_timeout;
        let addresses = match self.target.connect_to {
            Some(address) => vec![address],
            None => timeout_at(end, resolve(host, self.target.port))
                .await
                .map_err(|_elapsed| ConnectError::Timeout)??,
        };
        let tcp = first(&addresses, end).await?;
        // Failing to set it costs time, not correctness.
        drop(tcp.set_nodelay(true));
        Ok(tcp)
    }

    fn aim(&self) -> Aim {
        // Read before the configuration is made: should it be made with a newer generation, the
        // next call makes it again.
        let generation = self.generation();
        let mut aim = self.aim.lock().unwrap_or_else(PoisonError::into_inner);
        match &*aim {
            Some(aim) if aim.generation == generation => aim.clone(),
            _ => {
                let config = self.tls.outer_client(&self.target.expect, self.target.alpn);
                aim.insert(Aim { generation, config }).clone()
            }
        }
    }

    /// The next handshake is a full one.
    pub(crate) fn forget_tickets(&self) {
        *self.aim.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Who answered, and what it speaks. Verified again where the credentials were replaced while
    /// the handshake went on.
    fn proved(
        &self,
        stream: &TlsStream<TcpStream>,
        generation: u64,
    ) -> Result<Via, HandshakeErrorKind> {
        let connection = stream.get_ref().1;
        let version = match connection.alpn_protocol() {
            Some(b"h2") => Version::HTTP_2,
            Some(b"http/1.1") | None => Version::HTTP_11,
            Some(_) => return Err(HandshakeErrorKind::NoAlpn),
        };
        let peer = self.tls.outer_peer(connection, &self.target.expect)?;
        if generation != self.generation() {
            let chain = connection.peer_certificates().unwrap_or_default();
            self.tls.verify_peer(chain, reached())?;
        }
        Ok(Via { peer, version })
    }
}

/// An IPv6 address without the brackets that URIs put around it (RFC 3986, section 3.2.2).
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = tokio::net::lookup_host((host, port)).await.map_err(unresolved)?;
    let addresses: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(unresolved(io::ErrorKind::NotFound.into()));
    }
    Ok(addresses)
}

/// The first address that accepts. One that is silent gets its share of what time is left, so the
/// next ones get theirs.
async fn first(addresses: &[SocketAddr], end: Instant) -> Result<TcpStream, ConnectError> {
    let mut last = ConnectError::Timeout;
    for (tried, address) in addresses.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        match timeout(share(left, addresses.len() - tried), TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = ConnectError::Connect(Arc::new(error)),
            Err(_elapsed) => last = ConnectError::Timeout,
        }
    }
    Err(last)
}

fn share(left: Duration, among: usize) -> Duration {
    left / u32::try_from(among).unwrap_or(u32::MAX).max(1)
}

fn unresolved(error: io::Error) -> ConnectError {
    ConnectError::Resolve(Arc::new(error))
}

#[cfg(test)]
mod tests;
