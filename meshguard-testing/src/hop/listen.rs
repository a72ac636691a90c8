//! The hop's connections: accepting callers, calling the callee.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::builder::{HopError, Protocol, Transport};
use super::io::HopIo;
use super::tls::{TlsIdentity, negotiated};
use super::{Shared, h1, h2};

const MAX_CONNECTIONS: usize = 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Before the next try where the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How connections are made on both sides.
pub(super) enum Wire {
    Plain(Protocol),
    Tls { inbound: Arc<ServerConfig>, http1: Arc<ClientConfig>, http2: Arc<ClientConfig> },
}

impl Wire {
    pub(super) fn new(transport: &Transport) -> Result<Self, HopError> {
        match transport {
            Transport::Plain(protocol) => Ok(Self::Plain(*protocol)),
            Transport::Tls { svid, bundle_pem } => {
                let identity = TlsIdentity::new(svid, bundle_pem)?;
                Ok(Self::Tls {
                    inbound: identity.inbound()?,
                    http1: identity.outbound(Protocol::Http1)?,
                    http2: identity.outbound(Protocol::Http2)?,
                })
            }
        }
    }

    pub(super) async fn connect(&self, to: SocketAddr, protocol: Protocol) -> io::Result<HopIo> {
        let tcp = TcpStream::connect(to).await?;
        tcp.set_nodelay(true)?;
        let config = match (self, protocol) {
            (Self::Plain(_), _) => return Ok(HopIo::new(tcp)),
            (Self::Tls { http1, .. }, Protocol::Http1) => http1,
            (Self::Tls { http2, .. }, Protocol::Http2) => http2,
        };
        let name = ServerName::from(std::net::IpAddr::from(std::net::Ipv4Addr::LOCALHOST));
        let connector = TlsConnector::from(Arc::clone(config));
        let tls = timeout(HANDSHAKE, connector.connect(name, tcp)).await??;
        if negotiated(tls.get_ref().1.alpn_protocol()) != protocol {
            return Err(io::Error::other("the callee does not speak the caller's protocol"));
        }
        Ok(HopIo::new(tls))
    }

    async fn accept(&self, tcp: TcpStream) -> io::Result<(Protocol, HopIo)> {
        tcp.set_nodelay(true)?;
        match self {
            Self::Plain(protocol) => Ok((*protocol, HopIo::new(tcp))),
            Self::Tls { inbound, .. } => {
                let acceptor = TlsAcceptor::from(Arc::clone(inbound));
                let tls = timeout(HANDSHAKE, acceptor.accept(tcp)).await??;
                Ok((negotiated(tls.get_ref().1.alpn_protocol()), HopIo::new(tls)))
            }
        }
    }
}

/// Serves every caller, each connection in a task.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((tcp, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let serving = Arc::clone(&shared);
        shared.tasks.spawn(async move {
            match serving.wire.accept(tcp).await {
                Ok((Protocol::Http1, io)) => h1::serve(serving, io).await,
                Ok((Protocol::Http2, io)) => h2::serve(serving, io).await,
                Err(_) => {} // a caller that this hop does not take sees its handshake fail
            }
            drop(permit);
        });
    }
}
