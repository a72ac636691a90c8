//! What is wrong with tokens, and with what they are verified by.

use std::fmt;
use std::io;
use std::path::PathBuf;

use meshguard_core::dpop::{Part, ProofError};

/// Why tokens cannot be verified as configured.
#[derive(Debug)]
#[non_exhaustive]
pub enum TokensError {
    /// The file of keys cannot be read.
    Read(PathBuf, io::Error),
    /// The file of keys is being written: it was not the same at two looks. Later looks read it.
    Unsettled(PathBuf),
    /// It is no JWK Set (RFC 7517 §5).
    NotASet(String),
    /// A key of it is private or symmetric: such a key must not be here, and is known by now to
    /// whoever can read the file. By its `kid`, or its place.
    Secret(String),
    /// It has more keys than are taken.
    TooManyKeys(usize),
    /// No key of it can verify a signature that is accepted.
    NoKey,
    /// No issuer is named.
    NoIssuer,
    /// No audience is named.
    NoAudience,
}

/// Why a token does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    TooLong,
    Parts,
    Malformed(Part),
    Critical,
    Type,
    Algorithm,
    UnknownKey,
    ManyKeys,
    Signature,
    Missing(&'static str),
    Claim(&'static str),
    Expired,
    NotYet,
    Issuer,
    Audience,
    /// It is bound by what is not understood here.
    Binding,
    /// It is bound to a key, and came as a bearer token (RFC 9449 §7.2).
    AsBearer,
    /// It is bound to no key, and came with a proof (RFC 9449 §4.3, check 12).
    NotBound,
    /// It is bound to another certificate (RFC 8705 §3).
    Certificate,
    /// It is bound to a certificate, and came through a hop.
    NotDirect,
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Unsettled(path) => {
                let path = path.display();
                write!(f, "{path}: it is being written: it was not the same at two looks")
            }
            Self::NotASet(error) => write!(f, "no JWK Set: {error}"),
            Self::Secret(key) => write!(f, "the key {key} is a secret, and no public key"),
            Self::TooManyKeys(count) => write!(f, "{count} keys are too many"),
            Self::NoKey => f.write_str("no key that can be used"),
            Self::NoIssuer => f.write_str("no issuer of tokens: name one with issuer()"),
            Self::NoAudience => f.write_str("no audience of tokens: name one with audience()"),
        }
    }
}

impl std::error::Error for TokensError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the token is too long",
            Self::Parts => "the token does not have three parts",
            Self::Malformed(part) => return write!(f, "the token's {part} is malformed"),
            Self::Critical => "the token's crit names what is not understood",
            Self::Type => "the token's typ is not at+jwt",
            Self::Algorithm => "the token's alg is not accepted",
            Self::UnknownKey => "the token's key is not known",
            Self::ManyKeys => "more keys may be the token's than are tried: give them a kid",
            Self::Signature => "the token's signature does not hold",
            Self::Missing(name) => return write!(f, "the token has no {name}"),
            Self::Claim(name) => return write!(f, "the token's {name} is malformed"),
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Issuer => "the token is of another issuer",
            Self::Audience => "the token is for another audience",
            Self::Binding => "the token is bound by what is not understood",
            Self::AsBearer => "the token is bound to a key and came as a bearer token",
            Self::NotBound => "the token is bound to no key and came with a proof",
            Self::Certificate => "the token is bound to another certificate",
            Self::NotDirect => "the token is bound to a certificate and came through a hop",
        })
    }
}

/// What a request's token and proof come to, where they do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// More than one `Authorization`, or one that cannot be read.
    Request,
    Token(TokenError),
    Proof(ProofError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("more than one token, or a malformed one"),
            Self::Token(error) => error.fmt(f),
            Self::Proof(error) => error.fmt(f),
        }
    }
}

impl From<TokenError> for Fault {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<ProofError> for Fault {
    fn from(error: ProofError) -> Self {
        Self::Proof(error)
    }
}
