//! Why credentials cannot be used: which input, from where, and what is wrong with it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use meshguard_core::identity::SpiffeIdError;
use meshguard_core::policy::MAX_DOMAINS;
use meshguard_core::{SpiffeId, Timestamp};
use x509_parser::time::ASN1Time;

use super::HandshakeErrorKind;

/// Which of a workload's inputs a [`CredentialsError`] speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The certificate chain.
    Svid,
    /// The private key.
    Key,
    /// The root certificates of the workload's own trust domain.
    Bundle,
    /// The revocation lists.
    Crls,
    /// The root certificates of a federated trust domain.
    Federated,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Svid => "SVID",
            Self::Key => "private key",
            Self::Bundle => "trust bundle",
            Self::Crls => "revocation lists",
            Self::Federated => "federated trust bundle",
        })
    }
}

/// Why credentials cannot be used: which input, from which file, and what is wrong with it. `Debug`
/// says it as `Display` does: `main` prints that of what it returns.
pub struct CredentialsError {
    source: Source,
    domain: Option<Box<str>>,
    path: Option<PathBuf>,
    fault: Box<CredentialsFault>,
}

/// What can be wrong with credentials.
#[derive(Debug)]
#[non_exhaustive]
pub enum CredentialsFault {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The file is being written: it was not the same at two looks. Later looks read it.
    Unsettled,
    /// The text is not PEM (RFC 7468): the parser's words.
    Pem(String),
    /// The text holds no item of the kind that is needed.
    Empty,
    /// The leaf certificate is not an X.509-SVID, in the terms of a refused peer.
    NotAnSvid(HandshakeErrorKind),
    /// The first certificate is not the leaf: the key belongs to the one at this position,
    /// counted from 0.
    LeafNotFirst(usize),
    /// The SVID is an authority's certificate (CA:TRUE), which no workload may show
    /// (X509-SVID, section 4.1).
    Authority,
    /// The SVID's key usage lacks `digitalSignature` (X509-SVID, section 4.3).
    NoDigitalSignature,
    /// The SVID's key usage has `keyCertSign` or `cRLSign`, which are an authority's
    /// (X509-SVID, section 4.3).
    AuthorityUsage,
    /// The SVID has an extended key usage without both `id-kp-serverAuth` and
    /// `id-kp-clientAuth` (X509-SVID, section 4.4).
    ExtendedKeyUsage,
    /// The SVID, or every certificate of the bundle, has ended at this time.
    Expired(Timestamp),
    /// The SVID, or every certificate of the bundle, begins at this time only.
    NotYetValid(Timestamp),
    /// The bundle does not vouch for the SVID: what a peer with the same bundle would say.
    NotVouchedFor(HandshakeErrorKind),
    /// The private key is encrypted; no password is taken.
    EncryptedKey,
    /// The private key is of no supported kind, or malformed: the provider's words.
    BadKey(String),
    /// The private key belongs to another certificate.
    KeyMismatch,
    /// The item at this position, counted from 0, cannot be parsed: the parser's words.
    BadItem(usize, String),
    /// The bundle's certificate at this position, counted from 0, is not an authority's.
    NotAnAuthority(usize),
    /// The bundle's certificate at this position, counted from 0, names another trust domain than
    /// the one that the bundle is for.
    ForeignRoot(usize, String),
    /// New credentials are for another SPIFFE ID than those they would replace.
    OtherIdentity {
        /// The ID in use.
        current: SpiffeId,
        /// The ID of the new credentials.
        new: SpiffeId,
    },
    /// The name of a trust domain to federate with is none.
    BadDomain(SpiffeIdError),
    /// The trust domain to federate with is the workload's own, which has its own bundle.
    OwnDomain,
    /// The trust domain to federate with has a bundle already.
    SecondBundle,
    /// There are more trust domains to federate with than a policy can name.
    TooManyDomains,
    /// What no list speaks of is to be refused, and there are no lists.
    NoLists,
    /// rustls cannot be set up with them: its words.
    Unusable(String),
}

