//! rustls configurations: the outer ones of connections, and the inner ones of mg1 sessions.
//!
//! The two families share nothing but the credential. Clones of a configuration share its ticket
//! store, and a resumed handshake runs no verifier: an inner configuration cloned from an outer
//! one would let a revoked certificate pass.

use std::sync::Arc;

use meshguard_core::SpiffeId;
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;

use super::Alpn;
use super::verifier::{InboundVerifier, OutboundVerifier};
use super::verify::SharedTrust;
use crate::clock::Reached;

/// Sessions that one outer client configuration remembers; a channel has one callee.
const CLIENT_SESSIONS: usize = 32;
/// The application protocol of inner handshakes (delivery protocol, section 2).
pub(crate) const INNER_ALPN: &[u8] = b"meshguard/1";

/// The provider of all cryptography, passed on explicitly: never the process's default.
pub(crate) fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// What every configuration of one generation is made from.
pub(crate) struct Parts {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) trust: SharedTrust,
}

impl Parts {
    /// For connections: resumption by tickets, which the listener checks again.
    pub(crate) fn outer_server(
        &self,
        alpn: Alpn,
        tickets: &Arc<dyn ProducesTickets>,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = self.server()?;
        config.alpn_protocols = alpn.protocols();
        config.ticketer = Arc::clone(tickets);
        Ok(Arc::new(config))
    }

    /// For mg1 sessions: nothing is ever resumed.
    pub(crate) fn inner_server(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = self.server()?;
        config.alpn_protocols = vec![INNER_ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// For connections, until [`Aim::outer`] gives it a callee.
    pub(crate) fn outer_client(&self) -> Result<Aim, rustls::Error> {
        self.client()
    }

    /// For mg1 sessions, until [`Aim::inner`] gives it a callee.
    pub(crate) fn inner_client(&self) -> Result<Aim, rustls::Error> {
        let mut aim = self.client()?;
        aim.base.alpn_protocols = vec![INNER_ALPN.to_vec()];
        Ok(aim)
    }

    /// A configuration that resumes nothing and takes no early data.
    fn server(&self) -> Result<ServerConfig, rustls::Error> {
        let mut config =
            ServerConfig::builder_with_details(Arc::clone(&self.provider), Arc::new(Reached))
                .with_protocol_versions(&[&TLS13])?
                .with_client_cert_verifier(Arc::new(InboundVerifier(Arc::clone(&self.trust))))
                .with_cert_resolver(self.resolver());
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// A configuration that resumes nothing and sends no early data.
    fn client(&self) -> Result<Aim, rustls::Error> {
        let trust = Arc::clone(&self.trust);
        let verifier = OutboundVerifier { expect: trust.own.clone(), trust };
        let mut base =
            ClientConfig::builder_with_details(Arc::clone(&self.provider), Arc::new(Reached))
                .with_protocol_versions(&[&TLS13])?
                .dangerous() // only in name: our verifier checks chain, revocation and identity
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_client_cert_resolver(self.resolver());
        base.resumption = Resumption::disabled();
        base.enable_early_data = false;
        Ok(Aim { base, trust: Arc::clone(&self.trust) })
    }

    fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.key)))
    }
}

/// A client configuration that lacks nothing but its callee. It has no ticket store, so its
/// copies share none.
pub(crate) struct Aim {
    base: ClientConfig,
    trust: SharedTrust,
}

impl Aim {
    /// For connections to `expect`, with a ticket store of its own.
    pub(crate) fn outer(&self, expect: &SpiffeId, alpn: Alpn) -> Arc<ClientConfig> {
        let mut config = self.at(expect);
        config.alpn_protocols = alpn.protocols();
        config.resumption = Resumption::in_memory_sessions(CLIENT_SESSIONS);
        Arc::new(config)
    }

    /// For mg1 sessions with `expect`.
    pub(crate) fn inner(&self, expect: &SpiffeId) -> Arc<ClientConfig> {
        Arc::new(self.at(expect))
    }

    fn at(&self, expect: &SpiffeId) -> ClientConfig {
        let mut config = self.base.clone();
        let verifier = OutboundVerifier { trust: Arc::clone(&self.trust), expect: expect.clone() };
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        config
    }
}
