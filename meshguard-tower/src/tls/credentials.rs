//! A workload's credentials, parsed and checked once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use meshguard_core::identity::TrustDomain;
use meshguard_core::{SpiffeId, Timestamp};
use rustls_pki_types::pem::PemObject;

use super::fault::{CredentialsError, CredentialsFault, Source, fault};
use super::files::CredentialFiles;
use super::own::Own;
use super::provider;
use super::revocation::{self, Revocation, RevocationList};
use super::roots::Roots;
use super::verify::{Trust, Usage};
use crate::clock::reached;
use crate::files::System;

/// The roots of trust domains other than the own one.
pub(crate) type Federated = BTreeMap<TrustDomain, Arc<Roots>>;

/// An X.509-SVID with its private key, the roots of its trust domain, and what they revoked.
///
/// The PEM form of the key is wiped after parsing, and there is no `Debug`. Cloning shares all of
/// it.
#[derive(Clone)]
pub struct Credentials {
    pub(crate) own: Own,
    pub(crate) roots: Arc<Roots>,
    pub(crate) lists: Arc<[RevocationList]>,
    pub(crate) federated: Arc<Federated>,
}

impl Credentials {
    /// From PEM texts: the SVID (leaf first, then its intermediates), its private key (PKCS #8,
    /// SEC 1 or PKCS #1), the root certificates of its trust domain, and revocation lists, if any.
    ///
    /// # Errors
    /// What is wrong, and in which of the four. Whatever would have every peer refuse the SVID
    /// is wrong: see [`CredentialsFault`].
    pub fn from_pem(
        svid: &[u8],
        key: &[u8],
        bundle: &[u8],
        crls: Option<&[u8]>,
    ) -> Result<Self, CredentialsError> {
        let (own, now) = (Own::read(svid, key)?, reached());
        let roots = Roots::read(bundle, Source::Bundle, own.id.trust_domain(), now)?;
        let lists = crls.map_or_else(|| Ok(Vec::new()), |pem| revocation::read(pem, now))?;
        let credentials =
            Self { own, roots: Arc::new(roots), lists: lists.into(), federated: Arc::default() };
        credentials.examine(now)?;
        Ok(credentials)
    }

    /// From files with those PEM texts; reads them now, blocking. Where one has changed within the
    /// last second it is looked at again a tenth of a second later, and read once it is still.
    ///
    /// # Errors
    /// As [`Self::from_pem`], or where a file cannot be read, or is being written all the time; the
    /// error names the file.
    pub fn from_files(
        svid: &Path,
        key: &Path,
        bundle: &Path,
        crls: Option<&Path>,
    ) -> Result<Self, CredentialsError> {
        let mut files = CredentialFiles::new(System::shared(), svid, key, bundle);
        if let Some(path) = crls {
            files = files.with_lists(path);
        }
        let credentials = files.first()?;
        Ok(Self { lists: files.first_lists()?.into(), ..credentials })
    }

    /// The workload's own name.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.own.id
    }

    /// When the SVID's validity ends.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.own.not_after
    }

    /// Says what a peer would say that holds the same bundle: whether the SVID is valid now, and
    /// vouched for, as a client's and as a server's. Its own revocation is not asked for: a list
    /// that names this SVID has to be taken all the same.
    pub(crate) fn examine(&self, now: Timestamp) -> Result<(), CredentialsError> {
        self.own.in_time(now)?;
        let Some((leaf, intermediates)) = self.own.chain().split_first() else {
            return Err(fault(Source::Svid, CredentialsFault::Empty));
        };
        let trust = Trust { lists: Arc::default(), ..self.trust(Revocation::default()) };
        for usage in [Usage::Client, Usage::Server] {
            trust
                .verify(leaf, intermediates, usage, now.max(self.own.not_before))
                .map_err(|kind| fault(Source::Svid, CredentialsFault::NotVouchedFor(kind)))?;
        }
        Ok(())
    }

    /// Whom this workload believes.
    pub(crate) fn trust(&self, revocation: Revocation) -> Trust {
        Trust {
            roots: Arc::clone(&self.roots),
            federated: Arc::clone(&self.federated),
            lists: Arc::clone(&self.lists),
            own: self.own.id.clone(),
            revocation,
            algorithms: provider().signature_verification_algorithms,
        }
    }
}

/// Every item of one kind in a PEM text, at least one; items of other kinds are passed over.
pub(crate) fn items<T: PemObject>(pem: &[u8], source: Source) -> Result<Vec<T>, CredentialsError> {
    let items: Result<Vec<T>, _> = T::pem_slice_iter(pem).collect();
    let items = items.map_err(|e| fault(source, CredentialsFault::Pem(e.to_string())))?;
    if items.is_empty() {
        return Err(fault(source, CredentialsFault::Empty));
    }
    Ok(items)
}
