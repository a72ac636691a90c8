//! What the tests of identity, listener and serving have in common.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meshguard_core::SpiffeId;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::clock::reached;
use crate::control::Gate;
use crate::dev::{DevCa, DevSvid};
use crate::limits::Limits;
use crate::listener::{HandshakeStats, Listener, Standing};
use crate::tls::{Alpn, Credentials, Roots, Source, TlsContext};

pub(crate) const ORDERS: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/orders");
pub(crate) const CHECKOUT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");

/// Whom policy allows nothing.
pub(crate) const NOBODY: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/nobody");
pub(crate) const HOP: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/hop");

/// Longer than anything here takes, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One trust domain, with `orders` as the server.
pub(crate) struct Rig {
    pub(crate) ca: DevCa,
    pub(crate) server: DevSvid,
    pub(crate) tls: TlsContext,
    pub(crate) stats: HandshakeStats,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let ca = DevCa::new("shop.example").unwrap();
        let server = ca.svid(ORDERS).unwrap();
        let tls = TlsContext::new(credentials(&ca, &server, None)).unwrap();
        Self { ca, server, tls, stats: HandshakeStats::default() }
    }

    pub(crate) async fn listen(&self, limits: Limits) -> Listener {
        self.listen_behind(limits, Arc::default()).await
    }

    pub(crate) async fn listen_behind(&self, limits: Limits, gate: Arc<Gate>) -> Listener {
        let (tls, stats) = (self.tls.clone(), self.stats.clone());
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let judge = Arc::new(|id: &SpiffeId| match id {
            _ if id == HOP => Standing::Hop,
            _ if id == NOBODY => Standing::Nothing,
            _ => Standing::Caller,
        });
        Listener::from_tcp(socket, tls, Alpn::Both, limits, stats, gate, judge).unwrap()
    }

    /// Makes the server believe that `revoked` is revoked.
    pub(crate) fn revoke(&self, revoked: &[&DevSvid]) {
        let crl = self.ca.crl_pem(revoked).unwrap();
        self.tls.replace(credentials(&self.ca, &self.server, Some(&crl))).unwrap();
    }

    /// A client of this trust domain with an ordinary SVID, as our own channel would be.
    pub(crate) fn client(&self, alpn: Alpn) -> Arc<ClientConfig> {
        let svid = self.ca.svid(CHECKOUT).unwrap();
        let tls = TlsContext::new(credentials(&self.ca, &svid, None)).unwrap();
        tls.outer_client(ORDERS, alpn)
    }

    /// A client made with rustls alone, which believes the server and presents whatever it likes.
    pub(crate) fn odd_client(&self, presents: Option<&DevSvid>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.ca.bundle_pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match presents {
            Some(svid) => {
                let chain = CertificateDer::pem_slice_iter(svid.cert_pem().as_bytes());
                let key = PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes()).unwrap();
                builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

pub(crate) fn credentials(ca: &DevCa, svid: &DevSvid, crl: Option<&str>) -> Credentials {
    let (cert, key) = (svid.cert_pem().as_bytes(), svid.key_pem().as_bytes());
    Credentials::from_pem(cert, key, ca.bundle_pem().as_bytes(), crl.map(str::as_bytes)).unwrap()
}

/// Has `credentials` believe the roots of `partner`, for its own trust domain.
pub(crate) fn federated(credentials: Credentials, partner: &DevCa) -> Credentials {
    let domain = partner.trust_domain();
    let pem = partner.bundle_pem().as_bytes();
    let roots = Roots::read(pem, Source::Federated, domain, reached()).unwrap();
    let mut federated = (*credentials.federated).clone();
    federated.insert(domain.parse().unwrap(), Arc::new(roots));
    Credentials { federated: Arc::new(federated), ..credentials }
}

pub(crate) async fn connect(
    addr: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(config).connect(name, tcp).await
}

/// Waits until `condition` holds; fails the test where it does not within [`PATIENCE`].
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never: {what}");
}