impl CredentialsError {
    pub(crate) fn new(source: Source, fault: CredentialsFault) -> Self {
        Self { source, domain: None, path: None, fault: Box::new(fault) }
    }

    /// As it is, but of this file.
    pub(crate) fn at(self, path: Option<&Path>) -> Self {
        Self { path: path.map(Path::to_path_buf), ..self }
    }

    /// As it is, but of this trust domain.
    pub(crate) fn of(self, domain: &str) -> Self {
        Self { domain: Some(domain.into()), ..self }
    }

    /// Which input it is.
    #[must_use]
    pub fn input(&self) -> Source {
        self.source
    }

    /// The federated trust domain whose bundle it is.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
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
        self.source.fmt(f)?;
        if let Some(domain) = &self.domain {
            write!(f, " of {domain:?}")?;
        }
        if let Some(path) = &self.path {
            write!(f, " ({})", path.display())?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl fmt::Debug for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialsError: {self}")
    }
}

impl std::error::Error for CredentialsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.fault {
            CredentialsFault::Unreadable(error) => Some(error),
            CredentialsFault::NotAnSvid(kind) | CredentialsFault::NotVouchedFor(kind) => Some(kind),
            CredentialsFault::BadDomain(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for CredentialsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Pem(words) => write!(f, "not PEM: {words}"),
            Self::NotAnSvid(kind) => write!(f, "the leaf is not an X.509-SVID: {kind}"),
            Self::LeafNotFirst(at) => {
                write!(f, "the leaf is certificate {at}, counted from 0, and has to come first")
            }
            Self::Expired(at) => write!(f, "has expired, on {}", date(*at)),
            Self::NotYetValid(at) => write!(f, "is not valid before {}", date(*at)),
            Self::NotVouchedFor(kind) => {
                write!(f, "the trust bundle does not vouch for it: {kind}")
            }
            Self::BadKey(words) => write!(f, "not a usable private key: {words}"),
            Self::BadItem(at, words) => write!(f, "item {at} cannot be parsed: {words}"),
            Self::NotAnAuthority(at) => {
                write!(f, "certificate {at} is not an authority's: it has no CA:TRUE")
            }
            Self::ForeignRoot(at, name) => {
                write!(f, "certificate {at} is of another trust domain: {name}")
            }
            Self::OtherIdentity { current, new } => {
                write!(f, "is for {new}, but {current} is in use")
            }
            Self::BadDomain(error) => error.fmt(f),
            Self::TooManyDomains => write!(f, "more than {MAX_DOMAINS} federated trust domains"),
            Self::Unusable(words) => write!(f, "rustls cannot be set up: {words}"),
            _ => f.write_str(self.words()),
        }
    }
}

impl CredentialsFault {
    /// Of those that say nothing but what they are.
    fn words(&self) -> &'static str {
        match self {
            Self::Unsettled => "is being written: it was not the same at two looks",
            Self::Empty => "holds nothing of this kind",
            Self::Authority => "is an authority's certificate: it has CA:TRUE",
            Self::NoDigitalSignature => "its key usage lacks digitalSignature",
            Self::AuthorityUsage => "its key usage has keyCertSign or cRLSign",
            Self::ExtendedKeyUsage => "its extended key usage lacks serverAuth or clientAuth",
            Self::EncryptedKey => "is encrypted: decrypt it first",
            Self::KeyMismatch => "belongs to another certificate than the SVID",
            Self::OwnDomain => "is this workload's own trust domain, which has its own bundle",
            Self::SecondBundle => "has a bundle already",
            Self::NoLists => "there are none, and what no list speaks of is to be refused",
            _ => "cannot be used",
        }
    }
}

pub(crate) fn fault(source: Source, fault: CredentialsFault) -> CredentialsError {
    CredentialsError::new(source, fault)
}

fn date(at: Timestamp) -> String {
    let secs = i64::try_from(at.as_unix_secs()).unwrap_or(i64::MAX);
    ASN1Time::from_timestamp(secs).map_or_else(|_| at.to_string(), |time| time.to_string())
}
