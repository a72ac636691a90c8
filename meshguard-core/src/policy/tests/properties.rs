//! What holds for every policy and every access.
//!
//! Each case is a seed; a failure prints it, and `case(seed)` repeats it.

use std::collections::BTreeMap;

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::generate::{Ask, Seeded, document};
use super::reference;
use crate::Access;
use crate::policy::reason::{Finding, UnmetAt};
use crate::policy::{Policy, Reason, Ruling};

const ASKS: usize = 60;

/// A policy, and accesses to try on it.
fn case(seed: u64) -> (Policy, Vec<Ask>, Seeded) {
    let mut random = Seeded(seed);
    let text = document(&mut random);
    let policy = text.parse().unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"));
    let asks = (0..ASKS).map(|_| Ask::random(&mut random)).collect();
    (policy, asks, random)
}

fn ruling(policy: &Policy, access: &Access<'_>) -> Ruling {
    policy.decide(access).ruling()
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn the_index_decides_as_a_reader_of_all_rules_does(seed in any::<u64>()) {
        let (policy, asks, _) = case(seed);
        let document = &policy.loaded.as_ref().unwrap().document;
        for ask in &asks {
            let found = ruling(&policy, &ask.access());
            let (finding, route) = reference::decide(document, &ask.access());
            prop_assert_eq!(found.finding, finding, "seed {} {:?}", seed, ask);
            prop_assert_eq!(found.route, route, "seed {} {:?}", seed, ask);
            if let (Some(from), Some(to)) = (ask.by, ask.to) {
                let want = reference::delivery(document, from, to);
                prop_assert_eq!(policy.delivery(Some(from), Some(to)), want, "seed {}", seed);
            }
        }
    }

    #[test]
    fn knowing_less_never_turns_deny_into_allow(seed in any::<u64>()) {
        let (policy, asks, mut random) = case(seed);
        for ask in &asks {
            let full = policy.decide(&ask.access());
            let less = ask.with_less(&mut random);
            // That a call came through a hop which is not named is no piece to leave out.
            if full.reason() == Reason::HopNotNamed && less.via.is_none() {
                continue;
            }
            let decision = policy.decide(&less.access());
            prop_assert!(
                full.is_allowed() || !decision.is_allowed(),
                "seed {} {:?} {:?}\nless: {:?} {:?}", seed, ask, full, less, decision
            );
        }
    }

    #[test]
    fn knowing_less_never_weakens_the_delivery(seed in any::<u64>()) {
        let (policy, asks, _) = case(seed);
        for ask in &asks {
            let full = policy.delivery(ask.by, ask.to);
            for (from, to) in [(ask.by, None), (None, ask.to), (None, None)] {
                let less = policy.delivery(from, to);
                prop_assert!(less.mode <= full.mode, "seed {} {:?}", seed, ask);
                let unsealed = full.seal == Some(true) && less.seal != Some(true);
                prop_assert!(!unsealed, "seed {} {:?}", seed, ask);
            }
        }
    }
}

/// The properties would hold if the generator only made what nobody may do.
#[test]
fn the_generated_accesses_meet_every_reason() {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..300 {
        let (policy, asks, _) = case(seed);
        for ask in &asks {
            let name = match ruling(&policy, &ask.access()).finding {
                Finding::Rule(_) => "rule",
                Finding::DenyRule(_) => "deny",
                Finding::Unmet { unmet: UnmetAt::Trust(_), .. } => "trust",
                Finding::Unmet { .. } => "unmet",
                Finding::NoRule => "no rule",
                Finding::NoIdentity => "no identity",
                Finding::ForeignTrustDomain => "foreign",
                Finding::HopNotNamed => "hop",
                Finding::Path(_) => "path",
                Finding::NoPolicy => "no policy",
            };
            *met.entry(name).or_default() += 1;
        }
    }
    for name in
        ["rule", "deny", "unmet", "trust", "no rule", "no identity", "foreign", "hop", "path"]
    {
        assert!(met.get(name).is_some_and(|n| *n >= 200), "{name}: {met:?}");
    }
}
