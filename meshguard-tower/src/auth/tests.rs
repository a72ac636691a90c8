//! Keys, tokens and schemes, each by itself.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshguard_core::Timestamp;
use meshguard_core::dpop::{Algorithm, Jwk, Part, SignatureCheck as _};
use serde_json::{Value, json};

use super::error::TokenError;
use super::keys::{Keys, MAX_TRIED};
use super::signatures::AwsLc;
use super::verify::{Verified, verify};
use super::{Tokens, TokensError};

const NOW: u64 = 1_700_000_000;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An issuer's key of each kind.
enum Key {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Es256 => {
                Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
            }
            Algorithm::Es384 => {
                Self::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
            }
            Algorithm::EdDsa => Self::Ed(Ed25519KeyPair::generate().unwrap()),
            Algorithm::Ps256 | Algorithm::Rs256 => {
                Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
            }
        }
    }

    fn jwk(&self) -> Value {
        match self {
            Self::Ec(pair) => {
                let (x, y) =
                    pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": crv, "x": b64(x), "y": b64(y) })
            }
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key()) })
            }
            Self::Rsa(pair) => {
                // RSAPublicKey (RFC 8017 appendix A.1.1) of 2048 bits: the modulus, then 65537.
                let der = pair.public_key().as_ref();
                assert_eq!((der.len(), &der[265..]), (270, &[2, 3, 1, 0, 1][..]));
                json!({ "kty": "RSA", "n": b64(&der[9..265]), "e": "AQAB" })
            }
        }
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let by: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                pair.sign(by, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    fn token(&self, algorithm: Algorithm, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        format!("{signed}.{}", b64(self.sign(algorithm, signed.as_bytes())))
    }
}

fn claims() -> Value {
    json!({ "iss": "https://login.example", "aud": ["a", "orders"], "exp": NOW + 60 })
}

fn rules() -> super::Rules {
    tokens(&json!({ "keys": [Key::of(Algorithm::EdDsa).jwk()] })).unwrap().rules
}

fn tokens(set: &Value) -> Result<Tokens, TokensError> {
    let tokens = Tokens::from_jwks(&set.to_string())?;
    Ok(tokens.issuer("https://login.example").audience("orders"))
}

fn keys(set: &[Value]) -> Keys {
    Keys::parse(json!({ "keys": set }).to_string().as_bytes()).unwrap()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_unix_secs(secs)
}

#[test]
fn a_token_and_a_proof_of_each_algorithm_holds_and_no_other_algorithms_signature_does() {
    for algorithm in Algorithm::ALL {
        let key = Key::of(algorithm);
        let header = json!({ "alg": algorithm.as_str() });
        let token = key.token(algorithm, &header, &claims());
        assert!(verify(&token, &keys(&[key.jwk()]), &rules()).is_ok(), "{algorithm}");
        let other = Key::of(algorithm);
        let refused = verify(&token, &keys(&[other.jwk()]), &rules()).unwrap_err();
        assert_eq!(refused, TokenError::Signature, "{algorithm}");

        let public = serde_json::from_value::<Jwk>(key.jwk()).unwrap().public_key().unwrap();
        let signature = key.sign(algorithm, b"proof");
        for by in Algorithm::ALL {
            let holds = AwsLc.holds(by, &public, b"proof", &signature);
            assert_eq!(holds, by == algorithm, "{algorithm} checked as {by}");
        }
        assert!(!AwsLc.holds(algorithm, &public, b"another", &signature));
    }
}

#[test]
fn a_key_signs_with_no_algorithm_but_its_own() {
    let key = Key::of(Algorithm::Rs256);
    let mut jwk = key.jwk();
    jwk["alg"] = json!("PS256");
    let header = json!({ "alg": "RS256" });
    let token = key.token(Algorithm::Rs256, &header, &claims());
    let refused = verify(&token, &keys(&[jwk]), &rules()).unwrap_err();
    assert_eq!(refused, TokenError::UnknownKey);
    // A public key is no secret to be used as one (RFC 8725 §2.1).
    for alg in ["HS256", "none", "Ed25519", "es256"] {
        let token = key.token(Algorithm::Rs256, &json!({ "alg": alg }), &claims());
        let refused = verify(&token, &keys(&[key.jwk()]), &rules()).unwrap_err();
        assert_eq!(refused, TokenError::Algorithm, "{alg}");
    }
    let mut narrow = rules();
    narrow.algorithms = vec![Algorithm::Es256];
    let refused = verify(&token, &keys(&[key.jwk()]), &narrow).unwrap_err();
    assert_eq!(refused, TokenError::Algorithm);
}

