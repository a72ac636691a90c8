//! The roots of one trust domain.
//!
//! A root vouches for workloads of its own trust domain only: which roots a chain is verified
//! against is chosen by the trust domain of its leaf's SPIFFE ID, before anything else.

use std::time::Duration;

use meshguard_core::{SpiffeId, Timestamp};
use rustls_pki_types::{CertificateDer, TrustAnchor};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::credentials::items;
use super::fault::{CredentialsError, CredentialsFault, Source, fault};

/// By how much a clock may be behind its certificate authority's: what begins within is taken.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The root certificates of one trust domain, at least one.
#[derive(Debug)]
pub(crate) struct Roots(Vec<TrustAnchor<'static>>);

impl Roots {
    /// The roots in a PEM bundle of `domain`. Those that have expired are left out, as long as
    /// one is left; those that are to begin are taken.
    pub(crate) fn read(
        pem: &[u8],
        source: Source,
        domain: &str,
        now: Timestamp,
    ) -> Result<Self, CredentialsError> {
        let certificates: Vec<CertificateDer<'static>> = items(pem, source)?;
        let mut roots = Vec::with_capacity(certificates.len());
        let (mut ended, mut begins) = (Timestamp::default(), Timestamp::MAX);
        for (at, der) in certificates.iter().enumerate() {
            let (anchor, from, until) = root(at, der, domain).map_err(|f| fault(source, f))?;
            ended = ended.max(until);
            if until < now {
                tracing::warn!(
                    target: "meshguard::identity",
                    "{source} of {domain}: certificate {at} has expired, and is left out"
                );
                continue;
            }
            begins = begins.min(from);
            roots.push(anchor);
        }
        if roots.is_empty() {
            return Err(fault(source, CredentialsFault::Expired(ended)));
        }
        if begins > now + CLOCK_SKEW {
            return Err(fault(source, CredentialsFault::NotYetValid(begins)));
        }
        Ok(Self(roots))
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0
    }
}

/// A root, and when its validity begins and ends.
fn root(
    at: usize,
    der: &CertificateDer<'_>,
    domain: &str,
) -> Result<(TrustAnchor<'static>, Timestamp, Timestamp), CredentialsFault> {
    let anchor = webpki::anchor_from_trusted_cert(der)
        .map_err(|e| CredentialsFault::BadItem(at, e.to_string()))?;
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|e| CredentialsFault::BadItem(at, e.to_string()))?;
    if !certificate.is_ca() {
        return Err(CredentialsFault::NotAnAuthority(at));
    }
    if let Some(foreign) = foreign_name(&certificate, domain) {
        return Err(CredentialsFault::ForeignRoot(at, foreign));
    }
    let (from, until) = validity(&certificate);
    Ok((anchor.to_owned(), from, until))
}

/// A SPIFFE ID of another trust domain that an authority's certificate names. A signing
/// certificate need not name any (X509-SVID, section 3.2); one that does signs for that trust domain
/// alone.
pub(crate) fn foreign_name(certificate: &X509Certificate<'_>, domain: &str) -> Option<String> {
    let names = certificate.subject_alternative_name().ok().flatten()?;
    names.value.general_names.iter().find_map(|name| {
        let GeneralName::URI(uri) = name else { return None };
        let id: SpiffeId = uri.parse().ok()?;
        (id.trust_domain() != domain).then(|| id.to_string())
    })
}

/// When a certificate's validity begins and ends.
pub(crate) fn validity(certificate: &X509Certificate<'_>) -> (Timestamp, Timestamp) {
    let at = |secs: i64| Timestamp::from_unix_secs(u64::try_from(secs).unwrap_or(0));
    let validity = certificate.validity();
    (at(validity.not_before.timestamp()), at(validity.not_after.timestamp()))
}
