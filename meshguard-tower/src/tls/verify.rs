//! What makes a certificate chain a peer: exactly one SPIFFE ID, a chain to a root of its trust
//! domain, and nothing on it that was revoked.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use meshguard_core::{Peer, SpiffeId, Timestamp};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage, VerifiedPath};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::HandshakeErrorKind;
use super::credentials::Federated;
use super::revocation::{Lists, Revocation, RevocationList};
use super::roots::{Roots, foreign_name};

/// Whom this side believes: the roots of each trust domain, and revocation lists.
pub(crate) struct Trust {
    /// Of the own trust domain.
    pub(crate) roots: Arc<Roots>,
    pub(crate) federated: Arc<Federated>,
    pub(crate) lists: Arc<[RevocationList]>,
    /// This side's own ID.
    pub(crate) own: SpiffeId,
    pub(crate) revocation: Revocation,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

/// What the certificate is presented for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// The far end is the client of a handshake.
    Client,
    /// The far end is the server of a handshake.
    Server,
    /// A chain that a handshake already accepted for its use is looked at again.
    Again,
}

impl Trust {
    /// Verifies the name of `leaf`, its chain through `intermediates` to a root of its trust
    /// domain, and the revocation of all but the root.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: Timestamp,
    ) -> Result<Peer, HandshakeErrorKind> {
        let peer = peer_of(leaf)?;
        let domain = peer.id().trust_domain();
        let roots = self.roots_of(domain).ok_or(HandshakeErrorKind::ForeignTrustDomain)?;
        let refusal = Cell::new(None);
        let judge = |path: &VerifiedPath<'_>| {
            self.judge(path, domain, now).map_err(|kind| {
                refusal.set(Some(kind));
                webpki::Error::CertRevoked // webpki goes on with another path, if there is one
            })
        };
        EndEntityCert::try_from(leaf)
            .map_err(|e| chain_fault(&e))?
            .verify_for_usage(
                self.algorithms.all,
                roots,
                intermediates,
                UnixTime::since_unix_epoch(Duration::from_secs(now.as_unix_secs())),
                usage,
                None,
                Some(&judge),
            )
            .map_err(|error| refusal.get().unwrap_or_else(|| chain_fault(&error)))?;
        Ok(peer)
    }

    /// The only roots that can vouch for a workload of `domain`.
    fn roots_of(&self, domain: &str) -> Option<&[TrustAnchor<'static>]> {
        if domain == self.own.trust_domain() {
            return Some(self.roots.anchors());
        }
        self.federated.get(domain).map(|roots| roots.anchors())
    }

    /// What webpki leaves open of a chain that leads to a root.
    fn judge(
        &self,
        path: &VerifiedPath<'_>,
        domain: &str,
        now: Timestamp,
    ) -> Result<(), HandshakeErrorKind> {
        is_leaf(&path.end_entity().der())?;
        for issuer in path.intermediate_certificates() {
            stays_within(&issuer.der(), domain)?;
        }
        let terms = self.revocation;
        Lists { lists: &self.lists, terms, algorithms: &self.algorithms, now }.check(path)
    }
}

/// X509-SVID, section 5.2: a leaf signs neither certificates nor lists. webpki has refused CA:TRUE,
/// and does not read the key usage.
fn is_leaf(der: &CertificateDer<'_>) -> Result<(), HandshakeErrorKind> {
    let malformed = HandshakeErrorKind::MalformedCertificate;
    let (_, leaf) = X509Certificate::from_der(der).map_err(|_| malformed)?;
    let usage = leaf.key_usage().map_err(|_| malformed)?;
    match usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign()) {
        true => Err(HandshakeErrorKind::WrongPurpose),
        false => Ok(()),
    }
}

/// X509-SVID, section 3.2: an authority that has a SPIFFE ID signs for its own trust domain, even
/// where a root of another one vouches for it.
fn stays_within(der: &CertificateDer<'_>, domain: &str) -> Result<(), HandshakeErrorKind> {
    let (_, issuer) = X509Certificate::from_der(der)
        .map_err(|_malformed| HandshakeErrorKind::MalformedCertificate)?;
    match foreign_name(&issuer, domain) {
        Some(_) => Err(HandshakeErrorKind::ForeignTrustDomain),
        None => Ok(()),
    }
}

/// The peer whom a leaf names. Whoever calls this has verified its chain.
pub(crate) fn peer_of(leaf: &CertificateDer<'_>) -> Result<Peer, HandshakeErrorKind> {
    let (_, certificate) = X509Certificate::from_der(leaf)
        .map_err(|_malformed| HandshakeErrorKind::MalformedCertificate)?;
    let id = spiffe_id(&certificate)?;
    let not_after = certificate.validity().not_after.timestamp();
    let not_after = Timestamp::from_unix_secs(u64::try_from(not_after).unwrap_or(0));
    Ok(Peer::new(id, Sha256::digest(leaf).into(), not_after))
}

/// The tag of a URI among general names (RFC 5280, section 4.2.1.6).
const URI_TAG: u32 = 6;

/// X509-SVID, section 2: exactly one URI SAN, and it is the SPIFFE ID of a workload.
fn spiffe_id(certificate: &X509Certificate<'_>) -> Result<SpiffeId, HandshakeErrorKind> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_malformed| HandshakeErrorKind::MalformedCertificate)?
        .ok_or(HandshakeErrorKind::NoSpiffeId)?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        // One that is not text counts as one, too.
        GeneralName::Invalid(tag, _) if tag.0 == URI_TAG => Some(""),
        _ => None,
    });
    let uri = uris.next().ok_or(HandshakeErrorKind::NoSpiffeId)?;
    if uris.next().is_some() {
        return Err(HandshakeErrorKind::ManyUriSans);
    }
    let id: SpiffeId = uri.parse().map_err(|_malformed| HandshakeErrorKind::MalformedSpiffeId)?;
    if id.path().is_empty() {
        return Err(HandshakeErrorKind::MalformedSpiffeId);
    }
    Ok(id)
}

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        match self {
            Self::Client => KeyUsage::client_auth().validate(purposes),
            Self::Server => KeyUsage::server_auth().validate(purposes),
            Self::Again => Ok(()),
        }
    }
}

fn chain_fault(error: &webpki::Error) -> HandshakeErrorKind {
    use HandshakeErrorKind as Kind;
    use webpki::Error as E;
    match error {
        // A root of the right name but another key is not the issuer either.
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => Kind::UnknownIssuer,
        E::CertExpired { .. } | E::InvalidCertValidity => Kind::Expired,
        E::CertNotValidYet { .. } => Kind::NotYetValid,
        E::BadDer
        | E::BadDerTime
        | E::TrailingData(_)
        | E::MalformedExtensions
        | E::InvalidSerialNumber
        | E::UnsupportedCertVersion => Kind::MalformedCertificate,
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension | E::CaUsedAsEndEntity => {
            Kind::WrongPurpose
        }
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | E::SignatureAlgorithmMismatch => Kind::UnsupportedAlgorithm,
        _ => Kind::InvalidChain,
    }
}

/// The trust, shared by the verifiers of one generation of credentials.
pub(crate) type SharedTrust = Arc<Trust>;
