//! The bundles of federated trust domains.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshguard_core::Policy;
use meshguard_core::identity::TrustDomain;
use meshguard_core::policy::MAX_DOMAINS;

use super::Mesh;
use crate::source::{Mark, mark};
use crate::tls::{
    Credentials, CredentialsError, CredentialsFault, Federated, Roots, Source, fault, now, read,
};

/// Whose roots the builder was given, in the order in which it was.
#[derive(Default)]
pub(super) struct Federation(Vec<Bundle>);

struct Bundle {
    domain: TrustDomain,
    roots: Arc<Roots>,
    /// Where it is read again.
    path: Option<PathBuf>,
    /// Taken before it was first read, so that no change is missed.
    seen: Mark,
}

impl Federation {
    /// Adds a domain's bundle, a PEM text.
    pub(super) fn add(&mut self, domain: &str, pem: &[u8]) -> Result<(), CredentialsError> {
        let domain = self.fresh(domain)?;
        let roots = roots(&domain, pem)?;
        self.0.push(Bundle { domain, roots, path: None, seen: None });
        Ok(())
    }

    /// Adds a domain's bundle, which is read again when it changes.
    pub(super) fn add_file(&mut self, domain: &str, path: &Path) -> Result<(), CredentialsError> {
        let domain = self.fresh(domain)?;
        let (seen, roots) = (mark(path), load(&domain, path)?);
        self.0.push(Bundle { domain, roots, path: Some(path.to_owned()), seen });
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

    /// Reads the files again: the roots, where any of them was good, and why others were not taken,
    /// in whose place those of `current` stay.
    pub(super) fn renew(&self, current: &Federated) -> (Option<Federated>, Vec<CredentialsError>) {
        let (mut renewed, mut kept) = (None, Vec::new());
        for bundle in &self.0 {
            let Some(path) = &bundle.path else { continue };
            match load(&bundle.domain, path) {
                Ok(roots) => {
                    let all = renewed.get_or_insert_with(|| current.clone());
                    all.insert(bundle.domain.clone(), roots);
                }
                Err(error) => kept.push(error),
            }
        }
        (renewed, kept)
    }

    pub(super) fn has_files(&self) -> bool {
        self.0.iter().any(|bundle| bundle.path.is_some())
    }

    /// Of each file, now.
    pub(super) fn marks(&self) -> impl Iterator<Item = Mark> {
        self.0.iter().filter_map(|bundle| bundle.path.as_deref().map(mark))
    }

    /// Of each file, before it was first read.
    pub(super) fn seen(&self) -> impl Iterator<Item = Mark> {
        self.0.iter().filter(|bundle| bundle.path.is_some()).map(|bundle| bundle.seen)
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

fn load(domain: &TrustDomain, path: &Path) -> Result<Arc<Roots>, CredentialsError> {
    read(path, Source::Federated)
        .and_then(|pem| roots(domain, &pem))
        .map_err(|error| error.of(domain.as_str()).at(Some(path)))
}

fn roots(domain: &TrustDomain, pem: &[u8]) -> Result<Arc<Roots>, CredentialsError> {
    let read = Roots::read(pem, Source::Federated, domain.as_str(), now());
    read.map(Arc::new).map_err(|error| error.of(domain.as_str()))
}
