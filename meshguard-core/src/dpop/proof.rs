//! One proof, read and held against its request.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::target::is_target;
use super::{
    Algorithm, FIELD, Jwk, KeyFault, MAX_JTI, MAX_PROOF, Part, ProofError, PublicKey,
    SignatureCheck, Thumbprint,
};
use crate::time::Timestamp;

/// A proof that was read. Nothing of it is known to be true.
#[derive(Clone, Debug)]
pub struct Proof<'a> {
    algorithm: Algorithm,
    key: PublicKey,
    thumbprint: Thumbprint,
    claims: Claims,
    /// What the signature is over.
    signed: &'a str,
    signature: Vec<u8>,
}

/// What a request's proof has to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The request's method.
    pub method: &'a str,
    /// Whom the request names as its target: host, and port where it is not 443.
    pub authority: &'a str,
    /// The raw path, without the query. The scheme is `https`.
    pub path: &'a str,
    /// The token that comes with the proof; `None` where none does.
    pub token: Option<Token<'a>>,
    /// One of these is needed (RFC 9449 §9); none where this is empty.
    pub nonces: &'a [&'a str],
    /// How old a proof may be.
    pub leeway: Leeway,
    /// Now.
    pub now: Timestamp,
}

/// A token, and which key it is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// The token as it stands in the request.
    pub text: &'a str,
    /// Its `cnf.jkt` (RFC 9449 §6.1).
    pub key: &'a Thumbprint,
}

/// For how long a proof is good, by its `iat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leeway {
    /// It may be so old.
    pub past: Duration,
    /// Its maker's clock may be ahead by so much.
    pub future: Duration,
}

/// A proof that holds. Its number is still to be claimed: [`ReplayWindow`](super::ReplayWindow).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    pub(super) thumbprint: Thumbprint,
    pub(super) number: [u8; 16],
    pub(super) issued: Timestamp,
}

#[derive(Deserialize)]
struct Header {
    typ: Option<String>,
    alg: Option<String>,
    jwk: Option<Jwk>,
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Payload {
    jti: Option<String>,
    htm: Option<String>,
    htu: Option<String>,
    iat: Option<f64>,
    ath: Option<String>,
    nonce: Option<String>,
}

/// A payload that has all that is needed.
#[derive(Clone, Debug)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    issued: Timestamp,
    ath: Option<String>,
    nonce: Option<String>,
}

/// The request's one `dpop` field.
///
/// # Errors
/// Where there is none, more than one, or one that is no text.
pub fn field(headers: &HeaderMap) -> Result<&str, ProofError> {
    let mut fields = headers.get_all(FIELD).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Err(ProofError::NoProof),
        (Some(_), Some(_)) => Err(ProofError::ManyProofs),
        (Some(field), None) => field.to_str().map_err(|_| ProofError::Parts),
    }
}

impl Default for Leeway {
    /// A minute, and 5 seconds.
    fn default() -> Self {
        Self { past: Duration::from_secs(60), future: Duration::from_secs(5) }
    }
}

impl<'a> Proof<'a> {
    /// Reads a proof whose algorithm is one of `algorithms`.
    ///
    /// # Errors
    /// What is wrong with it by itself (RFC 9449 §4.3, checks 2 to 5 and 7).
    pub fn parse(field: &'a str, algorithms: &[Algorithm]) -> Result<Self, ProofError> {
        if field.len() > MAX_PROOF {
            return Err(ProofError::TooLong);
        }
        let (signed, signature) = field.rsplit_once('.').ok_or(ProofError::Parts)?;
        let (header, claims) = signed.split_once('.').ok_or(ProofError::Parts)?;
        if claims.contains('.') {
            return Err(ProofError::Parts);
        }
        let header: Header = json(header, Part::Header)?;
        if header.crit.is_some() {
            return Err(ProofError::Critical);
        }
        if header.typ.ok_or(ProofError::Missing("typ"))? != "dpop+jwt" {
            return Err(ProofError::Type);
        }
        let algorithm = header.alg.ok_or(ProofError::Missing("alg"))?;
        let algorithm = Algorithm::parse(&algorithm).filter(|a| algorithms.contains(a));
        let algorithm = algorithm.ok_or(ProofError::Algorithm)?;
        let key = header.jwk.ok_or(ProofError::Missing("jwk"))?.public_key()?;
        if !key.is_for(algorithm) {
            return Err(ProofError::Key(KeyFault::Algorithm));
        }
        let claims = Claims::parse(claims)?;
        let signature = decode(signature, Part::Signature)?;
        let thumbprint = key.thumbprint();
        Ok(Self { algorithm, key, thumbprint, claims, signed, signature })
    }

