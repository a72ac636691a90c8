//! A TLS client from an address of its own, with whatever certificate it has.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use meshguard_testing::DevSvid;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::CannotRun;

/// Whether a socket can be bound to `source`: every address of 127/8 on Linux, else few.
pub(super) fn can_bind(source: Ipv4Addr) -> Result<(), CannotRun> {
    let bound = std::net::TcpListener::bind((source, 0));
    bound.map(drop).map_err(|error| CannotRun(format!("no socket at {source}: {error}")))
}

/// Connects to `to` from `source`.
pub(super) async fn connect(source: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A client that presents `svid`, or no certificate, and takes any server for the right one.
pub(super) fn config(svid: Option<&DevSvid>) -> Result<Arc<ClientConfig>, CannotRun> {
    let cannot = |what: &dyn std::fmt::Display| CannotRun(format!("no TLS client: {what}"));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| cannot(&e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    let mut config = match svid {
        None => builder.with_no_client_auth(),
        Some(svid) => {
            let pem = svid.cert_pem().as_bytes();
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            let chain = chain.map_err(|e| cannot(&e))?;
            let key = PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes());
            let key = key.map_err(|e| cannot(&e))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| cannot(&e))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Every handshake is a whole one.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// A handshake, as far as this end sees it: TLS 1.3 lets a client finish before the server has
/// looked at its certificate.
pub(super) async fn handshake(
    stream: TcpStream,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// An attacker does not care whom it attacks.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
