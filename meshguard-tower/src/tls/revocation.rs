//! What revocation lists say of a chain, and what it means where they say nothing.
//!
//! A list speaks for the key that signed it, not for a name: authorities of one name, as a root
//! and its successor or those of two trust domains, each have their own. webpki takes the first
//! list of the issuer's name for the issuer's own, which would refuse every peer of the other one.

use meshguard_core::Timestamp;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateRevocationListDer, SubjectPublicKeyInfoDer, TrustAnchor};
use webpki::{Cert, CertRevocationList, OwnedCertRevocationList, RawPublicKeyEntity, VerifiedPath};
use x509_parser::extensions::{DistributionPointName, ParsedExtension};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::HandshakeErrorKind;
use super::credentials::items;
use super::fault::{CredentialsError, CredentialsFault, Source, fault};

/// What it means where revocation lists do not say whether a certificate is revoked.
///
/// By default a certificate of which no list speaks is accepted, since SVIDs live for an hour and
/// lists are for what cannot wait so long; and a list past its `nextUpdate` still counts, since to
/// forget what it revoked would be worse. What a list names is refused in any case, a workload's
/// own certificate and those of intermediate authorities alike; of roots no status is asked.
///
/// ```
/// use meshguard_tower::tls::Revocation;
///
/// let strict = Revocation::default().refusing_unknown().refusing_stale();
/// assert_ne!(strict, Revocation::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revocation {
    pub(crate) unknown: bool,
    pub(crate) stale: bool,
}

impl Revocation {
    /// Refuses a chain with a certificate of which no list speaks, as
    /// [`HandshakeErrorKind::UnknownStatus`]. Then every authority of every chain has to have a
    /// list here, federated ones included.
    #[must_use]
    pub fn refusing_unknown(self) -> Self {
        Self { unknown: true, ..self }
    }

    /// Refuses a chain with a certificate of which only lists past their `nextUpdate` speak, as
    /// [`HandshakeErrorKind::UnusableCrl`]. Then an authority that stops publishing stops all
    /// calls to and from its workloads.
    #[must_use]
    pub fn refusing_stale(self) -> Self {
        Self { stale: true, ..self }
    }
}

/// A revocation list (RFC 5280, section 5).
#[derive(Debug)]
pub(crate) struct RevocationList {
    list: CertRevocationList<'static>,
    /// What is signed, and the signature.
    signed: Box<[u8]>,
    signature: Box<[u8]>,
    next_update: Timestamp,
    scope: Scope,
}

/// Of which certificates a list speaks (RFC 5280, section 5.2.5).
#[derive(Debug, Default)]
struct Scope {
    only_leaves: bool,
    only_authorities: bool,
    /// None: of all.
    places: Vec<String>,
}

/// Reads the lists of a PEM text.
pub(crate) fn read(pem: &[u8], now: Timestamp) -> Result<Vec<RevocationList>, CredentialsError> {
    let texts: Vec<CertificateRevocationListDer<'static>> = items(pem, Source::Crls)?;
    let mut lists = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let list = RevocationList::parse(text)
            .map_err(|words| fault(Source::Crls, CredentialsFault::BadItem(at, words)))?;
        if list.next_update <= now {
            tracing::warn!(
                target: "meshguard::identity",
                "revocation list {at} should have been replaced by now: its authority has published none since"
            );
        }
        lists.push(list);
    }
    Ok(lists)
}

impl RevocationList {
    fn parse(text: &CertificateRevocationListDer<'_>) -> Result<Self, String> {
        let list = OwnedCertRevocationList::from_der(text).map_err(|e| e.to_string())?;
        let (_, parsed) = CertificateRevocationList::from_der(text).map_err(|e| e.to_string())?;
        let next = parsed.next_update().map_or(i64::MAX, |time| time.timestamp());
        Ok(Self {
            list: list.into(),
            signed: parsed.tbs_cert_list.as_ref().into(),
            signature: parsed.signature_value.data.as_ref().into(),
            next_update: Timestamp::from_unix_secs(u64::try_from(next).unwrap_or(0)),
            scope: Scope::of(&parsed),
        })
    }

    fn is_signed_by(
        &self,
        key: &SubjectPublicKeyInfoDer<'_>,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> bool {
        let Ok(key) = RawPublicKeyEntity::try_from(key) else { return false };
        let signed = |algorithm: &&dyn rustls_pki_types::SignatureVerificationAlgorithm| {
            key.verify_signature(*algorithm, &self.signed, &self.signature).is_ok()
        };
        algorithms.all.iter().any(signed)
    }
}

impl Scope {
    fn of(list: &CertificateRevocationList<'_>) -> Self {
        let point = list.extensions().iter().find_map(|e| match e.parsed_extension() {
            ParsedExtension::IssuingDistributionPoint(point) => Some(point),
            _ => None,
        });
        point.map_or_else(Self::default, |point| Self {
            only_leaves: point.only_contains_user_certs,
            only_authorities: point.only_contains_ca_certs,
            places: uris(point.distribution_point.as_ref()),
        })
    }

