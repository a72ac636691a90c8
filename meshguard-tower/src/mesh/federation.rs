//! The bundles of federated trust domains.

use std::path::Path;
use std::sync::Arc;

use meshguard_core::Policy;
use meshguard_core::identity::TrustDomain;
use meshguard_core::policy::MAX_DOMAINS;

use super::Mesh;
use crate::clock::reached;
use crate::files::Disk;
use crate::tls::{
    Credentials, CredentialsError, CredentialsFault, Group, Roots, Source, fault, first_roots,
};

/// Whose roots the builder was given, in the order in which it was.
#[derive(Default)]
pub(super) struct Federation(Vec<Bundle>);

struct Bundle {
    domain: TrustDomain,
    roots: Arc<Roots>,
    /// Where it is read again.
    file: Option<Group>,
}

impl Federation {
    /// Adds a domain's bundle, a PEM text.
    pub(super) fn add(&mut self, domain: &str, pem: &[u8]) -> Result<(), CredentialsError> {
        let domain = self.fresh(domain)?;
        let read = Roots::read(pem, Source::Federated, domain.as_str(), reached());
        let roots = Arc::new(read.map_err(|error| error.of(domain.as_str()))?);
        self.0.push(Bundle { domain, roots, file: None });
        Ok(())
    }

    /// Adds a domain's bundle, which is read again when it changes.
    pub(super) fn add_file(
        &mut self,
        disk: Arc<dyn Disk>,
        domain: &str,
        path: &Path,
    ) -> Result<(), CredentialsError> {
        let domain = self.fresh(domain)?;
        let mut group = Group::federated(disk, domain.clone(), path);
        let roots = Arc::new(first_roots(&mut group)?);
        self.0.push(Bundle { domain, roots, file: Some(group) });
        Ok(())
    }

    /// Credentials that believe these roots too, none of which may be of their own trust domain.
    pub(super) fn join(&self, credentials: Credentials) -> Result<Credentials, CredentialsError> {
        let own = credentials.id().trust_domain();
        if self.0.iter().any(|bundle| bundle.domain.as_str() == own) {
            return Err(refused(own, CredentialsFault::OwnDomain));
        }
        let pair = |bundle: &Bundle| (bundle.domain.clone(), Arc::clone(&bundle.roots));
        let federated = Arc::new(self.0.iter().map(pair).collect());
        Ok(Credentials { federated, ..credentials })
    }

    /// Those that are read again, in a fixed order.
    pub(super) fn groups(&mut self) -> impl Iterator<Item = &mut Group> {
        self.0.iter_mut().filter_map(|bundle| bundle.file.as_mut())
    }

    fn fresh(&self, name: &str) -> Result<TrustDomain, CredentialsError> {
        let domain: TrustDomain =
            name.parse().map_err(|error| refused(name, CredentialsFault::BadDomain(error)))?;
        if self.0.iter().any(|bundle| bundle.domain == domain) {
            return Err(refused(name, CredentialsFault::SecondBundle));
        }
        if self.0.len() >= MAX_DOMAINS {
            return Err(refused(name, CredentialsFault::TooManyDomains));
        }
        Ok(domain)
    }
}

impl Mesh {
    /// Says which trust domains a policy federates with whose roots are not known here: nobody of
    /// them gets through a handshake.
    pub(super) fn missing_roots(&self, policy: &Policy) {
        let (own, known) = (self.id().trust_domain(), self.0.tls.credentials().federated);
        let domains = policy.trust_domain().into_iter().chain(policy.federates());
        for domain in domains.filter(|d| d.as_str() != own && !known.contains_key(*d)) {
            tracing::warn!(
                target: "meshguard::identity",
                "the policy accepts callers of {domain}, and nobody can be one: its roots were not given, by federate()"
            );
        }
    }
}

fn refused(domain: &str, what: CredentialsFault) -> CredentialsError {
    fault(Source::Federated, what).of(domain)
}
