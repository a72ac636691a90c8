//! TLS on both sides: an SVID of the hop's own, chains checked against the bundle, names not.

use std::sync::Arc;

use meshguard_tower::dev::DevSvid;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};

use super::{HopError, Protocol};

const H2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

/// What a hop needs to speak TLS as itself.
#[derive(Debug)]
pub(super) struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
}

impl TlsIdentity {
    pub(super) fn new(svid: &DevSvid, bundle_pem: &str) -> Result<Self, HopError> {
        let chain = certificates(svid.cert_pem())?;
        let key =
            PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes()).map_err(HopError::Pem)?;
        let mut roots = RootCertStore::empty();
        for root in certificates(bundle_pem)? {
            roots.add(root).map_err(HopError::Tls)?;
        }
        Ok(Self { chain, key, roots: Arc::new(roots) })
    }

    /// Takes callers whose certificate chains to the bundle, over HTTP/2 and HTTP/1.1.
    pub(super) fn inbound(&self) -> Result<Arc<ServerConfig>, HopError> {
        let roots = Arc::clone(&self.roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|e| HopError::Tls(Error::General(e.to_string())))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(HopError::Tls)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(HopError::Tls)?;
        config.alpn_protocols = vec![H2.to_vec(), HTTP11.to_vec()];
        Ok(Arc::new(config))
    }

    /// Calls anyone whose certificate chains to the bundle, over `protocol`.
    pub(super) fn outbound(&self, protocol: Protocol) -> Result<Arc<ClientConfig>, HopError> {
        let algorithms = provider().signature_verification_algorithms;
        let verifier = AnyName { roots: Arc::clone(&self.roots), algorithms };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(HopError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(HopError::Tls)?;
        config.alpn_protocols = vec![alpn(protocol).to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, HopError> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(HopError::Pem)
}

/// The protocol that ALPN (RFC 7301) settled on; none means HTTP/1.1.
pub(super) fn negotiated(protocol: Option<&[u8]>) -> Protocol {
    if protocol == Some(H2) { Protocol::Http2 } else { Protocol::Http1 }
}

fn alpn(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Http1 => HTTP11,
        Protocol::Http2 => H2,
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Checks chain, validity and signatures. X.509-SVIDs name workloads by URI, and a hop takes any.
#[derive(Debug)]
struct AnyName {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let cert = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &cert,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
