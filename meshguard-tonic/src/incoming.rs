//! Connections for tonic's own server.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use meshguard_tower::connection::Protocol;
use meshguard_tower::listener::Io;
use meshguard_tower::{Connection, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// The connections of a listener, for `Server::serve_with_incoming`. The server needs
/// `.layer(mesh.inbound())`: without it, its services are unguarded.
///
/// Connections that agreed on HTTP/1.1 are closed: gRPC needs HTTP/2.
#[must_use]
pub fn incoming(listener: Listener) -> Incoming {
    let connections = described(listener).into_connections();
    let stream = futures_util::stream::unfold(connections, |mut connections| async {
        loop {
            let (io, connection) = connections.accept().await?;
            if connection.protocol() == Protocol::H2 {
                return Some((MeshIo { io, connection }, connections));
            }
            tracing::info!(
                target: "meshguard::handshake",
                { peer.id = %connection.peer().id() },
                "closed: HTTP/1.1 where gRPC needs HTTP/2"
            );
        }
    });
    Incoming(Box::pin(stream))
}

/// Tells tonic's requests of their connection what tonic's own listener would tell them, so that
/// `remote_addr`, `local_addr` and `peer_certs` have their values.
pub(crate) fn described(listener: Listener) -> Listener {
    listener.welcoming(|io, connection| {
        let tls = io.tls().connect_info();
        let tcp = tls.get_ref().clone();
        connection.describe(move |extensions| {
            extensions.insert(tcp.clone());
            extensions.insert(tls.clone());
        });
    })
}

/// See [`incoming`].
pub struct Incoming(Pin<Box<dyn Stream<Item = MeshIo> + Send>>);

impl Stream for Incoming {
    type Item = io::Result<MeshIo>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.0.as_mut().poll_next(cx)).map(Ok))
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

/// An authenticated connection, as tonic's server takes it.
#[derive(Debug)]
pub struct MeshIo {
    io: Io,
    connection: Connection,
}

impl Connected for MeshIo {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}

impl AsyncRead for MeshIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for MeshIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