    /// Which key it claims to be signed with.
    #[must_use]
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// Holds it against its request. The signature is checked last: it costs most.
    ///
    /// # Errors
    /// The first check of RFC 9449 §4.3 that fails.
    pub fn check(
        &self,
        expected: &Expected<'_>,
        signatures: &dyn SignatureCheck,
    ) -> Result<Checked, ProofError> {
        let issued = self.claims.issued;
        if self.claims.htm != expected.method {
            return Err(ProofError::Method);
        }
        if !is_target(&self.claims.htu, expected.authority, expected.path) {
            return Err(ProofError::Target);
        }
        if issued + expected.leeway.past < expected.now {
            return Err(ProofError::TooOld);
        }
        if issued > expected.now + expected.leeway.future {
            return Err(ProofError::TooNew);
        }
        self.check_nonce(expected.nonces)?;
        if let Some(token) = &expected.token {
            self.check_token(token)?;
        }
        if !signatures.holds(self.algorithm, &self.key, self.signed.as_bytes(), &self.signature) {
            return Err(ProofError::Signature);
        }
        Ok(Checked { thumbprint: self.thumbprint, number: self.number(), issued })
    }

    fn check_nonce(&self, nonces: &[&str]) -> Result<(), ProofError> {
        match self.claims.nonce.as_deref() {
            _ if nonces.is_empty() => Ok(()),
            None => Err(ProofError::NoNonce),
            Some(nonce) if nonces.contains(&nonce) => Ok(()),
            Some(_) => Err(ProofError::Nonce),
        }
    }

    fn check_token(&self, token: &Token<'_>) -> Result<(), ProofError> {
        let named = self.claims.ath.as_deref().ok_or(ProofError::NoTokenHash)?;
        if named != URL_SAFE_NO_PAD.encode(Sha256::digest(token.text)) {
            return Err(ProofError::TokenHash);
        }
        if self.thumbprint != *token.key {
            return Err(ProofError::TokenKey);
        }
        Ok(())
    }

    /// Of this key only: who chooses another's number does not use it up.
    fn number(&self) -> [u8; 16] {
        let hash = Sha256::new().chain_update(self.thumbprint.as_bytes());
        let hash = hash.chain_update(&self.claims.jti);
        let mut number = [0; 16];
        number.copy_from_slice(&hash.finalize()[..16]);
        number
    }

    /// The nonce that it carries.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.claims.nonce.as_deref()
    }
}

impl Claims {
    fn parse(text: &str) -> Result<Self, ProofError> {
        let payload: Payload = json(text, Part::Claims)?;
        let missing = ProofError::Missing;
        let jti = payload.jti.ok_or(missing("jti"))?;
        if jti.is_empty() || jti.len() > MAX_JTI {
            return Err(ProofError::Number);
        }
        Ok(Self {
            jti,
            htm: payload.htm.ok_or(missing("htm"))?,
            htu: payload.htu.ok_or(missing("htu"))?,
            issued: seconds(payload.iat.ok_or(missing("iat"))?),
            ath: payload.ath,
            nonce: payload.nonce,
        })
    }
}

impl Checked {
    /// Which key it is signed with.
    #[must_use]
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }
}

fn decode(text: &str, part: Part) -> Result<Vec<u8>, ProofError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| ProofError::Malformed(part))
}

fn json<T: for<'de> Deserialize<'de>>(text: &str, part: Part) -> Result<T, ProofError> {
    serde_json::from_slice(&decode(text, part)?).map_err(|_| ProofError::Malformed(part))
}

/// A NumericDate (RFC 7519 §2). What is before the epoch is at it, which is too old.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
fn seconds(since_epoch: f64) -> Timestamp {
    Timestamp::from_unix_nanos((since_epoch * 1e9) as u64)
}
