//! A workload's credentials, parsed and checked once.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshguard_core::{SpiffeId, Timestamp};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, TrustAnchor};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use zeroize::{Zeroize, Zeroizing};

use super::HandshakeErrorKind;
use super::verify::peer_of;

/// An X.509-SVID with its private key, the roots to believe, and what they revoked.
///
/// The PEM form of the key is wiped after parsing, and there is no `Debug`.
pub struct Credentials {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) roots: Vec<TrustAnchor<'static>>,
    pub(crate) crls: Vec<CertRevocationList<'static>>,
    pub(crate) id: SpiffeId,
    pub(crate) not_after: Timestamp,
}

impl Credentials {
    /// From PEM texts: the SVID (leaf first, then its intermediates), its private key (PKCS #8,
    /// SEC 1 or PKCS #1), the trust bundle's root certificates, and revocation lists, if any.
    ///
    /// # Errors
    /// What is wrong, and in which of the four.
    pub fn from_pem(
        svid: &[u8],
        key: &[u8],
        bundle: &[u8],
        crls: Option<&[u8]>,
    ) -> Result<Self, CredentialsError> {
        let chain: Vec<CertificateDer<'static>> = items(svid, Source::Svid)?;
        let Some(leaf) = chain.first() else {
            return Err(fault(Source::Svid, CredentialsFault::Empty));
        };
        let own =
            peer_of(leaf).map_err(|kind| fault(Source::Svid, CredentialsFault::NotAnSvid(kind)))?;
        let key = certified(chain, key)?;
        Ok(Self {
            key: Arc::new(key),
            roots: roots(bundle)?,
            crls: crls.map_or(Ok(Vec::new()), lists)?,
            id: own.id().clone(),
            not_after: own.not_after(),
        })
    }

    /// From files with those PEM texts; reads them now, blocking.
    ///
    /// # Errors
    /// As [`Self::from_pem`], or where a file cannot be read; the error names the file.
    pub fn from_files(
        svid: &Path,
        key: &Path,
        bundle: &Path,
        crls: Option<&Path>,
    ) -> Result<Self, CredentialsError> {
        let crl_pem = crls.map(|path| read(path, Source::Crls)).transpose()?;
        Self::from_pem(
            &read(svid, Source::Svid)?,
            &read(key, Source::Key)?,
            &read(bundle, Source::Bundle)?,
            crl_pem.as_ref().map(|pem| pem.as_slice()),
        )
        .map_err(|error| {
            let path = match error.source {
                Source::Svid => Some(svid),
                Source::Key => Some(key),
                Source::Bundle => Some(bundle),
                Source::Crls => crls,
            };
            CredentialsError { path: path.map(Path::to_path_buf), ..error }
        })
    }

    /// The workload's own name.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// When the SVID's validity ends.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

/// Which of a workload's inputs a [`CredentialsError`] speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The certificate chain.
    Svid,
    /// The private key.
    Key,
    /// The root certificates.
    Bundle,
    /// The revocation lists.
    Crls,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Svid => "SVID",
            Self::Key => "private key",
            Self::Bundle => "trust bundle",
            Self::Crls => "revocation lists",
        })
    }
}

/// Why credentials cannot be used: which input, from which file, and what is wrong with it. `Debug`
/// says it as `Display` does: `main` prints that of what it returns.
pub struct CredentialsError {
    source: Source,
    path: Option<PathBuf>,
    fault: CredentialsFault,
}

/// What can be wrong with credentials.
#[derive(Debug)]
#[non_exhaustive]
pub enum CredentialsFault {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The text is not PEM (RFC 7468): the parser's words.
    Pem(String),
    /// The text holds no item of the kind that is needed.
    Empty,
    /// The leaf certificate is not an X.509-SVID, in the terms of a refused peer.
    NotAnSvid(HandshakeErrorKind),
    /// The private key is of no supported kind, or malformed: the provider's words.
    BadKey(String),
    /// The private key belongs to another certificate.
    KeyMismatch,
    /// The item at this position, counted from 0, cannot be parsed: the parser's words.
    BadItem(usize, String),
    /// New credentials are for another SPIFFE ID than those they would replace.
    OtherIdentity {
        /// The ID in use.
        current: SpiffeId,
        /// The ID of the new credentials.
        new: SpiffeId,
    },
    /// rustls cannot be set up with them: its words.
    Unusable(String),
}

