//! Proofs of possession.

use std::time::Duration;

use meshguard_core::dpop::{
    Algorithm, Expected, Leeway, Proof, ProofError, PublicKey, ReplayWindow, SignatureCheck,
};
use meshguard_core::{SpiffeId, Timestamp};

const CALLER: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");
const LEEWAY: Leeway =
    Leeway { past: Duration::from_secs(1 << 31), future: Duration::from_secs(1 << 31) };

/// Finds that every signature holds, or none.
struct All(bool);

impl SignatureCheck for All {
    fn holds(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
        self.0
    }
}

/// Reading and checking a proof never panics; without a signature none holds, and one that holds
/// is good once.
pub fn dpop(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(proof) = Proof::parse(&text, &Algorithm::ALL) else { return };
    let now = Timestamp::from_unix_secs(1_562_262_618);
    let expected = Expected {
        method: "GET",
        authority: "resource.example.org",
        path: "/protectedresource",
        token: None,
        nonces: &[],
        leeway: LEEWAY,
        now,
    };
    assert!(proof.check(&expected, &All(false)).is_err(), "nobody signed it");
    if let Ok(checked) = proof.check(&expected, &All(true)) {
        let mut window = ReplayWindow::new(LEEWAY, 4);
        assert_eq!(window.claim(&checked, CALLER, now), Ok(()));
        assert_eq!(window.claim(&checked, CALLER, now), Err(ProofError::Replayed));
    }
}
