//! Identity on the wire: credentials, what a handshake accepts, and why it failed.
//!
//! TLS 1.3 with aws-lc-rs only, X25519MLKEM768 preferred. A workload's credentials are replaced
//! as a whole: handshakes that begin afterwards use the new ones, and listeners verify their live
//! connections again.

mod config;
mod credentials;
mod error;
mod established;
mod fault;
mod files;
mod own;
mod revocation;
mod roots;
mod verifier;
mod verify;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use meshguard_core::{Peer, SpiffeId, Timestamp};
use rustls::client::ClientConfig;
use rustls::server::{ProducesTickets, ServerConfig};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

pub use credentials::Credentials;
pub(crate) use error::{ALL, KINDS, classify, classify_io};
pub use error::{Alert, HandshakeErrorKind};
pub(crate) use fault::fault;
pub use fault::{CredentialsError, CredentialsFault, Source};
#[cfg(test)]
pub(crate) use files::MAX_PEM;
pub(crate) use files::{
    CredentialFiles, Group, Part, Pem, Texts, federated_roots, first_roots, one as one_text,
    own as own_texts,
};
pub(crate) use own::Own;
pub use revocation::Revocation;
pub(crate) use revocation::read as read_lists;
pub use roots::CLOCK_SKEW;
pub(crate) use roots::Roots;
pub(crate) use verify::peer_of;

use crate::clock::reached;
use config::{Aim, Parts, provider};
use verify::{SharedTrust, Usage};

/// Which HTTP versions a connection may speak (RFC 7301 protocol names `h2`, `http/1.1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2 only.
    H2,
    /// HTTP/1.1 only.
    Http11,
    /// HTTP/2 preferred, HTTP/1.1 too.
    Both,
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::H2 => vec![b"h2".to_vec()],
            Self::Http11 => vec![b"http/1.1".to_vec()],
            Self::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// A workload's identity in use: clones are one, and follow it through its rotations.
#[derive(Clone)]
pub(crate) struct TlsContext(Arc<Shared>);

struct Shared {
    current: ArcSwap<Generation>,
    /// Outlives the generations: clients resume through a rotation, and are verified again.
    tickets: Arc<dyn ProducesTickets>,
    revocation: Revocation,
    /// Held while a generation is replaced, so that numbers only rise.
    replacing: Mutex<()>,
    changes: watch::Sender<u64>,
}

/// One generation of credentials with all that is made from it.
pub(crate) struct Generation {
    number: u64,
    credentials: Credentials,
    trust: SharedTrust,
    outer_h2: Arc<ServerConfig>,
    outer_http11: Arc<ServerConfig>,
    outer_both: Arc<ServerConfig>,
    inner: Arc<ServerConfig>,
    outer_client: Aim,
    inner_client: Aim,
}