#[test]
fn the_key_is_the_one_that_the_header_names() {
    let (a, b) = (Key::of(Algorithm::EdDsa), Key::of(Algorithm::EdDsa));
    let named = |key: &Key, kid: &str| {
        let mut jwk = key.jwk();
        jwk["kid"] = json!(kid);
        jwk
    };
    let both = keys(&[named(&a, "a"), named(&b, "b")]);
    let by = |header: Value| a.token(Algorithm::EdDsa, &header, &claims());
    let judged = |header: Value| verify(&by(header), &both, &rules()).map(drop);
    assert_eq!(judged(json!({ "alg": "EdDSA", "kid": "a" })), Ok(()));
    assert_eq!(judged(json!({ "alg": "EdDSA", "kid": "b" })), Err(TokenError::Signature));
    assert_eq!(judged(json!({ "alg": "EdDSA", "kid": "c" })), Err(TokenError::UnknownKey));
    assert_eq!(judged(json!({ "alg": "EdDSA" })), Ok(()), "each is tried");
    // What the token itself brings is no key of ours (RFC 8725 §3.10).
    let own = json!({ "alg": "EdDSA", "kid": "c", "jwk": a.jwk(), "jku": "https://evil.example" });
    assert_eq!(judged(own), Err(TokenError::UnknownKey));
    let critical = json!({ "alg": "EdDSA", "kid": "a", "crit": ["b64"], "b64": false });
    assert_eq!(judged(critical), Err(TokenError::Critical));
}

/// RFC 7515 §4.1.4, RFC 7517 §4.5: `kid` is optional on both sides.
#[test]
fn keys_without_a_kid_are_tried_each() {
    let [a, b, c] = [(); 3].map(|()| Key::of(Algorithm::EdDsa));
    let named = |key: &Key, kid: &str| {
        let mut jwk = key.jwk();
        jwk["kid"] = json!(kid);
        jwk
    };
    let signed_by_b = |kid: Value, set: &[Value]| {
        let token = b.token(Algorithm::EdDsa, &json!({ "alg": "EdDSA", "kid": kid }), &claims());
        verify(&token, &keys(set), &rules()).map(drop)
    };
    let bare = [a.jwk(), b.jwk()];
    assert_eq!(signed_by_b(Value::Null, &bare), Ok(()));
    assert_eq!(signed_by_b(json!("2024-11"), &bare), Ok(()), "no key contradicts the kid");
    assert_eq!(signed_by_b(json!("b"), &[named(&a, "a"), b.jwk()]), Ok(()));
    // A key that has the kid is the one that is meant, and no other.
    assert_eq!(signed_by_b(json!("a"), &[named(&a, "a"), b.jwk()]), Err(TokenError::Signature));
    // One of each type may have the same kid; here two of one type do.
    assert_eq!(signed_by_b(json!("x"), &[named(&a, "x"), named(&b, "x")]), Ok(()));
    assert_eq!(
        signed_by_b(json!("b"), &[named(&a, "a"), named(&c, "c")]),
        Err(TokenError::UnknownKey)
    );
    assert_eq!(signed_by_b(Value::Null, &[a.jwk(), c.jwk()]), Err(TokenError::Signature));
    // Keys of other types are not asked, and cost nothing.
    let others = vec![Key::of(Algorithm::Es256).jwk(); MAX_TRIED];
    assert_eq!(signed_by_b(Value::Null, &[&others[..], &bare].concat()), Ok(()));
}

#[test]
fn a_token_is_held_against_a_bounded_number_of_keys() {
    let (own, other) = (Key::of(Algorithm::EdDsa), Key::of(Algorithm::EdDsa));
    let token = own.token(Algorithm::EdDsa, &json!({ "alg": "EdDSA" }), &claims());
    let among = |others: usize| {
        let mut set = vec![other.jwk(); others];
        set.push(own.jwk());
        verify(&token, &keys(&set), &rules()).map(drop)
    };
    assert_eq!(among(MAX_TRIED - 1), Ok(()));
    assert_eq!(among(MAX_TRIED), Err(TokenError::ManyKeys));
}

/// The key that holds is the one whose removal ends what the token let in.
#[test]
fn a_verified_token_names_the_key_that_holds() {
    let (a, b) = (Key::of(Algorithm::EdDsa), Key::of(Algorithm::EdDsa));
    let token = b.token(Algorithm::EdDsa, &json!({ "alg": "EdDSA" }), &claims());
    let verified = verify(&token, &keys(&[a.jwk(), b.jwk()]), &rules()).unwrap();
    assert!(keys(&[b.jwk()]).has(&verified.key) && !keys(&[a.jwk()]).has(&verified.key));
}

