//! The policy that all meshes of the soak read, in its variants.

use meshguard_axum::{Policy, PolicyError, SpiffeId};

use crate::shape::Callee;

pub(crate) const DOMAIN: &str = "soak.example";
pub(crate) const CALLER: SpiffeId = SpiffeId::from_static("spiffe://soak.example/checkout");
pub(crate) const HOP: SpiffeId = SpiffeId::from_static("spiffe://soak.example/hop");

impl Callee {
    pub(crate) const fn id(self) -> SpiffeId {
        match self {
            Self::Mac => SpiffeId::from_static("spiffe://soak.example/orders"),
            Self::Seal => SpiffeId::from_static("spiffe://soak.example/billing"),
        }
    }
}

/// What a version of the policy says beyond what all of them say. None changes what these
/// callers may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Plain,
    /// A rule for somebody else.
    Harmless,
    /// A rule with a condition on a header: sessions whose proofs do not cover it end.
    Covering,
    /// The rule that allows these calls asks for that header too.
    Requiring,
    /// More evidence, and a route that nobody may ask for.
    Tightened,
}

impl Variant {
    /// One after the other. A header is covered before it is required: what is open then would
    /// be withdrawn, as the documents say.
    pub(crate) const CHANGES: [Self; 6] = [
        Self::Harmless,
        Self::Covering,
        Self::Requiring,
        Self::Plain,
        Self::Tightened,
        Self::Plain,
    ];

    fn when(self) -> &'static str {
        match self {
            Self::Requiring => "when = { headers = { x-tenant = \"acme*\" } }\n",
            Self::Tightened => "when = { evidence = \"verified\" }\n",
            Self::Plain | Self::Harmless | Self::Covering => "",
        }
    }

    fn more(self) -> &'static str {
        match self {
            Self::Harmless => {
                "[[allow]]\nname = \"audit\"\nvia = [\"hop\"]\nhttp = [\"GET /audit\"]\n"
            }
            Self::Covering | Self::Requiring => {
                "[[allow]]\nname = \"tenants\"\nfrom = [\"caller\"]\nhttp = [\"GET /tenants\"]\n\
                 when = { headers = { x-tenant = \"acme*\" } }\n"
            }
            Self::Tightened => "[[deny]]\nname = \"closed\"\nhttp = [\"* /vault\"]\n",
            Self::Plain => "",
        }
    }
}

/// The reflexes are those of the documents, and one on each signal that blames by itself. The
/// governor holds nothing back: what is wanted is done, and seen.
const LOOP: &str = r#"
[[reflex]]
name = "handshake-storm"
on   = { signal = "handshake_failures", false_alarms = "1 in 30 days", for = "2s" }
do   = ["alert", { tighten = { rate = "10/s" } }]
then = { after = "10s", unless = "falling", do = "quarantine" }
ttl  = "5m"

[[reflex]]
name = "outside-intent"
on = { signal = "refusals", false_alarms = "1 in 30 days", scope = "caller" }
do = ["quarantine"]
ttl = "5m"

[[reflex]]
name = "lost-receipts"
on = { signal = "missing_receipts", false_alarms = "1 in 30 days" }
do = ["quarantine"]

[[reflex]]
name = "forger"
on = { signal = "forged" }
do = ["quarantine"]

[[reflex]]
name = "liar"
on = { signal = "contradiction" }
do = ["quarantine"]

[[reflex]]
name = "unusual"
on = { signal = "any", false_alarms = "1 in 30 days" }
do = ["alert"]

[governor]
max_share = 1.0
min_healthy = 0.0
min_peers = 1
min_calls = 1
max_actions = "60/min"
"#;

/// Which policy holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) variant: Variant,
}

/// A version of the policy.
pub(crate) fn policy(version: Version) -> Result<Policy, PolicyError> {
    let Version { number, variant } = version;
    let [orders, billing] = Callee::BOTH.map(Callee::id);
    format!(
        "mesh = \"{DOMAIN}\"\nversion = {number}\nhops = [\"hop\"]\n\
         [peers]\ncaller = \"{CALLER}\"\nhop = \"{HOP}\"\n\
         orders = \"{orders}\"\nbilling = \"{billing}\"\n\
         [[allow]]\nname = \"all\"\nfrom = [\"caller\"]\n{}{}\
         [[route]]\nhttp = [\"POST /idempotent\"]\nidempotent = true\n\
         [[delivery]]\nto = [\"orders\"]\nseal = false\n\
         [[delivery]]\nto = [\"billing\"]\nseal = true\n{LOOP}",
        variant.when(),
        variant.more()
    )
    .parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_is_a_policy() {
        for variant in Variant::CHANGES {
            let policy = policy(Version { number: 3, variant });
            assert!(policy.is_ok(), "{variant:?}: {policy:?}");
        }
    }
}
