//! Why a proof does not hold.

use std::error::Error;
use std::fmt;

/// A part of a JWT (RFC 7515 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The header.
    Header,
    /// The payload.
    Claims,
    /// The signature.
    Signature,
}

/// Why a proof does not hold. RFC 9449 §4.3 numbers the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProofError {
    /// There is no `dpop` field where one is needed.
    NoProof,
    /// There is more than one `dpop` field (check 1).
    ManyProofs,
    /// It is longer than [`MAX_PROOF`](super::MAX_PROOF).
    TooLong,
    /// It does not have three parts (check 2).
    Parts,
    /// A part is no canonical base64url, no JSON object, or a member of it is of a wrong type or
    /// there twice (check 2).
    Malformed(Part),
    /// A member that is needed is not there (check 3).
    Missing(&'static str),
    /// `typ` is not `dpop+jwt` (check 4).
    Type,
    /// `alg` is none of those that are accepted (check 5).
    Algorithm,
    /// `crit` names an extension; none is understood (RFC 7515 §4.1.11).
    Critical,
    /// `jwk` is no public key that `alg` can be used with (checks 3 and 7).
    Key(KeyFault),
    /// `jti` is empty, or longer than [`MAX_JTI`](super::MAX_JTI).
    Number,
    /// The signature is not that key's (check 6).
    Signature,
    /// `htm` is another method (check 8).
    Method,
    /// `htu` is another target (check 9).
    Target,
    /// `nonce` is not there, and one is required (check 10).
    NoNonce,
    /// `nonce` is none of ours, or too old (check 10).
    Nonce,
    /// `iat` is too long ago (check 11).
    TooOld,
    /// `iat` is in the future (check 11).
    TooNew,
    /// `ath` is not there, and a token is (check 12).
    NoTokenHash,
    /// `ath` is another token's (check 12).
    TokenHash,
    /// The token is bound to another key (check 12).
    TokenKey,
    /// The number was used before (§11.1).
    Replayed,
    /// So many numbers are remembered already that no other is taken.
    WindowFull,
    /// So many numbers of this one key are remembered already that no other of it is taken.
    KeyShare,
    /// As many numbers of this caller as it may have are remembered: no other of it is taken.
    CallerShare,
}

/// Why a JWK (RFC 7517) is no usable public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyFault {
    /// It has members of a private key, or is symmetric.
    Private,
    /// Its type or curve is not known here.
    Kind,
    /// A member is missing, no canonical base64url, or not of the curve's length.
    Malformed,
    /// An RSA modulus of fewer than 2048 bits or more than 4096, or an exponent of more than 64.
    Size,
    /// It is not for the algorithm.
    Algorithm,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "payload",
            Self::Signature => "signature",
        })
    }
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoProof => "there is no DPoP proof",
            Self::ManyProofs => "there is more than one DPoP proof",
            Self::TooLong => "the proof is too long",
            Self::Parts => "the proof does not have three parts",
            Self::Malformed(part) => return write!(f, "the proof's {part} is malformed"),
            Self::Missing(name) => return write!(f, "the proof has no {name}"),
            Self::Type => "the proof's typ is not dpop+jwt",
            Self::Algorithm => "the proof's alg is not accepted",
            Self::Critical => "the proof's crit names what is not understood",
            Self::Key(fault) => return write!(f, "the proof's jwk {fault}"),
            Self::Number => "the proof's jti is empty or too long",
            Self::Signature => "the proof's signature does not hold",
            Self::Method => "the proof is for another method",
            Self::Target => "the proof is for another target",
            Self::NoNonce => "the proof has no nonce",
            Self::Nonce => "the proof's nonce is not known",
            Self::TooOld => "the proof is too old",
            Self::TooNew => "the proof is from the future",
            Self::NoTokenHash => "the proof names no token",
            Self::TokenHash => "the proof is for another token",
            Self::TokenKey => "the token is bound to another key",
            Self::Replayed => "the proof was used before",
            Self::WindowFull => "too many proofs are remembered already",
            Self::KeyShare => "too many proofs of this key are remembered already",
            Self::CallerShare => "too many proofs of this caller are remembered already",
        })
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "holds what is secret",
            Self::Kind => "is of a kind that is not known",
            Self::Malformed => "is malformed",
            Self::Size => "is too small or too large",
            Self::Algorithm => "is not for this algorithm",
        })
    }
}

impl Error for ProofError {}

impl Error for KeyFault {}

impl From<KeyFault> for ProofError {
    fn from(fault: KeyFault) -> Self {
        Self::Key(fault)
    }
}
