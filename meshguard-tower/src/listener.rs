//! Accepting mutually authenticated connections, within limits.
//!
//! Each handshake runs in a task of its own, so that a slow one holds up nobody else. Finished
//! connections come out of [`Listener::accept`]; [`crate::serve::serve`] is the usual reader.

mod acceptor;
pub(crate) mod doors;
mod live;
mod reserve;
mod standing;
mod stats;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::connection::Connection;
use crate::control::Gate;
use crate::io::BoundedIo;
use crate::limits::Limits;
use crate::tls::{Alpn, TlsContext};

#[cfg(test)]
pub(crate) use acceptor::SHORT_PATIENCE;
pub(crate) use acceptor::first_byte;
use acceptor::{Acceptor, Kept};
#[cfg(test)]
pub(crate) use live::MAKE_ROOM;
pub(crate) use live::{LiveConnections, WeakConnections};
#[cfg(test)]
pub(crate) use reserve::{FAILED_FOR, RESERVED, RESERVED_FOR};
pub(crate) use standing::{Judge, Standing};
#[cfg(test)]
pub(crate) use standing::{TURNS_AT_ONCE, TURNS_PER_SECOND};
pub use stats::HandshakeStats;

/// Finished connections that wait for [`Listener::accept`]; more wait in their handshakes' tasks.
const HANDOVER: usize = 64;

/// A listening socket whose connections are mutually authenticated, TLS 1.3 only.
///
/// Dropping it closes the socket and ends all handshakes under way; connections that were handed
/// out live on.
#[derive(Debug)]
pub struct Listener {
    local_addr: SocketAddr,
    limits: Limits,
    accepted: mpsc::Receiver<(Io, Connection)>,
    live: LiveConnections,
    stats: HandshakeStats,
    accepting: DropGuard,
    watching: DropGuard,
    welcome: Option<Welcome>,
}

/// Is shown each connection.
struct Welcome(Box<Welcoming>);

type Welcoming = dyn Fn(&Io, &Connection) + Send + Sync;

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Welcome")
    }
}

impl Listener {
    /// Takes over a socket that listens already, for the HTTP versions of `alpn`.
    pub(crate) fn from_tcp(
        socket: TcpListener,
        tls: TlsContext,
        alpn: Alpn,
        limits: Limits,
        stats: HandshakeStats,
        gate: Arc<Gate>,
        judge: Judge,
    ) -> io::Result<Self> {
        let local_addr = socket.local_addr()?;
        let live = LiveConnections::new(stats.clone(), &limits);
        let (handover, accepted) = mpsc::channel(HANDOVER);
        let (accepting, watching) = (CancellationToken::new(), CancellationToken::new());
        let watcher = live.clone().watch(tls.clone(), tls.changes());
        tokio::spawn(watching.clone().run_until_cancelled_owned(watcher));
        let (limits_, stats_, live_) = (limits.clone(), stats.clone(), live.clone());
        let acceptor =
            Acceptor::new(tls, alpn, limits_, stats_, live_, judge, handover).behind(gate);
        tokio::spawn(Arc::new(acceptor).run(socket, accepting.clone()));
        let (accepting, watching) = (accepting.drop_guard(), watching.drop_guard());
        let welcome = None;
        Ok(Self { local_addr, limits, accepted, live, stats, accepting, watching, welcome })
    }

    /// The address it listens on, with the port that the system chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What became of its handshakes.
    #[must_use]
    pub fn stats(&self) -> &HandshakeStats {
        &self.stats
    }

    /// The next authenticated connection; `None` only where the acceptor has ended, which it does
    /// not by itself. Cancel safe.
    pub async fn accept(&mut self) -> Option<(Io, Connection)> {
        let (io, connection) = self.accepted.recv().await?;
        if let Some(Welcome(welcome)) = &self.welcome {
            welcome(&io, &connection);
        }
        Some((io, connection))
    }

    /// Shows `welcome` each connection before anything is read from it: the place to
    /// [`describe`](Connection::describe) it for a framework.
    #[must_use]
    pub fn welcoming(mut self, welcome: impl Fn(&Io, &Connection) + Send + Sync + 'static) -> Self {
        self.welcome = Some(Welcome(Box::new(welcome)));
        self
    }

    /// How many connections are live.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.live.len()
    }

    /// Its live connections.
    pub(crate) fn live(&self) -> LiveConnections {
        self.live.clone()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Closes the socket. The live connections are watched on until the guard is dropped.
    pub(crate) fn stop_accepting(self) -> DropGuard {
        let Self { accepting, watching, .. } = self;
        drop(accepting);
        watching
    }
}

/// The byte stream of an accepted connection, above TLS.
///
/// It fails once its [`Connection`] is closed or was silent for too long.
pub struct Io(Pin<Box<BoundedIo<TlsStream<TcpStream>, Kept>>>);

impl Io {
    /// The TLS stream below, to look at.
    #[must_use]
    pub fn tls(&self) -> &TlsStream<TcpStream> {
        self.0.get_ref()
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Io")
    }
}

#[cfg(test)]
mod tests;
