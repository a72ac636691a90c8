//! Public keys as JWKs (RFC 7517), and what they sign with.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::KeyFault;

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1). Those that are not here, `none` and all
/// symmetric ones among them, cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

/// Checks signatures. Core has no cryptography of its own for them.
pub trait SignatureCheck: Send + Sync {
    /// Whether `signature` over `message` is `key`'s. An ECDSA signature has the fixed form of
    /// RFC 7518 §3.4. `key` is for `algorithm`; whether its point is on the curve is not known.
    fn holds(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> bool;
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// A point on P-256, by its coordinates.
    P256 {
        /// The first.
        x: [u8; 32],
        /// The second.
        y: [u8; 32],
    },
    /// A point on P-384, by its coordinates.
    P384 {
        /// The first.
        x: [u8; 48],
        /// The second.
        y: [u8; 48],
    },
    /// A key of Ed25519 (RFC 8037).
    Ed25519([u8; 32]),
    /// A key of RSA: 2048 to 4096 bits.
    Rsa {
        /// The modulus, big endian.
        n: Box<[u8]>,
        /// The exponent, big endian, at most 8 bytes.
        e: Box<[u8]>,
    },
}

/// The SHA-256 thumbprint of a public key (RFC 7638), as `jkt` has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

/// A JWK as it is read: any key, and what it says of itself. Members that are not known are
/// passed over, as RFC 7517 §4 asks; known ones that are there twice are an error.
#[derive(Clone, Debug, Deserialize)]
pub struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// Which key of a set it is (§4.5).
    pub kid: Option<String>,
    /// The one algorithm that it is for (§4.4), where it names one.
    pub alg: Option<String>,
    /// What it is for (§4.2): `sig` or `enc`.
    #[serde(rename = "use")]
    pub usage: Option<String>,
    /// What it is for (§4.3), in detail.
    pub key_ops: Option<Vec<String>>,
    // What only the holder of the private key knows (RFC 7518 §6), or both do.
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Es256, Self::Es384, Self::EdDsa, Self::Ps256, Self::Rs256];

    /// Reads the name; `None` for all that cannot be accepted.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        // RFC 9864 names what `EdDSA` leaves open.
        if name == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// The name in `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PublicKey {
    /// Whether the key is one that `algorithm` signs with.
    #[must_use]
    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        matches!(
            (self, algorithm),
            (Self::P256 { .. }, Algorithm::Es256)
                | (Self::P384 { .. }, Algorithm::Es384)
                | (Self::Ed25519(_), Algorithm::EdDsa)
                | (Self::Rsa { .. }, Algorithm::Ps256 | Algorithm::Rs256)
        )
    }

    /// The thumbprint: SHA-256 over the required members, in their order (RFC 7638 §3).
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let ec = |crv, x: &[u8], y: &[u8]| {
            format!(r#"{{"crv":"{crv}","kty":"EC","x":"{}","y":"{}"}}"#, b64(x), b64(y))
        };
        let text = match self {
            Self::P256 { x, y } => ec("P-256", x, y),
            Self::P384 { x, y } => ec("P-384", x, y),
            Self::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(x)),
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n)),
        };
        Thumbprint(Sha256::digest(text).into())
    }
}

impl Jwk {
    /// The public key that it is.
    ///
    /// # Errors
    /// Where it is secret, not understood or malformed.
    pub fn public_key(&self) -> Result<PublicKey, KeyFault> {
        if self.is_secret() {
            return Err(KeyFault::Private);
        }
        match (&*self.kty, self.crv.as_deref()) {
            ("EC", Some("P-256")) => Ok(PublicKey::P256 { x: fixed(&self.x)?, y: fixed(&self.y)? }),
            ("EC", Some("P-384")) => Ok(PublicKey::P384 { x: fixed(&self.x)?, y: fixed(&self.y)? }),
            ("OKP", Some("Ed25519")) => Ok(PublicKey::Ed25519(fixed(&self.x)?)),
            ("RSA", _) => rsa(number(&self.n)?, number(&self.e)?),
            _ => Err(KeyFault::Kind),
        }
    }

    /// Whether it has what nobody else should know.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        let private = [&self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth, &self.k];
        self.kty == "oct" || private.into_iter().any(Option::is_some)
    }
}

