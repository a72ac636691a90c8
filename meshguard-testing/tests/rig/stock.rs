//! The stock stack, for controls: hyper, axum and tonic over mutual TLS, with the same credentials.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Uri, header};
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use meshguard_axum::SpiffeId;
use meshguard_testing::Protocol;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::transport::{Channel, Endpoint};

use super::{CALLEE, CALLER, ca};

/// What a client of HTTP/2 says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves `app` over HTTP/2 and HTTP/1.1 with mutual TLS, until the test's runtime ends.
pub async fn serve(app: Router) -> SocketAddr {
    serve_at("127.0.0.1:0".parse().unwrap(), app).await.0
}

/// As [`serve`], at this address, until the task is aborted; its connections end with it.
pub async fn serve_at(addr: SocketAddr, app: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(addr).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server_config()));
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http2().timer(TokioTimer::new());
    http.http1().timer(TokioTimer::new());
    let task = tokio::spawn(async move {
        let mut live = tokio::task::JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, http, app) = (acceptor.clone(), http.clone(), app.clone());
            live.spawn(async move {
                let Ok(stream) = acceptor.accept(tcp).await else { return };
                let service = TowerToHyperService::new(app);
                // How the connection ends is for the caller to see.
                drop(http.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
            });
        }
    });
    (addr, task)
}

/// Says goodbye over HTTP/2 to each connection with its first request, of which it takes nothing
/// (RFC 9113 §6.8), until the test's runtime ends.
pub async fn leaving() -> SocketAddr {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut config = server_config();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let leave = async |mut stream: tokio_rustls::server::TlsStream<TcpStream>| {
        stream.write_all(SETTINGS).await?;
        stream.read_exact(&mut [0; PREFACE.len()]).await?;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            stream.read_exact(&mut vec![0; length]).await?;
            if head[3] == HEADERS {
                stream.write_all(GOAWAY).await?;
                return stream.shutdown().await;
            }
        }
    };
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(tcp).await else { continue };
            // How the connection ends is for the caller to see.
            let _ = leave(stream).await;
        }
    });
    addr
}

/// One connection of hyper's client, of this version.
pub enum Client {
    H1(hyper::client::conn::http1::SendRequest<Body>, SocketAddr),
    H2(hyper::client::conn::http2::SendRequest<Body>, SocketAddr),
}

impl Client {
    pub async fn connect(addr: SocketAddr, protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => {
                let io = TokioIo::new(dial(addr, b"http/1.1").await.unwrap());
                let (sender, conn) = hyper::client::conn::http1::handshake(io).await.unwrap();
                tokio::spawn(conn.with_upgrades());
                Self::H1(sender, addr)
            }
            Protocol::Http2 => {
                let io = TokioIo::new(dial(addr, b"h2").await.unwrap());
                let exec = TokioExecutor::new();
                let (sender, conn) = hyper::client::conn::http2::handshake(exec, io).await.unwrap();
                tokio::spawn(conn);
                Self::H2(sender, addr)
            }
        }
    }

    /// Sends a request whose URI needs its path only.
    pub async fn send(&mut self, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::H1(sender, addr) => {
                sender.ready().await?;
                let host = HeaderValue::from_str(&addr.to_string()).unwrap();
                request.headers_mut().entry(header::HOST).or_insert(host);
                sender.send_request(request).await
            }
            Self::H2(sender, addr) => {
                sender.ready().await?;
                let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
                let uri: Uri = format!("https://{addr}{path}").parse().unwrap();
                *request.uri_mut() = uri;
                sender.send_request(request).await
            }
        }
    }
}

/// tonic's own channel, over mutual TLS; it connects again by itself.
pub fn channel(addr: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).unwrap();
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| async move {
        dial(addr, b"h2").await.map(TokioIo::new)
    }))
}

/// A connection to [`CALLEE`] as [`CALLER`], without HTTP.
pub async fn dial(addr: SocketAddr, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::new(client_config(alpn)));
    connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await
}

fn server_config() -> ServerConfig {
    let (chain, key, roots) = credentials(&CALLEE);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn client_config(alpn: &[u8]) -> ClientConfig {
    let (chain, key, roots) = credentials(&CALLER);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

type Credentials = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, RootCertStore);

fn credentials(id: &SpiffeId) -> Credentials {
    let ca = ca();
    let svid = ca.svid(id).unwrap();
    let chain = CertificateDer::pem_slice_iter(svid.cert_pem().as_bytes());
    let key = PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.bundle_pem().as_bytes()).unwrap()).unwrap();
    (chain.map(Result::unwrap).collect(), key, roots)
}