impl TlsContext {
    /// A context with its first generation, number 1.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn new(credentials: Credentials) -> Result<Self, CredentialsError> {
        Self::with(credentials, Revocation::default())
    }

    /// A context with its first generation, number 1.
    pub(crate) fn with(
        credentials: Credentials,
        revocation: Revocation,
    ) -> Result<Self, CredentialsError> {
        credentials.examine(reached())?;
        if revocation.unknown && credentials.lists.is_empty() {
            return Err(fault(Source::Crls, CredentialsFault::NoLists));
        }
        let tickets = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|e| unusable(&e))?;
        let first =
            Generation::new(1, credentials, revocation, &tickets).map_err(|e| unusable(&e))?;
        Ok(Self(Arc::new(Shared {
            current: ArcSwap::from_pointee(first),
            tickets,
            revocation,
            replacing: Mutex::new(()),
            changes: watch::Sender::new(1),
        })))
    }

    /// Replaces the credentials by newer ones of the same workload, all at once. Handshakes that
    /// begin afterwards use them; listeners verify their live connections again. Those that no
    /// peer would accept change nothing.
    pub(crate) fn replace(&self, credentials: Credentials) -> Result<(), CredentialsError> {
        let _held = self.0.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.0.current.load();
        if current.id() != credentials.id() {
            let (current, new) = (current.id().clone(), credentials.id().clone());
            return Err(fault(Source::Svid, CredentialsFault::OtherIdentity { current, new }));
        }
        credentials.examine(reached())?;
        let number = current.number + 1;
        let next = Generation::new(number, credentials, self.0.revocation, &self.0.tickets)
            .map_err(|e| unusable(&e))?;
        self.0.current.store(Arc::new(next));
        self.0.changes.send_replace(number);
        Ok(())
    }

    /// What is in use.
    pub(crate) fn credentials(&self) -> Credentials {
        self.0.current.load().credentials.clone()
    }

    /// The own name; the same in all generations.
    pub(crate) fn id(&self) -> SpiffeId {
        self.0.current.load().id().clone()
    }

    /// The current generation's number: 1, and 1 more with each replacement.
    pub(crate) fn generation(&self) -> u64 {
        self.0.current.load().number
    }

    /// Sees each new generation's number.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The current generation, for several uses that must agree.
    pub(crate) fn current(&self) -> Arc<Generation> {
        self.0.current.load_full()
    }

    /// For accepting connections.
    #[cfg(test)]
    pub(crate) fn outer_server(&self, alpn: Alpn) -> Arc<ServerConfig> {
        self.0.current.load().outer_server(alpn)
    }

    /// For a connection to `expect`. Keep it while [`Self::generation`] is the same: it holds the
    /// tickets. A resumed connection's chain is to be given to [`Self::verify_peer`].
    pub(crate) fn outer_client(&self, expect: &SpiffeId, alpn: Alpn) -> Arc<ClientConfig> {
        self.0.current.load().outer_client.outer(expect, alpn)
    }

    /// For accepting mg1 sessions.
    pub(crate) fn inner_server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.current.load().inner)
    }

    /// For an mg1 session with `expect`.
    pub(crate) fn inner_client(&self, expect: &SpiffeId) -> Arc<ClientConfig> {
        self.0.current.load().inner_client.inner(expect)
    }

    /// Verifies again, by the current roots and revocation lists, a chain that a handshake has
    /// accepted: leaf first. It does not look at the extended key usage, which did not change.
    pub(crate) fn verify_peer(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Peer, HandshakeErrorKind> {
        self.0.current.load().verify_peer(chain, now)
    }
}

impl Generation {
    fn new(
        number: u64,
        credentials: Credentials,
        revocation: Revocation,
        tickets: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, rustls::Error> {
        let trust = Arc::new(credentials.trust(revocation));
        let key = Arc::clone(&credentials.own.key);
        let parts = Parts { provider: Arc::new(provider()), key, trust: Arc::clone(&trust) };
        Ok(Self {
            number,
            credentials,
            trust,
            outer_h2: parts.outer_server(Alpn::H2, tickets)?,
            outer_http11: parts.outer_server(Alpn::Http11, tickets)?,
            outer_both: parts.outer_server(Alpn::Both, tickets)?,
            inner: parts.inner_server()?,
            outer_client: parts.outer_client()?,
            inner_client: parts.inner_client()?,
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn id(&self) -> &SpiffeId {
        self.credentials.id()
    }

    pub(crate) fn outer_server(&self, alpn: Alpn) -> Arc<ServerConfig> {
        Arc::clone(match alpn {
            Alpn::H2 => &self.outer_h2,
            Alpn::Http11 => &self.outer_http11,
            Alpn::Both => &self.outer_both,
        })
    }

    /// As [`TlsContext::verify_peer`].
    pub(crate) fn verify_peer(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Peer, HandshakeErrorKind> {
        let (leaf, intermediates) = chain.split_first().ok_or(HandshakeErrorKind::NoCertificate)?;
        self.trust.verify(leaf, intermediates, Usage::Again, now)
    }
}

fn unusable(error: &rustls::Error) -> CredentialsError {
    fault(Source::Svid, CredentialsFault::Unusable(error.to_string()))
}

#[cfg(test)]
mod tests;
