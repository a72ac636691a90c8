//! Properties of paths: of their normal form, and of their readings.

use std::sync::LazyLock;

use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

use super::paths::readings;
use crate::access::Access;
use crate::policy::Policy;
use crate::policy::model::Normalization;

const ALL: [Normalization; 4] = [
    Normalization::None,
    Normalization::Base,
    Normalization::MergeSlashes,
    Normalization::DecodeAndMergeSlashes,
];

/// Paths made of what is special in one.
const PATH: &str = r"/((%(25)*(2[efEF]|5[cC]|61|3b|00|ff)|[a.;/\\%]|\.\.){0,12})";

fn policy(effect: &str, path: &str) -> Policy {
    let default = if effect == "deny" { "[[allow]]\nname='all'\n" } else { "" };
    format!(
        "mesh='a'\nversion=1\nsemantics='istio'\nnormalization='base'\n{default}[[{effect}]]\nname='r'\nwhen={{where=[{{key='request.path',values=['{path}']}}]}}\n"
    )
    .parse()
    .unwrap()
}

/// As a server that decodes first, then takes `\` for `/`, merges, and resolves. A slash at the
/// end is kept.
fn lenient(path: &str) -> String {
    let mut decoded = path.to_owned();
    while let Some(next) = super::paths::decode(&decoded) {
        decoded = next;
    }
    let mut kept: Vec<&str> = Vec::new();
    let slashes = decoded.replace('\\', "/");
    for segment in slashes.split('/').filter(|s| !s.is_empty()) {
        match segment.split(';').next() {
            Some("..") => drop(kept.pop()),
            Some(".") => {}
            Some(bare) => kept.push(bare),
            None => {}
        }
    }
    if slashes.ends_with('/') && !kept.is_empty() {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_normal_form_is_normal(path in PATH) {
        for normalization in ALL {
            let Ok(once) = normalization.apply(&path) else { continue };
            let again = normalization.apply(&once).map(std::borrow::Cow::into_owned);
            prop_assert_eq!(again.as_deref(), Ok(&*once), "{:?} {}", normalization, path);
        }
    }

    #[test]
    fn upstreams_reading_is_the_first_of_few(path in PATH) {
        for normalization in ALL {
            let Ok(readings) = readings(&path, normalization) else { continue };
            prop_assert_eq!(normalization.apply(&path).unwrap(), &*readings[0].path);
            prop_assert!(readings[0].strict && readings.len() < 40, "{}", readings.len());
        }
    }

    #[test]
    fn whatever_a_lenient_server_makes_of_a_path_is_what_the_rules_saw(path in PATH) {
        static DENY: LazyLock<Policy> = LazyLock::new(|| policy("deny", "/a"));
        static ALLOW: LazyLock<Policy> = LazyLock::new(|| policy("allow", "/a/*"));
        let access = Access::http("GET", &path);
        let lenient = lenient(&path);
        if DENY.decide_hardened(&access).is_allowed() {
            prop_assert!(!["/a", "/a/"].contains(&&*lenient), "{path}");
        }
        if ALLOW.decide_hardened(&access).is_allowed() {
            prop_assert!(lenient == "/a" || lenient.starts_with("/a/"), "{path} is {lenient}");
        }
    }

    #[test]
    fn hardening_only_denies(path in r"\PC{0,20}", method in "[A-Za-z]{1,6}") {
        static BOTH: LazyLock<[Policy; 2]> =
            LazyLock::new(|| [policy("deny", "/a*"), policy("allow", "/a*")]);
        let access = Access::http(&method, &path);
        for policy in &*BOTH {
            prop_assert!(!policy.decide_hardened(&access).is_allowed() || policy.decide(&access).is_allowed());
        }
    }
}
