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

/// Each key of the whole document, one after the other, spelt so that nobody knows it.
#[test]
fn what_the_reader_does_not_know_the_form_does_not_either() {
    let mut tried = 0;
    for (at, _) in WHOLE.match_indices(" = ") {
        let line = WHOLE[..at].rfind(['\n', '{', ',']).map_or(0, |start| start + 1);
        let key = WHOLE[line..at].trim();
        if key.starts_with('#') || key.contains(['[', '"', '/']) {
            continue;
        }
        // Whoever writes a document chooses these.
        let chosen = ["checkout", "orders", "batch", "edge", "billing", "x-tenant", "scope"];
        if chosen.contains(&key) {
            continue;
        }
        let text = format!("{}zz{}", WHOLE[..line].to_owned() + " ", &WHOLE[line..].trim_start());
        let error = text.parse::<Policy>().expect_err(key);
        use PolicyErrorKind::{MissingKey, Syntax, UnknownKey};
        let known = [UnknownKey, MissingKey, Syntax];
        assert!(known.contains(&error.kind()), "{key}: {error}");
        assert!(is_of_the_form(&text).is_err(), "{key}");
        tried += 1;
    }
    assert!(tried > 50, "{tried}");
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
