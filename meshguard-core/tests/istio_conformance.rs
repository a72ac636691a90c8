//! The cases of Istio's AuthorizationPolicy: upstream's own tests, goldens and documentation,
//! published bypasses, and what follows from them.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeMap;

use meshguard_core::Policy;
use meshguard_core::policy::Effect;
use meshguard_core::policy::istio::{Case, CaseKind, import_documents};
use serde_json::Value;

const CASES: &str = include_str!("data/istio_authorization_policy.jsonl");

fn cases() -> Vec<(Value, Case)> {
    let read = |line: &str| {
        let json: Value = serde_json::from_str(line).unwrap();
        let case = Case::read(&json).unwrap_or_else(|e| panic!("{e}: {line}"));
        (json, case)
    };
    CASES.lines().map(read).collect()
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

#[test]
fn all_cases_come_out_as_expected() {
    let mut tallies: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut failed = Vec::new();
    for (json, case) in cases() {
        let got = case.decide(case.hardened).map(word);
        let mode = json["mode"].as_str().unwrap_or("upstream");
        let basis = format!("{} ({mode})", json["basis"].as_str().unwrap());
        let tally = tallies.entry(basis).or_default();
        tally.1 += 1;
        if got.as_deref() == Ok(json["expect"].as_str().unwrap()) {
            tally.0 += 1;
        } else {
            failed.push(format!("{}: expected {}, got {got:?}", case.id, json["expect"]));
        }
    }
    for (basis, (passed, all)) in &tallies {
        println!("{basis}: {passed} of {all}");
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(tallies.values().map(|(passed, _)| passed).sum::<u32>(), 500);
}

/// The safe decision is not had by changing what upstream decides.
#[test]
fn hardened_cases_have_upstreams_decision_too() {
    let mut seen = 0;
    for (json, case) in cases() {
        let Some(base) = json["upstream_base"].as_str() else { continue };
        // Its header's value begins with a tab, which is no part of any value (RFC 9110 §5.5).
        if case.id == "bypass-header-leading-ws" {
            continue;
        }
        assert_eq!(case.decide(false).map(word), Ok(base), "{}", case.id);
        seen += 1;
    }
    assert_eq!(seen, 46);
}

#[test]
fn the_document_read_again_decides_the_same() {
    for (_, case) in cases().iter().filter(|(_, case)| case.kind == CaseKind::Decide) {
        let imported = import_documents(&case.policies, &case.workload).unwrap();
        let written = imported.policy.to_toml();
        for text in [&imported.text, &written] {
            let again: Policy = text.parse().unwrap_or_else(|e| panic!("{}: {e}\n{text}", case.id));
            assert_eq!(again.to_toml(), written, "{}", case.id);
            for hardened in [false, true] {
                let (first, second) = (
                    case.request.decide(&imported.policy, hardened),
                    case.request.decide(&again, hardened),
                );
                assert_eq!(first, second, "{}", case.id);
            }
        }
    }
}

/// How many cases come out wrong when the imported document is changed.
fn wrong_with(defect: impl Fn(&mut toml::Table)) -> usize {
    let wrong = |(json, case): &(Value, Case)| {
        let imported = import_documents(&case.policies, &case.workload).unwrap();
        let mut document: toml::Table = imported.text.parse().unwrap();
        defect(&mut document);
        let text = toml::to_string(&document).unwrap();
        let policy: Policy = text.parse().unwrap_or_else(|e| panic!("{}: {e}\n{text}", case.id));
        word(case.request.decide(&policy, case.hardened)) != json["expect"].as_str().unwrap()
    };
    let cases = cases();
    cases.iter().filter(|(_, case)| case.kind == CaseKind::Decide).filter(|c| wrong(c)).count()
}

/// The rules of one effect.
fn rules<'d>(document: &'d mut toml::Table, effect: &str) -> Vec<&'d mut toml::Table> {
    let rules = document.get_mut(effect).and_then(toml::Value::as_array_mut);
    rules.into_iter().flatten().filter_map(toml::Value::as_table_mut).collect()
}

/// The terms of all rules.
fn terms(document: &mut toml::Table) -> Vec<&mut toml::Table> {
    let rules = document.iter_mut().filter_map(|(_, value)| value.as_array_mut()).flatten();
    let terms = rules.filter_map(|rule| rule.get_mut("when")?.get_mut("where")?.as_array_mut());
    terms.flatten().filter_map(toml::Value::as_table_mut).collect()
}

type Defect<'d> = &'d dyn Fn(&mut toml::Table);

#[test]
fn the_cases_notice_each_seeded_defect() {
    assert_eq!(wrong_with(|_| {}), 0);
    let star = || toml::Value::Array(vec!["*".into()]);
    let defects: [(&str, Defect<'_>); 8] = [
        ("a missing attribute makes an unwanted value count as had", &|document| {
            for term in terms(document) {
                let key = term["key"].as_str().unwrap().to_owned();
                if !term.contains_key("values") && !key.ends_with(".ip") && !key.ends_with("port") {
                    term.insert("values".into(), star());
                }
            }
        }),
        ("unwanted values are forgotten", &|document| {
            for term in terms(document) {
                if term.contains_key("values") {
                    term.remove("not_values");
                } else {
                    let unwanted = term.remove("not_values").unwrap();
                    term.insert("values".into(), unwanted);
                }
            }
        }),
        ("only the first value counts", &|document| {
            for term in terms(document) {
                if let Some(values) = term.get_mut("values").and_then(toml::Value::as_array_mut) {
                    values.truncate(1);
                }
            }
        }),
        ("only the first term counts", &|document| {
            for effect in ["allow", "deny"] {
                for rule in rules(document, effect) {
                    let Some(when) = rule.get_mut("when") else { continue };
                    when["where"].as_array_mut().unwrap().truncate(1);
                }
            }
        }),
        ("deny rules are forgotten", &|document| drop(document.remove("deny"))),
        ("a shadow rule is enforced", &|document| {
            for effect in ["allow", "deny"] {
                for rule in rules(document, effect) {
                    rule.remove("shadow");
                }
            }
        }),
        ("what no ALLOW policy speaks of is denied", &|document| {
            let allow = document.get_mut("allow").and_then(toml::Value::as_array_mut);
            let default =
                |rule: &toml::Value| rule["name"].as_str() == Some("istio/no-allow-policy");
            allow.into_iter().for_each(|allow| allow.retain(|rule| !default(rule)));
        }),
        ("paths are not normalised", &|document| {
            document.insert("normalization".into(), "none".into());
        }),
    ];
    for (name, defect) in defects {
        let wrong = wrong_with(defect);
        println!("{name}: {wrong} cases");
        assert!(wrong > 0, "{name}");
    }
}
