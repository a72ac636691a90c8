//! The accept loop and its handshakes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use meshguard_core::baseline::EdgeKey;
use rustls::HandshakeKind;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::doors::{Doors, Place};
use super::live::{Chain, LiveConnections, Registered};
use super::reserve::{RESERVED_FOR, Reserve, Reserved};
use super::standing::{Judge, Standing, Turns};
use super::{HandshakeStats, Io};
use crate::clock::{reached, steady};
use crate::connection::{Connection, Ends, Protocol};
use crate::control::{Gate, Stopped};
use crate::io::{BoundedIo, Terms};
use crate::limits::Limits;
use crate::observe::{Behind, Tally, source};
use crate::tls::{Alpn, Generation, HandshakeErrorKind, TlsContext, classify_io, peer_of};

/// The pause after an accept error that may last (out of descriptors), doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// A connection waits so long for its peer's first byte where half of such places are taken.
pub(crate) const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// Else it waits on, and looks again after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The HTTP/2 connection preface, `PRI * HTTP/2.0…` (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// Numbers connections, over all listeners of the process.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(crate) struct Acceptor {
    tls: TlsContext,
    alpn: Alpn,
    stats: HandshakeStats,
    live: LiveConnections,
    judge: Judge,
    turns: Turns,
    handover: mpsc::Sender<(Io, Connection)>,
    /// Connections before their first byte.
    silent: Arc<Doors<IpAddr>>,
    /// Handshakes under way.
    pending: Arc<Doors<IpAddr>>,
    /// Handshakes from addresses that are restricted, and known.
    reserve: Arc<Reserve>,
    limits: Limits,
    gate: Arc<Gate>,
}

/// What lasts as long as a connection's byte stream.
pub(crate) struct Kept {
    _registered: Registered,
    _behind: Behind,
}

impl Acceptor {
    pub(crate) fn new(
        tls: TlsContext,
        alpn: Alpn,
        limits: Limits,
        stats: HandshakeStats,
        live: LiveConnections,
        judge: Judge,
        handover: mpsc::Sender<(Io, Connection)>,
    ) -> Self {
        Self {
            tls,
            alpn,
            turns: Turns::new(stats.clone()),
            stats,
            live,
            judge,
            handover,
            silent: Doors::new(limits.silent, limits.silent),
            pending: Doors::new(limits.pending_handshakes, limits.pending_per_source),
            reserve: Arc::default(),
            limits,
            gate: Arc::default(),
        }
    }

    /// Measures handshakes by their address, and lets in whom the loop lets in.
    pub(crate) fn behind(mut self, gate: Arc<Gate>) -> Self {
        self.gate = gate;
        self
    }

