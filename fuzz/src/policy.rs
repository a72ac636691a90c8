//! Policy documents, and paths.

use meshguard_core::policy::{Policy, Reason};
use meshguard_core::{Access, Evidence, SpiffeId};

use crate::seeds::POLICY;

const CHECKOUT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/ns/prod/sa/checkout");

/// The document up to the first zero byte, then the path: reading and deciding never panic, and
/// what nobody is known to ask for is denied.
pub fn policy(data: &[u8]) {
    let cut = data.iter().position(|b| *b == 0).unwrap_or(data.len());
    let text = String::from_utf8_lossy(&data[..cut]);
    let path = String::from_utf8_lossy(data.get(cut + 1..).unwrap_or_default());
    // An imported document may allow somebody unknown: the target `istio` has those.
    if let (Ok(policy), false) = (text.parse(), text.contains("semantics")) {
        decide(&policy, &path);
    }
    // Nearly no input is both: each path goes to a policy that is sound, too.
    if let Ok(policy) = POLICY.parse() {
        decide(&policy, &path);
        decide(&policy, &text);
    }
}

fn decide(policy: &Policy, path: &str) {
    for access in [Access::http("GET", path), Access::grpc(path)] {
        assert!(!policy.decide(&access).is_allowed(), "nobody was allowed");
        let known = access.by(CHECKOUT).direct().evidence(Evidence::Verified);
        let decision = policy.decide(&known);
        let reason = decision.reason();
        assert_eq!(decision.is_allowed(), matches!(reason, Reason::Rule(_)), "{reason:?}");
        assert!(!reason.to_string().is_empty());
    }
}
