//! Each check by itself: a sound proof, and one thing wrong with it.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use meshguard_core::dpop::{
    Algorithm, Expected, KeyFault, Leeway, MAX_JTI, MAX_PROOF, Part, Proof, ProofError, PublicKey,
    ReplayWindow, SignatureCheck, Thumbprint, Token, field,
};
use meshguard_core::{SpiffeId, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::maker::{AwsLc, Key, ath, b64};

const CALLER: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");
const NOW: u64 = 1_700_000_000;
const TOKEN: &str = "eyJ.a.token";

fn claims() -> Value {
    json!({
        "jti": "e1j3V_bKic8-LAEB", "htm": "POST", "htu": "https://orders.example:8443/orders",
        "iat": NOW, "ath": ath(TOKEN),
    })
}

/// What a proof for `POST /orders` has to say, with the token of this key.
fn expected<'a>(bound: &'a Thumbprint, nonces: &'a [&'a str], now: u64) -> Expected<'a> {
    Expected {
        method: "POST",
        authority: "orders.example:8443",
        path: "/orders",
        token: Some(Token { text: TOKEN, key: bound }),
        nonces,
        leeway: Leeway { past: Duration::from_secs(60), future: Duration::from_secs(5) },
        now: Timestamp::from_unix_secs(now),
    }
}

fn judge(key: &Key, proof: &str, nonces: &[&str], now: u64) -> Result<(), ProofError> {
    let proof = Proof::parse(proof, &Algorithm::ALL)?;
    proof.check(&expected(&key.thumbprint(), nonces, now), &AwsLc).map(drop)
}

/// With one member of one part set, or removed where it is null.
fn with(part: Value, name: &str, value: Value) -> String {
    let mut part = part;
    match value {
        Value::Null => drop(part.as_object_mut().unwrap().remove(name)),
        value => part[name] = value,
    }
    part.to_string()
}

fn with_claim(key: &Key, name: &str, value: Value) -> Result<(), ProofError> {
    let claims = with(claims(), name, value);
    judge(key, &key.sign(&key.header().to_string(), &claims), &[], NOW)
}

fn with_header(key: &Key, name: &str, value: Value) -> Result<(), ProofError> {
    let header = with(key.header(), name, value);
    judge(key, &key.sign(&header, &claims().to_string()), &[], NOW)
}

fn sound(key: &Key) -> String {
    key.sign(&key.header().to_string(), &claims().to_string())
}

#[test]
fn a_sound_proof_of_each_kind_of_key_holds() {
    for key in [Key::p256(), Key::ed25519(), Key::rsa()] {
        assert_eq!(judge(&key, &sound(&key), &[], NOW), Ok(()), "{}", key.alg());
    }
}

#[test]
fn an_algorithm_that_is_not_on_the_list_is_refused_whatever_it_signs() {
    let key = Key::p256();
    let parsed = Proof::parse(&sound(&key), &[Algorithm::EdDsa]).map(drop);
    assert_eq!(parsed, Err(ProofError::Algorithm));
    for alg in ["none", "HS256", "ES256K", "es256"] {
        assert_eq!(with_header(&key, "alg", json!(alg)), Err(ProofError::Algorithm), "{alg}");
    }
    // The key says which algorithm it is for, not the header.
    for alg in ["EdDSA", "RS256", "ES384"] {
        let wrong = Err(ProofError::Key(KeyFault::Algorithm));
        assert_eq!(with_header(&key, "alg", json!(alg)), wrong, "{alg}");
    }
}

#[test]
fn a_proof_that_lacks_a_member_says_which() {
    let key = Key::p256();
    for name in ["jti", "htm", "htu", "iat"] {
        assert_eq!(with_claim(&key, name, Value::Null), Err(ProofError::Missing(name)));
        let wrong = Err(ProofError::Malformed(Part::Claims));
        assert_eq!(with_claim(&key, name, json!([])), wrong, "{name}");
    }
    for name in ["typ", "alg", "jwk"] {
        assert_eq!(with_header(&key, name, Value::Null), Err(ProofError::Missing(name)));
    }
}

#[test]
fn a_jwt_of_another_type_is_no_proof() {
    let key = Key::p256();
    for typ in ["JWT", "at+jwt", "DPoP+jwt", "application/dpop+jwt", ""] {
        assert_eq!(with_header(&key, "typ", json!(typ)), Err(ProofError::Type), "{typ}");
    }
}