impl CredentialsError {
    /// Which input it is.
    #[must_use]
    pub fn input(&self) -> Source {
        self.source
    }

    /// The file it was read from, if it came from one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What is wrong.
    #[must_use]
    pub fn fault(&self) -> &CredentialsFault {
        &self.fault
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{} ({}): {}", self.source, path.display(), self.fault),
            None => write!(f, "{}: {}", self.source, self.fault),
        }
    }
}

impl fmt::Debug for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialsError: {self}")
    }
}

impl std::error::Error for CredentialsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            CredentialsFault::Unreadable(error) => Some(error),
            CredentialsFault::NotAnSvid(kind) => Some(kind),
            _ => None,
        }
    }
}

impl fmt::Display for CredentialsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Pem(words) => write!(f, "not PEM: {words}"),
            Self::Empty => f.write_str("holds nothing of this kind"),
            Self::NotAnSvid(kind) => write!(f, "the leaf is not an X.509-SVID: {kind}"),
            Self::BadKey(words) => write!(f, "not a usable private key: {words}"),
            Self::KeyMismatch => f.write_str("belongs to another certificate than the SVID"),
            Self::BadItem(at, words) => write!(f, "item {at} cannot be parsed: {words}"),
            Self::OtherIdentity { current, new } => {
                write!(f, "is for {new}, but {current} is in use")
            }
            Self::Unusable(words) => write!(f, "rustls cannot be set up: {words}"),
        }
    }
}

pub(crate) fn fault(source: Source, fault: CredentialsFault) -> CredentialsError {
    CredentialsError { source, path: None, fault }
}

fn read(path: &Path, source: Source) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    std::fs::read(path).map(Zeroizing::new).map_err(|error| CredentialsError {
        source,
        path: Some(path.to_path_buf()),
        fault: CredentialsFault::Unreadable(error),
    })
}

/// Every item of one kind in a PEM text; items of other kinds are passed over.
fn items<T: PemObject>(pem: &[u8], source: Source) -> Result<Vec<T>, CredentialsError> {
    let items: Result<Vec<T>, _> = T::pem_slice_iter(pem).collect();
    let items = items.map_err(|e| fault(source, CredentialsFault::Pem(e.to_string())))?;
    if items.is_empty() {
        return Err(fault(source, CredentialsFault::Empty));
    }
    Ok(items)
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    pem: &[u8],
) -> Result<CertifiedKey, CredentialsError> {
    let bad = |e: rustls::Error| fault(Source::Key, CredentialsFault::BadKey(e.to_string()));
    let mut der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => fault(Source::Key, CredentialsFault::Empty),
        // Without the parser's words: they may quote the text, which is secret.
        _ => fault(Source::Key, CredentialsFault::Pem("malformed".to_owned())),
    })?;
    let key = any_supported_type(&der);
    der.zeroize();
    let certified = CertifiedKey::new(chain, key.map_err(bad)?);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(fault(Source::Key, CredentialsFault::KeyMismatch))
        }
        Err(error) => Err(bad(error)),
    }
}

fn roots(pem: &[u8]) -> Result<Vec<TrustAnchor<'static>>, CredentialsError> {
    let certificates: Vec<CertificateDer<'static>> = items(pem, Source::Bundle)?;
    let mut roots = Vec::with_capacity(certificates.len());
    for (at, certificate) in certificates.iter().enumerate() {
        let anchor = webpki::anchor_from_trusted_cert(certificate)
            .map_err(|e| fault(Source::Bundle, CredentialsFault::BadItem(at, e.to_string())))?;
        roots.push(anchor.to_owned());
    }
    Ok(roots)
}

fn lists(pem: &[u8]) -> Result<Vec<CertRevocationList<'static>>, CredentialsError> {
    let texts: Vec<CertificateRevocationListDer<'static>> = items(pem, Source::Crls)?;
    let mut lists = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let list = OwnedCertRevocationList::from_der(text)
            .map_err(|e| fault(Source::Crls, CredentialsFault::BadItem(at, e.to_string())))?;
        lists.push(list.into());
    }
    Ok(lists)
}
