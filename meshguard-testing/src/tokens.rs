//! Access tokens and proofs of possession, for tests of services that ask for them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshguard_tower::dev::DevSvid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// An issuer of access tokens (RFC 7519), with a key of its own.
///
/// ```
/// use meshguard_testing::{DpopKey, TokenIssuer};
/// use serde_json::json;
///
/// let issuer = TokenIssuer::new("https://login.shop.example")?;
/// let key = DpopKey::new()?;
/// let token = issuer.token(json!({
///     "aud": "https://orders.shop.example",
///     "scope": "orders:write",
///     "cnf": { "jkt": key.thumbprint() },
/// }));
/// let proof = key.proof("POST", "https://orders.shop.example/orders", &token);
/// // The service verifies with: Tokens::from_jwks(&issuer.jwks())?
/// # assert!(proof.split('.').count() == 3 && issuer.jwks().contains("Ed25519"));
/// # Ok::<(), meshguard_testing::TokenKeyError>(())
/// ```
pub struct TokenIssuer {
    name: String,
    key: Ed25519KeyPair,
}

/// The key that a caller proves to hold (DPoP, RFC 9449).
pub struct DpopKey(Ed25519KeyPair);

/// No key could be made: the system has no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenKeyError;

impl TokenIssuer {
    /// An issuer of this name, which becomes `iss`.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn new(name: impl Into<String>) -> Result<Self, TokenKeyError> {
        Ok(Self { name: name.into(), key: generate()? })
    }

    /// Its public key, as a JWK Set (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> String {
        let mut key = jwk(&self.key);
        key["kid"] = json!(self.kid());
        key["alg"] = json!("EdDSA");
        json!({ "keys": [key] }).to_string()
    }

    /// A token with these claims, an object; `iss` and `exp`, in five minutes, are added where
    /// they are not among them.
    #[must_use]
    pub fn token(&self, claims: Value) -> String {
        let mut claims = claims;
        if let Some(object) = claims.as_object_mut() {
            object.entry("iss").or_insert_with(|| json!(self.name));
            object.entry("exp").or_insert_with(|| json!(seconds() + 300));
        }
        let header = json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": self.kid() });
        sign(&self.key, &header, &claims)
    }

    fn kid(&self) -> String {
        thumbprint(&self.key)
    }
}

impl DpopKey {
    /// A fresh key.
    ///
    /// # Errors
    /// Where none can be made.
    pub fn new() -> Result<Self, TokenKeyError> {
        generate().map(Self)
    }

    /// Its thumbprint (RFC 7638), for a token's `cnf.jkt`.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        thumbprint(&self.0)
    }

    /// A proof for one request, made now: `uri` is `https`, with the host and port that the
    /// request names, and its path.
    #[must_use]
    pub fn proof(&self, method: &str, uri: &str, token: &str) -> String {
        self.sign(&self.claims(method, uri, token))
    }

    /// What [`proof`](Self::proof) says, to be changed, and signed with [`sign`](Self::sign).
    #[must_use]
    pub fn claims(&self, method: &str, uri: &str, token: &str) -> Value {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let ath = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
        json!({ "jti": format!("{number}"), "htm": method, "htu": uri, "iat": seconds(), "ath": ath })
    }

    /// A proof with these claims, sound or not.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk(&self.0) });
        sign(&self.0, &header, claims)
    }
}

/// The thumbprint of a certificate, for the `cnf["x5t#S256"]` of a token that is bound to it
/// (RFC 8705 §3.1).
///
/// # Panics
/// Never: an SVID's PEM is a certificate.
#[must_use]
#[allow(clippy::expect_used)]
pub fn certificate_thumbprint(svid: &DevSvid) -> String {
    // INVARIANT: the authority in memory wrote this PEM itself.
    let der = CertificateDer::from_pem_slice(svid.cert_pem().as_bytes()).expect("a certificate");
    URL_SAFE_NO_PAD.encode(digest(&SHA256, &der))
}

fn generate() -> Result<Ed25519KeyPair, TokenKeyError> {
    Ed25519KeyPair::generate().map_err(|_| TokenKeyError)
}

fn jwk(key: &Ed25519KeyPair) -> Value {
    let x = URL_SAFE_NO_PAD.encode(key.public_key());
    json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
}

fn thumbprint(key: &Ed25519KeyPair) -> String {
    let x = URL_SAFE_NO_PAD.encode(key.public_key());
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

fn sign(key: &Ed25519KeyPair, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map(|since| since.as_secs()).unwrap_or_default()
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DpopKey({})", self.thumbprint())
    }
}

impl fmt::Display for TokenKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no key could be made")
    }
}

impl std::error::Error for TokenKeyError {}
