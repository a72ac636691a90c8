//! A DPoP proof is used up by a request that policy lets in, and by no other.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Request};
use meshguard_core::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Callee, Piecewise, connection, id, plain, policy};
use crate::auth::{self, Tokens};
use crate::clock::{Now, now, wall};
use crate::connection::Connection;
use crate::mesh::Mesh;

const TARGET: &str = "https://orders.example/orders";
/// A quarter of them, which one caller has, is one.
const REMEMBERED: usize = 4;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn jwt(key: &Ed25519KeyPair, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    format!("{signed}.{}", b64(key.sign(signed.as_bytes())))
}

fn jwk(key: &Ed25519KeyPair) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key()) })
}

/// A key of a caller's, and the token that is bound to it.
struct Bound {
    key: Ed25519KeyPair,
    token: String,
}

impl Bound {
    fn new(issuer: &Ed25519KeyPair) -> Self {
        let key = Ed25519KeyPair::generate().unwrap();
        // RFC 7638 §3: the members that are needed, in the order of their names.
        let canonical =
            format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(key.public_key()));
        let claims = json!({
            "iss": "https://login.example", "aud": "orders", "exp": wall().as_unix_secs() + 86_400,
            "cnf": { "jkt": b64(Sha256::digest(canonical)) },
        });
        Self { token: jwt(issuer, &json!({ "alg": "EdDSA" }), &claims), key }
    }

    /// A request with the token, and a proof that has this number.
    fn request(&self, over: &Connection, number: &str) -> Request<Piecewise> {
        let (_, mut request) = plain(over);
        request.headers_mut().extend(self.headers(number, wall()));
        request
    }

    /// The token, and a proof of this number that was made then.
    fn headers(&self, number: &str, made: Timestamp) -> HeaderMap {
        let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk(&self.key) });
        let claims = json!({
            "jti": number, "htm": "POST", "htu": TARGET, "iat": made.as_unix_secs(),
            "ath": b64(Sha256::digest(&self.token)),
        });
        let mut headers = HeaderMap::new();
        let value = |text: String| HeaderValue::try_from(text).unwrap();
        headers.insert("authorization", value(format!("DPoP {}", self.token)));
        headers.insert("dpop", value(jwt(&self.key, &header, &claims)));
        headers
    }

    /// Whether a proof of this number that was made then is accepted.
    fn is_accepted(&self, callee: &Callee, number: &str, made: Timestamp, now: Now) -> bool {
        let tokens = callee.mesh.0.tokens.as_ref().unwrap();
        let (headers, caller) = (self.headers(number, made), id("checkout"));
        let (method, authority, path) = ("POST", "orders.example", "/orders");
        let request =
            auth::Request { method, authority, path, headers: &headers, certificate: None, now };
        let proof = tokens.check(&request).ok().flatten().and_then(|presented| presented.proof);
        proof.is_some_and(|proof| tokens.claim(&proof, &caller, now.steady).is_ok())
    }
}

/// Policy reads proofs, and denies one caller whatever it proves.
fn callee(issuer: &Ed25519KeyPair, remembered: usize) -> Callee {
    let text =
        "[[delivery]]\nmode = 'off'\n[[allow]]\nname = 'proved'\nwhen = { proof = 'dpop' }\n";
    let set = json!({ "keys": [jwk(issuer)] }).to_string();
    let tokens = Tokens::from_jwks(&set).unwrap().issuer("https://login.example");
    let tokens = tokens.audience("orders").remember_proofs(remembered);
    let ledger = crate::ledger::Ledger::memory().unwrap();
    let builder = Mesh::dev(id("orders")).unwrap().policy(policy(text)).tokens(tokens);
    Callee { mesh: builder.ledger(ledger.clone()).build().unwrap(), ledger }
}

#[tokio::test]
async fn what_policy_denies_uses_no_proof_up_and_one_caller_has_a_share_with_all_its_keys() {
    let issuer = Ed25519KeyPair::generate().unwrap();
    let callee = callee(&issuer, REMEMBERED);
    let [denied, caller, other] = ["denied", "checkout", "other"].map(|name| connection(&id(name)));
    for n in 0..2 * REMEMBERED {
        let request = Bound::new(&issuer).request(&denied, &n.to_string());
        assert_eq!(callee.ask(request).await.status(), 403, "{n}");
    }
    let (bound, again) = (Bound::new(&issuer), Bound::new(&issuer));
    assert_eq!(callee.ask(bound.request(&caller, "a")).await.status(), 200);
    assert_eq!(callee.ask(bound.request(&caller, "a")).await.status(), 401, "it was used before");
    assert_eq!(callee.ask(again.request(&caller, "b")).await.status(), 429, "another key");
    assert_eq!(callee.ask(again.request(&other, "c")).await.status(), 200);
}

#[tokio::test]
async fn a_clock_that_is_set_locks_no_proof_out_once_it_is_right_and_lets_none_in_again() {
    let issuer = Ed25519KeyPair::generate().unwrap();
    let (callee, bound, at) = (callee(&issuer, 64), Bound::new(&issuer), now());
    let secs = Duration::from_secs;
    let right = |after| at + secs(after);
    let is_accepted = |number, made, now| bound.is_accepted(&callee, number, made, now);
    assert!(is_accepted("a", at.wall, at));
    // Two hours ahead: those whose clocks are right are locked out, those who are ahead too are not.
    let (truly, ahead) = (right(1).wall, Now { steady: right(1).steady, ..right(7_201) });
    assert!(!is_accepted("b", truly, ahead) && is_accepted("c", ahead.wall, ahead));
    let back = right(2);
    assert!(is_accepted("b", back.wall, back), "at once");
    assert!(!is_accepted("a", at.wall, back) && !is_accepted("b", back.wall, back), "used before");
    let later = right(7_201);
    assert!(!is_accepted("c", ahead.wall, later), "it was used two hours before");
    assert!(is_accepted("d", later.wall, later));
}