    /// Accepts until `stop`; no error ends it.
    pub(crate) async fn run(self: Arc<Self>, socket: TcpListener, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        while let Some(accepted) = stop.run_until_cancelled(socket.accept()).await {
            match accepted {
                Ok((tcp, remote)) => {
                    pause = FIRST_PAUSE;
                    self.admit(tcp, remote, &stop);
                }
                Err(error) => {
                    self.stats.count_accept_error();
                    tracing::warn!(target: "meshguard::handshake", %error, "accept failed");
                    if stop.run_until_cancelled(pause_after(&error, &mut pause)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Begins a handshake, or sheds the connection where there is no room for it.
    fn admit(self: &Arc<Self>, tcp: TcpStream, remote: SocketAddr, stop: &CancellationToken) {
        let Ok(reserved) = self.pass(remote) else {
            return self.stats.count_failed(HandshakeErrorKind::Restricted);
        };
        let (acceptor, silent) = (Arc::clone(self), self.silent.enter(remote.ip()));
        let handshake = async move {
            let limit = acceptor.limits.handshake_timeout;
            let limit = if reserved.is_some() { limit.min(RESERVED_FOR) } else { limit };
            let done = match first_byte(&tcp, &silent, limit).await {
                Ok(false) => Ok(None),
                Ok(true) => {
                    let pending = acceptor.pending.enter(remote.ip());
                    drop(silent);
                    acceptor.in_time(tcp, remote, &pending, limit).await.map(Some)
                }
                Err(kind) => Err(kind),
            };
            match done {
                Ok(None) => acceptor.stats.count_failed(HandshakeErrorKind::Disconnected),
                Ok(Some(done)) => {
                    drop(reserved);
                    acceptor.completed(&done.1);
                    // An error means that the listener is gone, and the connection with it.
                    drop(acceptor.handover.send(done).await);
                }
                Err(kind) => {
                    acceptor.refuse(kind, remote);
                    if let Some(reserved) = reserved {
                        reserved.fail().await;
                    }
                }
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(handshake));
    }

    /// Whether a connection from there may be made. What is in force on an address holds for
    /// handshakes that are not finished, where a peer was authenticated there: they have few places.
    fn pass(&self, remote: SocketAddr) -> Result<Option<Reserved>, Stopped> {
        let from = source(remote.ip());
        let Err(stopped) = self.gate.overlay().admits_address(from) else { return Ok(None) };
        let known = self.gate.edges.find(&EdgeKey::Address(from));
        if known.is_some_and(|tally| tally.is_known(steady()))
            && let Some(reserved) = self.reserve.enter(from)
        {
            return Ok(Some(reserved));
        }
        tracing::debug!(target: "meshguard::handshake", { peer.addr = %remote }, "{stopped}");
        Err(stopped)
    }

    async fn in_time(
        &self,
        tcp: TcpStream,
        remote: SocketAddr,
        place: &Place<IpAddr>,
        limit: Duration,
    ) -> Result<(Io, Connection), HandshakeErrorKind> {
        tokio::select! {
            done = timeout(limit, self.handshake(tcp, remote)) => {
                done.unwrap_or(Err(HandshakeErrorKind::Timeout))
            }
            () = place.evicted() => Err(HandshakeErrorKind::Overloaded),
        }
    }

    async fn handshake(
        &self,
        tcp: TcpStream,
        remote: SocketAddr,
    ) -> Result<(Io, Connection), HandshakeErrorKind> {
        tcp.set_nodelay(true).map_err(|error| classify_io(&error))?;
        let generation = self.tls.current();
        let acceptor = TlsAcceptor::from(generation.outer_server(self.alpn));
        let stream = acceptor.accept(tcp).await.map_err(|error| classify_io(&error))?;
        self.admit_peer(stream, remote, &generation)
    }

    /// Decides on a complete handshake whether it is a connection.
    fn admit_peer(
        &self,
        stream: TlsStream<TcpStream>,
        remote: SocketAddr,
        generation: &Generation,
    ) -> Result<(Io, Connection), HandshakeErrorKind> {
        let (tcp, tls) = stream.get_ref();
        let local = tcp.local_addr().map_err(|error| classify_io(&error))?;
        let ends = Ends { remote, local, server_name: tls.server_name().map(Into::into) };
        let protocol = match tls.alpn_protocol() {
            Some(b"h2") => Protocol::H2,
            // Who names none speaks HTTP/1.1, as nginx does to what it proxies to.
            Some(b"http/1.1") | None => Protocol::H1,
            Some(_) => return Err(HandshakeErrorKind::NoAlpn),
        };
        let chain = Chain::from(tls.peer_certificates().unwrap_or_default());
        let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
        let leaf = chain.first().ok_or(HandshakeErrorKind::NoCertificate)?;
        let end = CancellationToken::new();
        let id = NEXT_ID.fetch_add(1, Relaxed);
        let peer = peer_of(leaf)?;
        let standing = (self.judge)(peer.id());
        let connection = Connection::new(id, peer, ends, protocol, standing, end.clone());
        let registered = self.live.register(connection.clone(), Arc::clone(&chain));
        let registered = registered.ok_or(HandshakeErrorKind::Overloaded)?;
        // rustls runs no verifier on resumption. And credentials replaced during the handshake:
        // before the entry above, it is seen here; after it, the sweep sees the entry.
        if resumed || self.tls.generation() != generation.number() {
            self.tls.verify_peer(&chain, reached())?;
        }
        if standing == Standing::Nothing && !self.turns.take(&connection) {
            connection.turn_away();
        }
        let opening = (protocol == Protocol::H2).then_some((PREFACE, self.limits.head_timeout));
        let activity = Arc::clone(connection.activity());
        let terms = Terms { end, idle: self.limits.idle_timeout, opening, activity };
        let behind = Behind::new(self.tally(remote), connection.peer().id().clone(), steady());
        let kept = Kept { _registered: registered, _behind: behind };
        Ok((Io(Box::pin(BoundedIo::new(stream, terms, kept))), connection))
    }

    fn completed(&self, connection: &Connection) {
        self.stats.count_completed();
        let tally = self.tally(connection.remote_addr());
        tally.handshake_completed();
    }

    fn tally(&self, remote: SocketAddr) -> Arc<Tally> {
        self.gate.edges.get(&EdgeKey::Address(source(remote.ip())))
    }

    fn refuse(&self, kind: HandshakeErrorKind, remote: SocketAddr) {
        self.stats.count_failed(kind);
        // What was shed for want of room, or for this side's own fault, is nobody else's; and
        // what was under way when its address was cut off says nothing of what gets through now.
        let own = matches!(kind, HandshakeErrorKind::Overloaded | HandshakeErrorKind::LocalFault);
        if !own && !self.gate.overlay().cuts_address(source(remote.ip())) {
            self.tally(remote).handshake_failed();
        }
        tracing::info!(
            target: "meshguard::handshake",
            { peer.addr = %remote, handshake.error = %kind },
            "handshake failed"
        );
    }
}

/// Waits for the peer's first byte; `false` where it has closed or reset without a word, as the
/// health checks of balancers do: that is no handshake.
pub(crate) async fn first_byte(
    tcp: &TcpStream,
    place: &Place<IpAddr>,
    limit: Duration,
) -> Result<bool, HandshakeErrorKind> {
    let first = async { matches!(tcp.peek(&mut [0]).await, Ok(1..)) };
    let patience = async {
        let until = Instant::now() + limit;
        sleep(SHORT_PATIENCE.min(limit)).await;
        while Instant::now() < until && !place.is_pressed() {
            sleep(LOOK_AGAIN.min(limit)).await;
        }
    };
    tokio::select! {
        biased;
        came = first => Ok(came),
        () = place.evicted() => Err(HandshakeErrorKind::Overloaded),
        () = patience => Err(HandshakeErrorKind::Timeout),
    }
}

/// Waits a while where the error is not that of one connection.
async fn pause_after(error: &io::Error, pause: &mut Duration) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    let of_one = [ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted];
    if !of_one.contains(&error.kind()) {
        sleep(*pause).await;
        *pause = (*pause * 2).min(LAST_PAUSE);
    }
}
