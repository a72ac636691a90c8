//! The keys that issuers sign with.

use std::io;
use std::path::Path;

use jsonwebtoken::DecodingKey;
use meshguard_core::dpop::{Algorithm, Jwk, PublicKey, Thumbprint};
use serde::Deserialize;
use serde_json::Value;

use super::TokensError;
use super::error::TokenError;
use crate::files::{Text, Unsettled};

/// A token is held against at most so many keys: each costs the check of a signature, and anybody
/// can send a token.
pub(super) const MAX_TRIED: usize = 16;
/// A set has at most so many keys.
const MAX_KEYS: usize = 128;
/// A file of keys has at most so many bytes.
pub(super) const MAX_FILE: u64 = 1024 * 1024;

/// A set of public keys.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

/// One key, and what it may sign with.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    pub(super) thumbprint: Thumbprint,
    pub(super) decoding: DecodingKey,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// The keys in what was read of the file at `path`.
    pub(super) fn read(
        path: &Path,
        read: Result<Vec<Text>, Unsettled>,
    ) -> Result<Self, TokensError> {
        let texts = read.map_err(|Unsettled(path)| TokensError::Unsettled(path))?;
        let text = texts.into_iter().next().ok_or(io::ErrorKind::NotFound.into()).flatten();
        Self::parse(&text.map_err(|error| TokensError::Read(path.to_owned(), error))?)
    }

    /// Keys that are not understood are passed over (RFC 7517 §5), and told; secret ones are not.
    pub(super) fn parse(json: &[u8]) -> Result<Self, TokensError> {
        let set: Set =
            serde_json::from_slice(json).map_err(|e| TokensError::NotASet(e.to_string()))?;
        if set.keys.len() > MAX_KEYS {
            return Err(TokensError::TooManyKeys(set.keys.len()));
        }
        let mut keys = Vec::new();
        for (at, value) in set.keys.into_iter().enumerate() {
            match Jwk::deserialize(value) {
                Ok(jwk) if jwk.is_secret() => return Err(TokensError::Secret(name(&jwk, at))),
                Ok(jwk) => match Key::new(&jwk) {
                    Ok(key) => keys.push(key),
                    Err(why) => passed_over(&name(&jwk, at), &why),
                },
                Err(error) => passed_over(&at.to_string(), &error.to_string()),
            }
        }
        if keys.is_empty() { Err(TokensError::NoKey) } else { Ok(Self(keys)) }
    }

    /// The keys that a token may be signed with, by what its header says: those of its `kid`,
    /// where a key of the set has it; else all that have no `kid`, as nothing says that it is
    /// none of them. Without a `kid` (it is optional: RFC 7515 §4.1.4, RFC 7517 §4.5), all of its
    /// algorithm.
    pub(super) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<&Key>, TokenError> {
        let fit = || self.0.iter().filter(|key| key.algorithms.contains(&algorithm));
        let known = kid.filter(|kid| self.0.iter().any(|key| key.kid.as_deref() == Some(*kid)));
        let found: Vec<&Key> = match (kid, known) {
            (None, _) => fit().take(MAX_TRIED + 1).collect(),
            (Some(_), kid) => {
                fit().filter(|key| key.kid.as_deref() == kid).take(MAX_TRIED + 1).collect()
            }
        };
        match found.len() {
            0 => Err(TokenError::UnknownKey),
            count if count > MAX_TRIED => Err(TokenError::ManyKeys),
            _ => Ok(found),
        }
    }

    pub(super) fn has(&self, key: &Thumbprint) -> bool {
        self.0.iter().any(|known| known.thumbprint == *key)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Key {
    fn new(jwk: &Jwk) -> Result<Self, String> {
        let key = jwk.public_key().map_err(|fault| format!("it {fault}"))?;
        let verifies = jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|o| o == "verify"));
        if !verifies || jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err("it is not for signatures".into());
        }
        let algorithms: Vec<_> = match &jwk.alg {
            None => Algorithm::ALL.into_iter().filter(|a| key.is_for(*a)).collect(),
            Some(name) => Algorithm::parse(name).into_iter().filter(|a| key.is_for(*a)).collect(),
        };
        if algorithms.is_empty() {
            return Err("its algorithm is not accepted".into());
        }
        Ok(Self {
            kid: jwk.kid.clone(),
            algorithms,
            thumbprint: key.thumbprint(),
            decoding: decoding(&key),
        })
    }
}

fn decoding(key: &PublicKey) -> DecodingKey {
    let point = |x: &[u8], y: &[u8]| DecodingKey::from_ec_der(&[&[4], x, y].concat());
    match key {
        PublicKey::P256 { x, y } => point(x, y),
        PublicKey::P384 { x, y } => point(x, y),
        PublicKey::Ed25519(x) => DecodingKey::from_ed_der(x),
        PublicKey::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
    }
}

fn name(jwk: &Jwk, at: usize) -> String {
    jwk.kid.clone().unwrap_or_else(|| at.to_string())
}

fn passed_over(name: &str, why: &str) {
    tracing::warn!(target: "meshguard::tokens", { key.id = name }, "a key is passed over: {why}");
}
