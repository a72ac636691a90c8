//! The form and the reader know the same keys.

use super::super::TOP;
use super::*;
use crate::policy::tests::generate::{Seeded, federated};
use crate::policy::{Policy, PolicyErrorKind};

const WHOLE: &str = include_str!("../../../../tests/data/policy.toml");

fn is_of_the_form(text: &str) -> Result<(), String> {
    toml::from_str::<Form>(text).map(drop).map_err(|e| e.to_string())
}

#[test]
fn what_the_reader_takes_is_of_the_form() {
    WHOLE.parse::<Policy>().unwrap_or_else(|e| panic!("{e}"));
    is_of_the_form(WHOLE).unwrap();
    for seed in 0..300 {
        let text = federated(&mut Seeded(seed));
        let written = text.parse::<Policy>().unwrap().to_toml();
        is_of_the_form(&text).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"));
        is_of_the_form(&written).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{written}"));
    }
}

/// The whole document with a key that nobody knows, once beside each of its keys.
fn with_a_new_key() -> Vec<String> {
    let mut all = Vec::new();
    for (at, _) in WHOLE.match_indices(" = ") {
        let start = WHOLE[..at].rfind(['\n', '{', ',']).map_or(0, |start| start + 1);
        let key = WHOLE[start..at].trim();
        // Whoever writes a document chooses these.
        let chosen = ["checkout", "orders", "batch", "edge", "billing", "x-tenant", "scope"];
        if key.contains(['#', '[', '"', '/']) || chosen.contains(&key) {
            continue;
        }
        let (before, after) = WHOLE.split_at(start);
        let end = if before.is_empty() || before.ends_with('\n') { "\n" } else { "," };
        all.push(format!("{before} new_key = 1{end}{after}"));
    }
    assert!(all.len() > 50, "{}", all.len());
    all
}

/// The first document that a reader takes although it does not understand all of it.
fn half_understood(takes: impl Fn(&str) -> bool) -> Option<String> {
    with_a_new_key().into_iter().find(|text| takes(text))
}

#[test]
fn an_old_reader_takes_no_document_with_a_new_key() {
    for text in with_a_new_key() {
        let error = text.parse::<Policy>().expect_err(&text);
        assert_eq!(error.kind(), PolicyErrorKind::UnknownKey, "{error}\n{text}");
    }
    assert_eq!(half_understood(|text| text.parse::<Policy>().is_ok()), None);
    assert_eq!(half_understood(|text| is_of_the_form(text).is_ok()), None);
    // A reader that skips what it does not know would be noticed.
    let skips =
        |text: &str| text.replacen(" new_key = 1,", "", 1).replacen(" new_key = 1\n", "", 1);
    assert!(half_understood(|text| skips(text).parse::<Policy>().is_ok()).is_some());
}

#[test]
fn every_top_level_key_is_in_the_schema_and_described() {
    let schema = schema();
    let properties = schema["properties"].as_object().unwrap();
    let mut keys: Vec<&str> = properties.keys().map(String::as_str).collect();
    let mut known = TOP.to_vec();
    keys.sort_unstable();
    known.sort_unstable();
    assert_eq!(keys, known);
    assert!(properties.values().all(|p| p["description"].is_string()));
    assert_eq!(schema["additionalProperties"], false);
}
