//! hyper's pooled client.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Request, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::service_fn;
use tower::util::BoxCloneService;

use super::Identity;
use crate::error::SoakError;
use crate::shape::Http;
use crate::wire::{CallFailed, Wire};

/// A client of whatever listens there, for requests that name their path only.
pub(crate) fn wire(identity: &Identity, to: SocketAddr, http: Http) -> Result<Wire, SoakError> {
    let config = identity.client(http)?;
    let connector = service_fn(move |_: Uri| Box::pin(connect(Arc::clone(&config), to)));
    let pool = Client::builder(TokioExecutor::new())
        .http2_only(http == Http::Two)
        .build::<_, Body>(connector);
    Ok(BoxCloneService::new(service_fn(move |mut request: Request<Body>| {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        // An address and a path that was one already make a URI.
        *request.uri_mut() = format!("http://{to}{path}").parse().unwrap_or_default();
        let calling = pool.request(request);
        async { Ok(calling.await.map_err(CallFailed::new)?.map(Body::new)) }
    })))
}

async fn connect(config: Arc<ClientConfig>, to: SocketAddr) -> io::Result<Io> {
    let tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::from(to.ip());
    Ok(Io(TokioIo::new(TlsConnector::from(config).connect(name, tcp).await?)))
}

/// A connection as hyper's pool takes it.
struct Io(TokioIo<TlsStream<TcpStream>>);

impl Connection for Io {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