#[test]
fn an_extension_that_is_not_understood_is_refused() {
    let key = Key::p256();
    assert_eq!(with_header(&key, "crit", json!(["exp"])), Err(ProofError::Critical));
}

#[test]
fn a_private_or_symmetric_key_is_refused() {
    let key = Key::p256();
    let private = with(key.jwk(), "d", json!("AA"));
    let private: Value = serde_json::from_str(&private).unwrap();
    let refused = Err(ProofError::Key(KeyFault::Private));
    assert_eq!(with_header(&key, "jwk", private), refused);
    assert_eq!(with_header(&key, "jwk", json!({"kty": "oct", "k": "AA"})), refused);
}

#[test]
fn a_point_that_is_not_on_the_curve_signs_nothing() {
    let key = Key::p256();
    let other = with(key.jwk(), "y", json!(b64([1; 32])));
    let other: Value = serde_json::from_str(&other).unwrap();
    let header = with(key.header(), "jwk", other);
    let claims = with(claims(), "ath", Value::Null);
    let proof = key.sign(&header, &claims);
    let bound = key.thumbprint();
    let expected = Expected { token: None, ..expected(&bound, &[], NOW) };
    let proof = Proof::parse(&proof, &Algorithm::ALL).unwrap();
    assert_eq!(proof.check(&expected, &AwsLc), Err(ProofError::Signature));
}

#[test]
fn a_proof_is_for_one_method_and_one_target() {
    let key = Key::p256();
    for htm in ["GET", "post", "POST ", ""] {
        assert_eq!(with_claim(&key, "htm", json!(htm)), Err(ProofError::Method), "{htm}");
    }
    assert_eq!(with_claim(&key, "htu", json!("HTTPS://Orders.example:8443/%6frders?q#f")), Ok(()));
    for htu in ["https://orders.example/orders", "http://orders.example:8443/orders", "/orders"] {
        assert_eq!(with_claim(&key, "htu", json!(htu)), Err(ProofError::Target), "{htu}");
    }
}

#[test]
fn a_proof_is_good_within_its_window_to_the_second() {
    let key = Key::p256();
    for (iat, want) in [
        (json!(NOW - 60), Ok(())),
        (json!(NOW - 61), Err(ProofError::TooOld)),
        (json!(NOW + 5), Ok(())),
        (json!(NOW + 6), Err(ProofError::TooNew)),
        (json!(NOW as f64 + 0.5), Ok(())),
        (json!(-1), Err(ProofError::TooOld)),
        (json!(1e300), Err(ProofError::TooNew)),
        (json!("1700000000"), Err(ProofError::Malformed(Part::Claims))),
    ] {
        assert_eq!(with_claim(&key, "iat", iat.clone()), want, "{iat}");
    }
}

#[test]
fn a_number_is_there_and_short() {
    let key = Key::p256();
    assert_eq!(with_claim(&key, "jti", json!("")), Err(ProofError::Number));
    assert_eq!(with_claim(&key, "jti", json!("a".repeat(MAX_JTI))), Ok(()));
    assert_eq!(with_claim(&key, "jti", json!("a".repeat(MAX_JTI + 1))), Err(ProofError::Number));
}

#[test]
fn a_proof_is_for_one_token_and_its_key() {
    let key = Key::p256();
    assert_eq!(with_claim(&key, "ath", Value::Null), Err(ProofError::NoTokenHash));
    assert_eq!(with_claim(&key, "ath", json!(ath("another"))), Err(ProofError::TokenHash));
    let (another, bound) = (Key::p256(), key);
    let proof = sound(&another);
    assert_eq!(judge(&bound, &proof, &[], NOW), Err(ProofError::TokenKey));
}

#[test]
fn a_nonce_is_one_of_ours_where_one_is_asked_for() {
    let key = Key::p256();
    let carrying =
        |nonce: Value| key.sign(&key.header().to_string(), &with(claims(), "nonce", nonce));
    let (none, ours, old) = (carrying(Value::Null), carrying(json!("b")), carrying(json!("z")));
    let nonces = ["a", "b"];
    assert_eq!(judge(&key, &none, &nonces, NOW), Err(ProofError::NoNonce));
    assert_eq!(judge(&key, &old, &nonces, NOW), Err(ProofError::Nonce));
    assert_eq!(judge(&key, &ours, &nonces, NOW), Ok(()));
    assert_eq!(judge(&key, &old, &[], NOW), Ok(()), "nobody asked for one");
}

