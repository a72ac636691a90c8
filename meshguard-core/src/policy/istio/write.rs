//! The native document's text.

use super::Workload;
use crate::policy::model::Effect;
use crate::policy::term::Term;
use crate::policy::text::quoted;

/// A rule with nothing but terms.
pub(super) struct NativeRule {
    pub(super) name: String,
    pub(super) effect: Effect,
    pub(super) shadow: bool,
    pub(super) terms: Vec<Term>,
}

/// The document in TOML. Reading it again gives these rules.
pub(super) fn document(workload: &Workload, rules: &[NativeRule]) -> String {
    let mut text = String::new();
    let out = &mut text;
    line(out, "mesh", &quoted(&workload.trust_domain));
    line(out, "version", &workload.version.to_string());
    line(out, "semantics", &quoted("istio"));
    line(out, "normalization", &quoted(workload.normalization.as_str()));
    for rule in rules {
        let table = match rule.effect {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
        };
        out.push_str(&format!("\n[[{table}]]\n"));
        line(out, "name", &quoted(&rule.name));
        if rule.shadow {
            line(out, "shadow", "true");
        }
        if !rule.terms.is_empty() {
            out.push_str("when = { where = [\n");
            rule.terms.iter().for_each(|rule| term(out, rule));
            out.push_str("] }\n");
        }
    }
    text
}

fn term(out: &mut String, term: &Term) {
    out.push_str(&format!("  {{ key = {}", quoted(&term.key().to_string())));
    let values: Vec<String> = term.values().map(quoted).collect();
    if !values.is_empty() {
        out.push_str(&format!(", values = [{}]", values.join(", ")));
    }
    let values: Vec<String> = term.not_values().map(quoted).collect();
    if !values.is_empty() {
        out.push_str(&format!(", not_values = [{}]", values.join(", ")));
    }
    out.push_str(" },\n");
}

fn line(out: &mut String, key: &str, value: &str) {
    out.push_str(&format!("{key} = {value}\n"));
}