fn fixed<const N: usize>(text: &Option<String>) -> Result<[u8; N], KeyFault> {
    let bytes = URL_SAFE_NO_PAD.decode(text.as_deref().unwrap_or_default());
    bytes.ok().and_then(|bytes| bytes.try_into().ok()).ok_or(KeyFault::Malformed)
}

/// A number in as few bytes as it needs (RFC 7518 §2): there is one way to write it.
fn number(text: &Option<String>) -> Result<Box<[u8]>, KeyFault> {
    let bytes = URL_SAFE_NO_PAD.decode(text.as_deref().unwrap_or_default());
    let bytes = bytes.map_err(|_| KeyFault::Malformed)?;
    match bytes.first() {
        None | Some(0) => Err(KeyFault::Malformed),
        Some(_) => Ok(bytes.into()),
    }
}

fn rsa(n: Box<[u8]>, e: Box<[u8]>) -> Result<PublicKey, KeyFault> {
    // 2048 bits need the first bit of 256 bytes.
    let large = n.len() > 256 || (n.len() == 256 && n[0] >= 0x80);
    match large && n.len() <= 512 && e.len() <= 8 {
        true => Ok(PublicKey::Rsa { n, e }),
        false => Err(KeyFault::Size),
    }
}

impl Thumbprint {
    /// Reads the form that it has in `jkt`: 43 characters of base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        (text.len() == 43 && URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) == Ok(32))
            .then_some(Self(bytes))
    }

    /// The hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Thumbprint {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(json: &str) -> Result<PublicKey, KeyFault> {
        serde_json::from_str::<Jwk>(json).unwrap().public_key()
    }

    #[test]
    fn the_thumbprints_of_the_rfcs_come_out() {
        // RFC 7638 §3.1, and RFC 8037 appendix A.3.
        let rsa = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
        let okp =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        for (json, want) in [
            (rsa, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            (okp, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
        ] {
            let found = key(json).unwrap().thumbprint();
            assert_eq!(found.to_string(), want);
            assert_eq!(Thumbprint::parse(want), Some(found));
        }
    }

    #[test]
    fn a_key_that_is_secret_short_or_written_another_way_is_refused() {
        let point = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let ec = |x: &str, more: &str| {
            key(&format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{point}"{more}}}"#))
        };
        assert!(ec(point, "").is_ok());
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            let more = format!(r#","{private}":"AA""#);
            assert_eq!(ec(point, &more), Err(KeyFault::Private), "{private}");
        }
        let (short, long, padded) = (&point[4..], format!("{point}AAAA"), format!("{point}="));
        // Other last bits would be another text of the same key.
        let another = format!("{}B", &point[..42]);
        for x in [short, &long, &padded, &another, ""] {
            assert_eq!(ec(x, ""), Err(KeyFault::Malformed), "{x}");
        }
        assert_eq!(key(r#"{"kty":"oct","k":"AAAA"}"#), Err(KeyFault::Private));
        assert_eq!(key(r#"{"kty":"oct"}"#), Err(KeyFault::Private));
        assert_eq!(key(r#"{"kty":"EC","crv":"P-521"}"#), Err(KeyFault::Kind));
        assert_eq!(key(r#"{"kty":"EC"}"#), Err(KeyFault::Kind));
        assert!(serde_json::from_str::<Jwk>(r#"{"kty":"EC","kty":"RSA"}"#).is_err());
    }

    #[test]
    fn an_rsa_key_has_2048_to_4096_bits() {
        let rsa = |n: &[u8], e: &[u8]| {
            let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
            key(&format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#))
        };
        assert!(rsa(&[0x80; 256], &[1, 0, 1]).is_ok() && rsa(&[1; 512], &[3]).is_ok());
        assert_eq!(rsa(&[0x7f; 256], &[3]), Err(KeyFault::Size));
        assert_eq!(rsa(&[1; 513], &[3]), Err(KeyFault::Size));
        assert_eq!(rsa(&[1; 512], &[1; 9]), Err(KeyFault::Size));
        assert_eq!(rsa(&[&[0], &[1; 300][..]].concat(), &[3]), Err(KeyFault::Malformed));
        assert_eq!(rsa(&[1; 512], &[0, 3]), Err(KeyFault::Malformed));
    }

    #[test]
    fn no_symmetric_algorithm_and_not_none_can_be_named() {
        for name in ["none", "None", "HS256", "HS384", "HS512", "es256", "", "RS1", "ES256K"] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
        }
    }
}