#[test]
fn what_is_signed_by_another_key_or_changed_afterwards_is_refused() {
    let (key, another) = (Key::p256(), Key::p256());
    let forged = another.sign(&key.header().to_string(), &claims().to_string());
    assert_eq!(judge(&key, &forged, &[], NOW), Err(ProofError::Signature));
    let sound = sound(&key);
    let signature = &sound[sound.rfind('.').unwrap()..];
    let (header, other) = (b64(key.header().to_string()), with(claims(), "jti", json!("fresh")));
    let changed = format!("{header}.{}{signature}", b64(other));
    assert_eq!(judge(&key, &changed, &[], NOW), Err(ProofError::Signature));
    let unsigned = &sound[..=sound.rfind('.').unwrap()];
    assert_eq!(judge(&key, unsigned, &[], NOW), Err(ProofError::Signature));
}

/// Two seeded faults: signatures that nobody checks, and a window for each request. With the
/// first, what another key signed holds; with the second, one proof is good twice.
#[test]
fn without_signatures_or_memory_a_stolen_proof_is_good() {
    struct Careless;
    impl SignatureCheck for Careless {
        fn holds(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
            true
        }
    }
    let (key, another) = (Key::p256(), Key::p256());
    let forged = another.sign(&key.header().to_string(), &claims().to_string());
    let bound = key.thumbprint();
    let expected = expected(&bound, &[], NOW);
    let proof = Proof::parse(&forged, &Algorithm::ALL).unwrap();
    assert_eq!(proof.check(&expected, &AwsLc), Err(ProofError::Signature));
    let checked = proof.check(&expected, &Careless).unwrap();

    let window = || ReplayWindow::new(expected.leeway, 8);
    let mut one = window();
    assert_eq!(one.claim(&checked, CALLER, expected.now), Ok(()));
    assert_eq!(one.claim(&checked, CALLER, expected.now), Err(ProofError::Replayed));
    assert_eq!(window().claim(&checked, CALLER, expected.now), Ok(()));
}

#[test]
fn what_is_no_jwt_in_its_one_canonical_form_is_refused() {
    let key = Key::p256();
    let sound = sound(&key);
    for text in ["", "a", "a.b", "a.b.c.d", &format!("{sound}.x")] {
        assert!(judge(&key, text, &[], NOW).is_err(), "{text}");
    }
    assert_eq!(judge(&key, "a.b", &[], NOW).unwrap_err(), ProofError::Parts);
    let padded = Err(ProofError::Malformed(Part::Signature));
    assert_eq!(judge(&key, &format!("{sound}="), &[], NOW), padded);
    assert_eq!(judge(&key, &format!("{sound}, {sound}"), &[], NOW), Err(ProofError::Parts));
    let twice = claims().to_string().replace("\"htm\"", "\"htm\":\"GET\",\"htm\"");
    let twice = key.sign(&key.header().to_string(), &twice);
    assert_eq!(judge(&key, &twice, &[], NOW), Err(ProofError::Malformed(Part::Claims)));
    assert_eq!(judge(&key, &"a".repeat(MAX_PROOF + 1), &[], NOW), Err(ProofError::TooLong));
}

#[test]
fn a_request_has_one_proof() {
    let mut headers = HeaderMap::new();
    assert_eq!(field(&headers), Err(ProofError::NoProof));
    headers.append("dpop", HeaderValue::from_static("a.b.c"));
    assert_eq!(field(&headers), Ok("a.b.c"));
    headers.append("dpop", HeaderValue::from_static("a.b.c"));
    assert_eq!(field(&headers), Err(ProofError::ManyProofs));
}

proptest! {
    #[test]
    fn no_text_makes_reading_or_checking_panic(parts in prop::collection::vec(any::<Vec<u8>>(), 0..4), raw in ".*") {
        let encoded: Vec<String> = parts.iter().map(b64).collect();
        let key = Key::ed25519();
        let _ = judge(&key, &encoded.join("."), &[], NOW);
        let _ = judge(&key, &raw, &[], NOW);
    }

    #[test]
    fn no_target_and_no_time_makes_checking_panic(htu in ".*", iat in any::<f64>(), jti in ".*") {
        let key = Key::ed25519();
        let claims = json!({"jti": jti, "htm": "POST", "htu": htu, "iat": iat, "ath": ath(TOKEN)});
        let proof = key.sign(&key.header().to_string(), &claims.to_string());
        prop_assert!(judge(&key, &proof, &[], NOW).is_err());
    }
}
