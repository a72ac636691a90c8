//! What makes a certificate chain a peer: chain, revocation, and exactly one SPIFFE ID.

use std::sync::Arc;
use std::time::Duration;

use meshguard_core::{Peer, SpiffeId, Timestamp};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, ExtendedKeyUsageValidator,
    KeyPurposeIdIter, KeyUsage, RevocationCheckDepth, RevocationOptions, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::HandshakeErrorKind;

/// Whom this side believes: roots, revocation lists, and its trust domain.
pub(crate) struct Trust {
    pub(crate) roots: Vec<TrustAnchor<'static>>,
    pub(crate) crls: Vec<CertRevocationList<'static>>,
    /// This side's own ID; peers are of its trust domain.
    pub(crate) own: SpiffeId,
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
    /// Verifies `leaf` through `intermediates` to one of the roots, its revocation, and its name.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: Timestamp,
    ) -> Result<Peer, HandshakeErrorKind> {
        self.verify_chain(leaf, intermediates, usage, now)?;
        let peer = peer_of(leaf)?;
        if peer.id().trust_domain() != self.own.trust_domain() {
            return Err(HandshakeErrorKind::ForeignTrustDomain);
        }
        Ok(peer)
    }

    fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: Timestamp,
    ) -> Result<(), HandshakeErrorKind> {
        let crls: Vec<&CertRevocationList<'_>> = self.crls.iter().collect();
        EndEntityCert::try_from(leaf)
            .map_err(|e| chain_fault(&e))?
            .verify_for_usage(
                self.algorithms.all,
                &self.roots,
                intermediates,
                UnixTime::since_unix_epoch(Duration::from_secs(now.as_unix_secs())),
                usage,
                revocation(&crls),
                None,
            )
            .map_err(|e| chain_fault(&e))?;
        Ok(())
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

/// X509-SVID, section 2: exactly one URI SAN, and it is the SPIFFE ID of a workload.
fn spiffe_id(certificate: &X509Certificate<'_>) -> Result<SpiffeId, HandshakeErrorKind> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_malformed| HandshakeErrorKind::MalformedCertificate)?
        .ok_or(HandshakeErrorKind::NoSpiffeId)?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
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

/// Only the leaf's status is asked for, and a leaf that no list speaks of is accepted: SVIDs live
/// for an hour, lists are for what cannot wait so long. A list past its `nextUpdate` still counts:
/// to forget what it revoked would be worse.
fn revocation<'a>(crls: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let options = RevocationOptionsBuilder::new(crls).ok()?; // Err: there are no lists
    Some(
        options
            .with_depth(RevocationCheckDepth::EndEntity)
            .with_status_policy(UnknownStatusPolicy::Allow)
            .with_expiration_policy(ExpirationPolicy::Ignore)
            .build(),
    )
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
        E::CertRevoked => Kind::Revoked,
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
        E::UnknownRevocationStatus
        | E::CrlExpired { .. }
        | E::IssuerNotCrlSigner
        | E::InvalidCrlNumber
        | E::InvalidCrlSignatureForPublicKey
        | E::UnsupportedCrlSignatureAlgorithmContext(_)
        | E::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => Kind::UnusableCrl,
        _ => Kind::InvalidChain,
    }
}

/// The trust, shared by the verifiers of one generation of credentials.
pub(crate) type SharedTrust = Arc<Trust>;