#[test]
fn a_token_that_must_be_an_access_token_says_so() {
    let key = Key::of(Algorithm::EdDsa);
    let mut only = rules();
    only.at_jwt_only = true;
    for (typ, want) in [
        (json!("at+jwt"), Ok(())),
        (json!("application/AT+JWT"), Ok(())),
        (json!("JWT"), Err(TokenError::Type)),
        (json!("dpop+jwt"), Err(TokenError::Type)),
        (Value::Null, Err(TokenError::Type)),
    ] {
        let header = json!({ "alg": "EdDSA", "typ": typ });
        let token = key.token(Algorithm::EdDsa, &header, &claims());
        assert_eq!(verify(&token, &keys(&[key.jwk()]), &only).map(drop), want, "{typ}");
    }
}

#[test]
fn a_token_holds_from_its_first_to_its_last_second_within_the_leeway() {
    let key = Key::of(Algorithm::EdDsa);
    let mut claims = claims();
    claims["nbf"] = json!(NOW);
    claims["exp"] = json!(NOW as f64 + 60.5);
    let token = key.token(Algorithm::EdDsa, &json!({ "alg": "EdDSA" }), &claims);
    let token: Verified = verify(&token, &keys(&[key.jwk()]), &rules()).unwrap();
    assert_eq!(token.holds(at(NOW - 31)), Err(TokenError::NotYet));
    assert_eq!(token.holds(at(NOW - 30)), Ok(()));
    assert_eq!(token.holds(at(NOW + 90)), Ok(()));
    assert_eq!(token.holds(at(NOW + 91)), Err(TokenError::Expired));
}

#[test]
fn what_is_missing_or_of_another_kind_is_named() {
    let key = Key::of(Algorithm::EdDsa);
    let judged = |name: &str, value: Value| {
        let mut claims = claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        let token = key.token(Algorithm::EdDsa, &json!({ "alg": "EdDSA" }), &claims);
        verify(&token, &keys(&[key.jwk()]), &rules()).map(drop)
    };
    for name in ["iss", "aud", "exp"] {
        assert_eq!(judged(name, Value::Null), Err(TokenError::Missing(name)));
        assert_eq!(judged(name, json!({})), Err(TokenError::Claim(name)));
    }
    assert_eq!(judged("aud", json!(["orders", 7])), Err(TokenError::Claim("aud")));
    assert_eq!(judged("nbf", json!("7")), Err(TokenError::Claim("nbf")));
    assert_eq!(judged("cnf", json!({})), Err(TokenError::Binding));
    assert_eq!(judged("cnf", json!("x")), Err(TokenError::Binding));
    assert_eq!(judged("cnf", json!({ "jkt": 7 })), Err(TokenError::Claim("cnf")));
    let list = key.token(Algorithm::EdDsa, &json!({ "alg": "EdDSA" }), &json!([1]));
    let refused = verify(&list, &keys(&[key.jwk()]), &rules()).unwrap_err();
    assert_eq!(refused, TokenError::Malformed(Part::Claims));
    let long = "a".repeat(super::MAX_TOKEN + 1);
    assert_eq!(verify(&long, &keys(&[key.jwk()]), &rules()).unwrap_err(), TokenError::TooLong);
}

#[test]
fn a_set_of_keys_is_taken_whole_or_refused_and_secrets_are_never_taken() {
    let good = Key::of(Algorithm::Es256).jwk();
    let with = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        jwk
    };
    let read = |keys: &[Value]| Keys::parse(json!({ "keys": keys }).to_string().as_bytes());
    let odd = [
        with("use", json!("enc")),
        with("key_ops", json!(["encrypt"])),
        with("alg", json!("ES512")),
        with("alg", json!("RS256")),
        with("kty", json!("AKP")),
        with("x", json!("short")),
        json!(7),
    ];
    assert!(matches!(read(&odd), Err(TokensError::NoKey)));
    let some = read(&[&odd[..], &[good.clone(), with("use", json!("sig"))]].concat()).unwrap();
    assert_eq!(some.len(), 2);
    for secret in [with("d", json!("AA")), json!({ "kty": "oct", "k": "AA", "kid": "hmac" })] {
        assert!(matches!(read(&[good.clone(), secret]), Err(TokensError::Secret(_))));
    }
    assert!(matches!(read(&vec![good.clone(); 129]), Err(TokensError::TooManyKeys(129))));
    for text in ["", "[]", "{}", "{\"keys\": 7}", "null"] {
        assert!(matches!(Keys::parse(text.as_bytes()), Err(TokensError::NotASet(_))), "{text}");
    }
}
