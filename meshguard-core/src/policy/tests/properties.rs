//! What holds for every policy and every access.
//!
//! Each case is a seed; a failure prints it, and `case(seed)` repeats it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::generate::{Ask, Seeded, federated};
use super::reference::{self, DEFECTS, Defect};
use crate::Access;
use crate::policy::model::Document;
use crate::policy::reason::{Finding, UnmetAt};
use crate::policy::{Policy, Ruling};

const ASKS: usize = 60;

fn policy(seed: u64) -> (Policy, Seeded) {
    let mut random = Seeded(seed);
    let text = federated(&mut random);
    let policy = text.parse().unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"));
    (policy, random)
}

/// A policy, and accesses to try on it.
fn case(seed: u64) -> (Policy, Vec<Ask>) {
    let (policy, mut random) = policy(seed);
    let asks = (0..ASKS).map(|_| Ask::random(&mut random)).collect();
    (policy, asks)
}

fn document_of(policy: &Policy) -> &Document {
    &policy.loaded.as_ref().unwrap().document
}

/// JSON sorts keys, and so all of one effect come together.
fn names_of(policy: &Policy) -> BTreeSet<&str> {
    policy.rules().collect()
}

fn ruling(policy: &Policy, access: &Access<'_>) -> Ruling {
    policy.decide(access).ruling()
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// The first access of a case that the index decides unlike the reader of all rules.
fn differs(seed: u64, asks: usize, defect: Defect) -> Option<String> {
    let (policy, mut random) = policy(seed);
    let document = &policy.loaded.as_ref()?.document;
    for _ in 0..asks {
        let ask = Ask::random(&mut random);
        let found = ruling(&policy, &ask.access());
        let want = reference::decide(document, &ask.access(), defect);
        if (found.finding, found.route) != want {
            return Some(format!("seed {seed}: {found:?}, not {want:?}: {ask:?}"));
        }
        if let (Some(from), Some(to)) = (ask.by, ask.to) {
            let want = reference::delivery(document, from, to);
            if policy.delivery(Some(from), Some(to)) != want {
                return Some(format!("seed {seed}: delivery {want:?}: {ask:?}"));
            }
        }
    }
    None
}

/// Whether leaving something out of an access turns a denial into an allowance.
fn gains_by_less(
    seed: u64,
    asks: usize,
    decide: impl Fn(&Policy, &Access<'_>) -> Finding,
) -> Option<String> {
    let (policy, mut random) = policy(seed);
    for _ in 0..asks {
        let ask = Ask::random(&mut random);
        let less = ask.with_less(&mut random);
        let full = decide(&policy, &ask.access());
        // That a call came through a hop which is not named is no piece to leave out.
        if full == Finding::HopNotNamed && less.via.is_none() {
            continue;
        }
        let found = decide(&policy, &less.access());
        let allowed = |finding| matches!(finding, Finding::Rule(_));
        if allowed(found) && !allowed(full) {
            return Some(format!(
                "seed {seed}: {full:?} became {found:?}: {ask:?}, less: {less:?}"
            ));
        }
    }
    None
}

/// The document that is written is the one that was read.
fn read_again(seed: u64, write: impl Fn(&Policy) -> String) -> Option<String> {
    let text = federated(&mut Seeded(seed));
    let first: Policy = text.parse().ok()?;
    let written = write(&first);
    let second: Policy = match written.parse() {
        Ok(policy) => policy,
        Err(error) => return Some(format!("seed {seed}: {error}\n{written}")),
    };
    let documents = [&first, &second].map(|policy| policy.loaded.as_ref().map(|l| &l.document));
    if documents[0] != documents[1] || second.to_toml() != written {
        return Some(format!("seed {seed}: {text}\nwritten:\n{written}"));
    }
    None
}

/// 10,000 policies, 100 accesses to each: about a minute, optimised.
#[test]
#[ignore = "long: run with --release -- --ignored"]
fn the_index_decides_as_a_reader_of_all_rules_does_at_length() {
    for seed in 0..10_000 {
        assert_eq!(differs(seed, 100, Defect::None), None);
        assert_eq!(gains_by_less(seed, 100, |p, a| ruling(p, a).finding), None);
        assert_eq!(read_again(seed, Policy::to_toml), None);
    }
}

#[test]
fn the_comparison_finds_every_planted_mistake() {
    for defect in DEFECTS {
        let found = (0..400).any(|seed| differs(seed, ASKS, defect).is_some());
        assert!(found, "{defect:?} is not noticed");
    }
}

#[test]
fn an_evaluator_that_helps_the_silent_is_noticed() {
    for defect in [Defect::UnknownHolds, Defect::UnknownSpares] {
        let decide = |policy: &Policy, access: &Access<'_>| {
            let document = &policy.loaded.as_ref().unwrap().document;
            reference::decide(document, access, defect).0
        };
        let found = (0..400).any(|seed| gains_by_less(seed, ASKS, decide).is_some());
        assert!(found, "{defect:?} is not noticed");
    }
}

#[test]
fn a_writer_that_forgets_something_is_noticed() {
    for forgotten in ["shadow = true\n", ", burst", "via", "direct = ", "max_bytes", "proof"] {
        let forgetful = |policy: &Policy| {
            let text = policy.to_toml();
            let lines = text.lines().filter(|line| !line.contains(forgotten.trim_end()));
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        let found = (0..200).any(|seed| read_again(seed, forgetful).is_some());
        assert!(found, "{forgotten}");
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn the_index_decides_as_a_reader_of_all_rules_does(seed in any::<u64>()) {
        prop_assert_eq!(differs(seed, ASKS, Defect::None), None);
    }

    #[test]
    fn a_document_that_is_written_is_the_one_that_was_read(seed in any::<u64>()) {
        prop_assert_eq!(read_again(seed, Policy::to_toml), None);
    }

    #[test]
    fn a_document_says_the_same_in_yaml(seed in any::<u64>()) {
        let policy = policy(seed).0;
        let table: toml::Table = policy.to_toml().parse().unwrap();
        // JSON is YAML 1.2, in flow style.
        let yaml = serde_json::to_string_pretty(&table).unwrap();
        let again = Policy::from_yaml(&yaml).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{yaml}"));
        prop_assert_eq!(document_of(&again).rules.len(), document_of(&policy).rules.len());
        prop_assert_eq!(names_of(&again), names_of(&policy), "seed {}", seed);
        for ask in case(seed).1 {
            let allowed = |policy: &Policy| policy.decide(&ask.access()).is_allowed();
            prop_assert_eq!(allowed(&again), allowed(&policy), "seed {} {:?}", seed, ask);
        }
    }

    #[test]
    fn knowing_less_never_turns_deny_into_allow(seed in any::<u64>()) {
        prop_assert_eq!(gains_by_less(seed, ASKS, |p, a| ruling(p, a).finding), None);
    }

    #[test]
    fn knowing_less_never_weakens_the_delivery(seed in any::<u64>()) {
        let (policy, asks) = case(seed);
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
    for seed in 0..600 {
        let (policy, asks) = case(seed);
        for ask in &asks {
            let name = match ruling(&policy, &ask.access()).finding {
                Finding::Rule(_) => "rule",
                Finding::DenyRule(_) => "deny",
                Finding::Unmet { unmet: UnmetAt::Trust(_), .. } => "trust",
                Finding::Unmet { unmet: UnmetAt::Proof, .. } => "proof",
                Finding::Unmet { unmet: UnmetAt::ClaimDiffers(_), .. } => "claim",
                Finding::Unmet { unmet: UnmetAt::SourceDiffers, .. } => "source",
                Finding::Unmet { .. } => "unmet",
                Finding::NoRule => "no rule",
                Finding::NoIdentity => "no identity",
                Finding::ForeignTrustDomain => "foreign",
                Finding::HopNotNamed => "hop",
                Finding::Path(_) | Finding::Head(_) => "path",
                Finding::NoPolicy | Finding::PolicyExpired => "no policy",
            };
            *met.entry(name).or_default() += 1;
        }
    }
    let known =
        ["rule", "deny", "unmet", "trust", "no rule", "no identity", "foreign", "hop", "path"];
    let all = known.map(|name| (name, 200)).into_iter();
    for (name, least) in all.chain(["proof", "claim", "source"].map(|name| (name, 40))) {
        assert!(met.get(name).is_some_and(|n| *n >= least), "{name}: {met:?}");
    }
}
