//! The proofs that RFC 9449 shows.

use meshguard_core::dpop::{
    Algorithm, Expected, Leeway, Proof, ProofError, ReplayWindow, Thumbprint, Token,
};
use meshguard_core::{SpiffeId, Timestamp};
use serde_json::Value;

use super::maker::{AwsLc, ath};

const CALLER: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");

fn vectors() -> Value {
    serde_json::from_str(include_str!("../data/rfc9449.json")).unwrap()
}

/// The proofs with a payload; the RFC's `Authorization` fields are no JWTs.
fn proofs(vectors: &Value) -> Vec<&Value> {
    let all = vectors["proofs"].as_array().unwrap();
    let proofs: Vec<_> = all.iter().filter(|proof| proof["field"] == "DPoP").collect();
    assert_eq!(proofs.len(), 4);
    proofs
}

/// What the proof is for, by its own payload.
fn expected<'a>(proof: &'a Value, token: Option<Token<'a>>) -> Expected<'a> {
    let payload = &proof["payload"];
    let target = payload["htu"].as_str().unwrap().strip_prefix("https://").unwrap();
    let (authority, path) = target.split_at(target.find('/').unwrap());
    Expected {
        method: payload["htm"].as_str().unwrap(),
        authority,
        path,
        token,
        nonces: &[],
        leeway: Leeway::default(),
        now: Timestamp::from_unix_secs(payload["iat"].as_u64().unwrap()),
    }
}

#[test]
fn the_proofs_of_the_rfc_hold() {
    let vectors = vectors();
    for vector in proofs(&vectors) {
        let proof = Proof::parse(vector["value"].as_str().unwrap(), &[Algorithm::Es256]).unwrap();
        assert_eq!(proof.thumbprint().to_string(), vector["jkt"].as_str().unwrap());
        let expected = expected(vector, None);
        let checked = proof.check(&expected, &AwsLc).unwrap();
        let mut window = ReplayWindow::new(expected.leeway, 8);
        assert_eq!(window.claim(&checked, CALLER, expected.now), Ok(()));
        assert_eq!(window.claim(&checked, CALLER, expected.now), Err(ProofError::Replayed));
    }
}

#[test]
fn the_rfcs_token_comes_with_the_rfcs_proof() {
    let vectors = vectors();
    let token = &vectors["access_tokens"][0];
    let (text, hash) = (token["token"].as_str().unwrap(), token["ath"].as_str().unwrap());
    assert_eq!(ath(text), hash);
    let vector = proofs(&vectors)[3];
    let key = Thumbprint::parse(vector["jkt"].as_str().unwrap()).unwrap();
    let proof = Proof::parse(vector["value"].as_str().unwrap(), &Algorithm::ALL).unwrap();
    let check = |text, key| {
        let expected = expected(vector, Some(Token { text, key }));
        proof.check(&expected, &AwsLc).map(drop)
    };
    assert_eq!(check(text, &key), Ok(()));
    assert_eq!(check("another", &key), Err(ProofError::TokenHash));
    assert_eq!(check(text, &[7; 32].into()), Err(ProofError::TokenKey));
    // The others name no token.
    let without = proofs(&vectors)[0];
    let proof = Proof::parse(without["value"].as_str().unwrap(), &Algorithm::ALL).unwrap();
    let expected = expected(without, Some(Token { text, key: &key }));
    assert_eq!(proof.check(&expected, &AwsLc), Err(ProofError::NoTokenHash));
}

#[test]
fn no_bit_of_the_rfcs_proof_can_be_changed() {
    let vectors = vectors();
    let vector = proofs(&vectors)[3];
    let sound = vector["value"].as_str().unwrap().as_bytes();
    let expected = expected(vector, None);
    for at in 0..sound.len() {
        for bit in 0..7 {
            let mut changed = sound.to_vec();
            changed[at] ^= 1 << bit;
            let text = std::str::from_utf8(&changed).unwrap();
            let checked = Proof::parse(text, &Algorithm::ALL)
                .and_then(|proof| proof.check(&expected, &AwsLc));
            assert!(checked.is_err(), "byte {at}, bit {bit}");
        }
    }
}
