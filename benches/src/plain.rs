//! The same service without meshguard: hyper over tokio-rustls, as its users write it.
//!
//! Credentials and settings are those of the mesh's listener, so that what differs is the mesh.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use hyper::client::conn::http2::SendRequest;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use meshguard_tower::core::SpiffeId;
use meshguard_tower::{dev, limits};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Error;
use crate::variant::{CALLEE, CALLER};

/// Serves `router` to all who have a certificate of the trust domain, until it is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router) -> Result<(), Error> {
    let acceptor = TlsAcceptor::from(Arc::new(server_config()?));
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(limits::KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(limits::KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(limits::MAX_CONCURRENT_STREAMS)
        .max_header_list_size(limits::MAX_HEAD);
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let (acceptor, http, router) = (acceptor.clone(), http.clone(), router.clone());
        tokio::spawn(async move {
            let stream = acceptor.accept(tcp).await?;
            let service = TowerToHyperService::new(router);
            http.serve_connection(TokioIo::new(stream), service).await?;
            Ok::<_, Error>(())
        });
    }
}

/// One HTTP/2 connection, with the settings of the mesh's channels.
pub(crate) async fn connect(addr: std::net::SocketAddr) -> Result<SendRequest<Body>, Error> {
    let tcp = TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::new(client_config()?));
    let stream = connector.connect(ServerName::try_from("localhost")?, tcp).await?;
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(2 * 1024 * 1024)
        .initial_connection_window_size(16 * 1024 * 1024)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn server_config() -> Result<ServerConfig, Error> {
    let (chain, key, roots) = credentials(CALLEE)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = Arc::new(roots);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier.build()?)
        .with_single_cert(chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn client_config() -> Result<ClientConfig, Error> {
    let (chain, key, roots) = credentials(CALLER)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

type Credentials = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, RootCertStore);

fn credentials(id: &str) -> Result<Credentials, Error> {
    let id: SpiffeId = id.parse()?;
    let ca = dev::shared(id.trust_domain())?;
    let svid = ca.svid(&id)?;
    let chain = CertificateDer::pem_slice_iter(svid.cert_pem().as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes())?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.bundle_pem().as_bytes())?)?;
    Ok((chain, key, roots))
}
