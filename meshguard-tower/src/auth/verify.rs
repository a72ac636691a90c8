//! One token, held against the keys and the rules.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode};
use meshguard_core::Timestamp;
use meshguard_core::dpop::{Algorithm, Part, Thumbprint};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::error::TokenError;
use super::keys::{Key, Keys};
use super::{MAX_TOKEN, Rules};

/// A token whose signature, issuer and audience hold.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) claims: Arc<Value>,
    /// Not before then.
    from: Option<Timestamp>,
    /// From then on no more.
    pub(super) until: Timestamp,
    pub(super) bound: Bound,
    /// The key that it is signed with.
    pub(super) key: Thumbprint,
}

/// What a token is bound to (RFC 7800 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bound {
    /// `jkt`, a key (RFC 9449 §6.1).
    pub(super) key: Option<Thumbprint>,
    /// `x5t#S256`, a certificate (RFC 8705 §3.1).
    pub(super) certificate: Option<[u8; 32]>,
}

#[derive(Deserialize)]
struct Header {
    alg: Option<String>,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

impl Verified {
    /// Whether the token holds now.
    pub(super) fn holds(&self, now: Timestamp) -> Result<(), TokenError> {
        if now >= self.until {
            return Err(TokenError::Expired);
        }
        if self.from.is_some_and(|from| now < from) {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }
}

#[cfg(test)]
impl Verified {
    pub(super) fn of_nobody() -> Self {
        let (claims, until, key) = (Arc::default(), Timestamp::EPOCH, [0; 32].into());
        Self { claims, from: None, until, bound: Bound::default(), key }
    }
}

/// Verifies all but its time.
pub(super) fn verify(token: &str, keys: &Keys, rules: &Rules) -> Result<Verified, TokenError> {
    if token.len() > MAX_TOKEN {
        return Err(TokenError::TooLong);
    }
    if token.bytes().filter(|b| *b == b'.').count() != 2 {
        return Err(TokenError::Parts);
    }
    let (header, algorithm) = header(token, rules)?;
    let keys = keys.find(header.kid.as_deref(), algorithm)?;
    let (key, claims) = signed(token, &keys, algorithm)?;
    check(claims, rules, key.thumbprint)
}

/// The key that the token is signed with, and what it claims.
fn signed<'k>(
    token: &str,
    keys: &[&'k Key],
    algorithm: Algorithm,
) -> Result<(&'k Key, Value), TokenError> {
    let mut validation = Validation::new(named(algorithm));
    // Signature and form are checked there, what is claimed is checked here: by our clock, and
    // with our reasons.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    for key in keys {
        match decode::<Value>(token, &key.decoding, &validation) {
            Ok(decoded) => return Ok((key, decoded.claims)),
            Err(error) => match failure(error.kind()) {
                TokenError::Signature => {}
                // It is this key's, or it would be none under any other.
                fault => return Err(fault),
            },
        }
    }
    Err(TokenError::Signature)
}

fn header(token: &str, rules: &Rules) -> Result<(Header, Algorithm), TokenError> {
    let malformed = TokenError::Malformed(Part::Header);
    let text = token.split('.').next().unwrap_or_default();
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed)?;
    let header: Header = serde_json::from_slice(&json).map_err(|_| malformed)?;
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    let named = header.alg.as_deref().ok_or(TokenError::Missing("alg"))?;
    // RFC 9864's other name for it is not known to the one who decodes.
    let algorithm = Algorithm::parse(named).filter(|a| a.as_str() == named);
    let algorithm = algorithm.filter(|a| rules.algorithms.contains(a));
    let algorithm = algorithm.ok_or(TokenError::Algorithm)?;
    let typ = header.typ.as_deref().unwrap_or_default().to_ascii_lowercase();
    if rules.at_jwt_only && !matches!(&*typ, "at+jwt" | "application/at+jwt") {
        return Err(TokenError::Type);
    }
    Ok((header, algorithm))
}

fn named(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
    }
}

fn failure(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidToken => TokenError::Parts,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => TokenError::Algorithm,
        // The header was read already, and nothing is decoded before the signature holds but
        // the signature itself.
        ErrorKind::Base64(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_) => {
            TokenError::Malformed(Part::Claims)
        }
        _ => TokenError::Signature,
    }
}

fn check(claims: Value, rules: &Rules, key: Thumbprint) -> Result<Verified, TokenError> {
    if !claims.is_object() {
        return Err(TokenError::Malformed(Part::Claims));
    }
    let issuer = claims.get("iss").ok_or(TokenError::Missing("iss"))?;
    let issuer = issuer.as_str().ok_or(TokenError::Claim("iss"))?;
    if !rules.issuers.iter().any(|known| known == issuer) {
        return Err(TokenError::Issuer);
    }
    audience(claims.get("aud").ok_or(TokenError::Missing("aud"))?, &rules.audiences)?;
    let until = time(&claims, "exp")?.ok_or(TokenError::Missing("exp"))? + rules.leeway;
    let from = time(&claims, "nbf")?.map(|from| before(from, rules.leeway));
    let bound = claims.get("cnf").map(bound).transpose()?.unwrap_or_default();
    Ok(Verified { claims: Arc::new(claims), from, until, bound, key })
}

fn audience(aud: &Value, known: &[String]) -> Result<(), TokenError> {
    let is_known = |name: &str| known.iter().any(|audience| audience == name);
    let found = match aud {
        Value::String(name) => is_known(name),
        Value::Array(names) => {
            let names: Option<Vec<_>> = names.iter().map(Value::as_str).collect();
            names.ok_or(TokenError::Claim("aud"))?.into_iter().any(is_known)
        }
        _ => return Err(TokenError::Claim("aud")),
    };
    if found { Ok(()) } else { Err(TokenError::Audience) }
}

/// A NumericDate (RFC 7519 §2), in whole seconds or not.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
fn time(claims: &Value, name: &'static str) -> Result<Option<Timestamp>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = match (value.as_u64(), value.as_f64()) {
        (Some(seconds), _) => return Ok(Some(Timestamp::from_unix_secs(seconds))),
        (None, Some(seconds)) => seconds,
        (None, None) => return Err(TokenError::Claim(name)),
    };
    Ok(Some(Timestamp::from_unix_nanos((seconds * 1e9) as u64)))
}

fn before(at: Timestamp, leeway: Duration) -> Timestamp {
    at - leeway
}

/// A `cnf` that says nothing which is understood binds the token to nobody known.
fn bound(cnf: &Value) -> Result<Bound, TokenError> {
    let hash = |name| match cnf.get(name) {
        None => Ok(None),
        Some(value) => {
            let hash = value.as_str().and_then(Thumbprint::parse);
            hash.map(Some).ok_or(TokenError::Claim("cnf"))
        }
    };
    let (key, certificate) = (hash("jkt")?, hash("x5t#S256")?);
    if key.is_none() && certificate.is_none() {
        return Err(TokenError::Binding);
    }
    Ok(Bound { key, certificate: certificate.map(|hash| *hash.as_bytes()) })
}
