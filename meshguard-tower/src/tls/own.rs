//! A workload's own SVID and key, held to X509-SVID before anybody sees them.

use std::sync::Arc;

use meshguard_core::{SpiffeId, Timestamp};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroize;

use super::HandshakeErrorKind;
use super::credentials::items;
use super::fault::{CredentialsError, CredentialsFault, Source, fault};
use super::roots::{CLOCK_SKEW, validity};
use super::verify::peer_of;

/// An X.509-SVID with its private key. Cloning shares the key.
#[derive(Clone)]
pub(crate) struct Own {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) id: SpiffeId,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Own {
    /// Reads an SVID and its key. Their validity is not looked at: [`Own::in_time`] does.
    pub(crate) fn read(svid: &[u8], key: &[u8]) -> Result<Self, CredentialsError> {
        let chain: Vec<CertificateDer<'static>> = items(svid, Source::Svid)?;
        let key = private_key(key)?;
        let fits = |der: &CertificateDer<'static>| fits(der, &key);
        if let Some(at) = chain.iter().position(fits).filter(|at| *at > 0) {
            return Err(fault(Source::Svid, CredentialsFault::LeafNotFirst(at)));
        }
        let svid_fault = |f| fault(Source::Svid, f);
        // INVARIANT of `items`: there is one.
        let leaf = chain.first().ok_or_else(|| svid_fault(CredentialsFault::Empty))?;
        let (not_before, not_after) = examine(leaf).map_err(svid_fault)?;
        let peer = peer_of(leaf).map_err(|kind| svid_fault(CredentialsFault::NotAnSvid(kind)))?;
        if !fits(leaf) {
            return Err(fault(Source::Key, CredentialsFault::KeyMismatch));
        }
        let id = peer.id().clone();
        Ok(Self { key: Arc::new(CertifiedKey::new(chain, key)), id, not_before, not_after })
    }

    /// Whether it is valid now, by a clock that may be a little behind that of its authority.
    pub(crate) fn in_time(&self, now: Timestamp) -> Result<(), CredentialsError> {
        if self.not_after < now {
            return Err(fault(Source::Svid, CredentialsFault::Expired(self.not_after)));
        }
        if self.not_before > now + CLOCK_SKEW {
            return Err(fault(Source::Svid, CredentialsFault::NotYetValid(self.not_before)));
        }
        Ok(())
    }

    /// Leaf first.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }
}

/// What X509-SVID asks of a leaf, section 4, and its validity.
fn examine(leaf: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), CredentialsFault> {
    let malformed = CredentialsFault::NotAnSvid(HandshakeErrorKind::MalformedCertificate);
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else { return Err(malformed) };
    if certificate.is_ca() {
        return Err(CredentialsFault::Authority);
    }
    let Ok(usage) = certificate.key_usage() else { return Err(malformed) };
    let Some(usage) = usage.filter(|usage| usage.value.digital_signature()) else {
        return Err(CredentialsFault::NoDigitalSignature);
    };
    if usage.value.key_cert_sign() || usage.value.crl_sign() {
        return Err(CredentialsFault::AuthorityUsage);
    }
    let Ok(purposes) = certificate.extended_key_usage() else { return Err(malformed) };
    if purposes.is_some_and(|p| !(p.value.server_auth && p.value.client_auth)) {
        return Err(CredentialsFault::ExtendedKeyUsage);
    }
    Ok(validity(&certificate))
}

fn private_key(pem: &[u8]) -> Result<Arc<dyn SigningKey>, CredentialsError> {
    let key_fault = |f| fault(Source::Key, f);
    if is_encrypted(pem) {
        return Err(key_fault(CredentialsFault::EncryptedKey));
    }
    let mut der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => key_fault(CredentialsFault::Empty),
        // Without the parser's words: they may quote the text, which is secret.
        _ => key_fault(CredentialsFault::Pem("malformed".to_owned())),
    })?;
    let key = any_supported_type(&der);
    der.zeroize();
    key.map_err(|e| key_fault(CredentialsFault::BadKey(e.to_string())))
}

/// PKCS #8's label (RFC 5958, section 3), or the head that older formats have (RFC 1421).
fn is_encrypted(pem: &[u8]) -> bool {
    let holds = |words: &[u8]| pem.windows(words.len()).any(|window| window == words);
    holds(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds(b"Proc-Type: 4,ENCRYPTED")
}

fn fits(der: &CertificateDer<'static>, key: &Arc<dyn SigningKey>) -> bool {
    CertifiedKey::new(vec![der.clone()], Arc::clone(key)).keys_match().is_ok()
}