    /// Whether the list tells all of `certificate`'s revocation.
    fn covers(&self, certificate: &X509Certificate<'_>, leaf: bool) -> bool {
        if (self.only_leaves && !leaf) || (self.only_authorities && leaf) {
            return false;
        }
        let points = certificate.extensions().iter().find_map(|e| match e.parsed_extension() {
            ParsedExtension::CRLDistributionPoints(points) => Some(points),
            _ => None,
        });
        let (Some(points), false) = (points, self.places.is_empty()) else { return true };
        points.iter().any(|point| {
            let places = uris(point.distribution_point.as_ref());
            point.reasons.is_none()
                && point.crl_issuer.is_none()
                && places.iter().any(|place| self.places.contains(place))
        })
    }
}

fn uris(point: Option<&DistributionPointName<'_>>) -> Vec<String> {
    let Some(DistributionPointName::FullName(names)) = point else { return Vec::new() };
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.iter().filter_map(uri).collect()
}

/// The lists, and what it means where they say nothing.
pub(crate) struct Lists<'a> {
    pub(crate) lists: &'a [RevocationList],
    pub(crate) terms: Revocation,
    pub(crate) algorithms: &'a WebPkiSupportedAlgorithms,
    pub(crate) now: Timestamp,
}

impl Lists<'_> {
    /// Asks for the status of each certificate of a chain, the root's excepted.
    pub(crate) fn check(&self, path: &VerifiedPath<'_>) -> Result<(), HandshakeErrorKind> {
        if self.lists.is_empty() && !self.terms.unknown {
            return Ok(());
        }
        let mut certificate: &Cert<'_> = path.end_entity();
        let mut leaf = true;
        for issuer in path.intermediate_certificates() {
            self.status(certificate, &Issuer::Intermediate(issuer), leaf)?;
            (certificate, leaf) = (issuer, false);
        }
        self.status(certificate, &Issuer::Root(path.anchor()), leaf)
    }

    fn status(
        &self,
        certificate: &Cert<'_>,
        issuer: &Issuer<'_>,
        leaf: bool,
    ) -> Result<(), HandshakeErrorKind> {
        let key = issuer.key();
        let (mut known, mut stale) = (false, false);
        let of_name = |list: &&RevocationList| list.list.issuer() == certificate.issuer();
        for list in self.lists.iter().filter(of_name) {
            if !list.is_signed_by(&key, self.algorithms) {
                continue; // of an authority with the same name
            }
            if !issuer.may_sign_lists() {
                return Err(HandshakeErrorKind::UnusableCrl);
            }
            // Whatever the list's scope: its issuer has given the serial number once.
            let found = list.list.find_serial(certificate.serial());
            if found.map_err(|_malformed| HandshakeErrorKind::UnusableCrl)?.is_some() {
                return Err(match leaf {
                    true => HandshakeErrorKind::Revoked,
                    false => HandshakeErrorKind::RevokedIssuer,
                });
            }
            if covers(list, certificate, leaf) {
                let fresh = self.now < list.next_update;
                (known, stale) = (known || fresh, stale || !fresh);
            }
        }
        match (known, stale) {
            (false, true) if self.terms.stale => Err(HandshakeErrorKind::UnusableCrl),
            (false, false) if self.terms.unknown => Err(HandshakeErrorKind::UnknownStatus),
            _ => Ok(()),
        }
    }
}

fn covers(list: &RevocationList, certificate: &Cert<'_>, leaf: bool) -> bool {
    let der = certificate.der();
    X509Certificate::from_der(&der).is_ok_and(|(_, parsed)| list.scope.covers(&parsed, leaf))
}

enum Issuer<'a> {
    Intermediate(&'a Cert<'a>),
    Root(&'a TrustAnchor<'a>),
}

impl Issuer<'_> {
    fn key(&self) -> SubjectPublicKeyInfoDer<'static> {
        match self {
            Self::Intermediate(certificate) => certificate.subject_public_key_info(),
            Self::Root(anchor) => sequence(&anchor.subject_public_key_info).into(),
        }
    }

    /// Whether its key usage has `cRLSign`; a root has none here.
    fn may_sign_lists(&self) -> bool {
        let Self::Intermediate(certificate) = self else { return true };
        let der = certificate.der();
        let Ok((_, parsed)) = X509Certificate::from_der(&der) else { return false };
        parsed.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
    }
}

/// The contents of a SEQUENCE, with the head that webpki has taken off (X.690, section 8.1).
fn sequence(contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let length = &length[length.iter().take_while(|b| **b == 0).count()..];
    let mut der = vec![0x30];
    if contents.len() >= 0x80 {
        der.push(0x80 | length.len() as u8); // at most 8
    }
    match length {
        [] => der.push(0),
        length => der.extend_from_slice(length),
    }
    der.extend_from_slice(contents);
    der
}
