//! An explanation in words.

use std::fmt;

use serde::Serializer;

use super::{Considered, Explanation, Inputs, Named};
use crate::policy::Decision;
use crate::policy::model::{Document, Effect, Peers, Templates};
use crate::policy::template::{Protocol, Template};
use crate::reflex::Rate;

/// The names, or operations, that one sentence lists, at most.
const MAX_LISTED: usize = 4;

/// `the caller is not checkout or batch`.
pub(super) fn peers(what: &str, document: &Document, peers: &Peers) -> String {
    let Some(peers) = peers else { return format!("{what} of the mesh {}", document.mesh) };
    let names = peers.iter().filter_map(|id| document.names.get(*id as usize));
    format!("{what} {}", list(names.map(ToString::to_string)))
}

pub(super) fn operations(document: &Document, templates: &Templates) -> String {
    let ids = templates.as_deref().unwrap_or_default();
    let templates = ids.iter().filter_map(|id| document.templates.get(*id as usize));
    format!("the operation is not {}", list(templates.map(operation)))
}

/// As the document has it: `GET /orders/{id}`, `shop.v1.Orders/Get`.
fn operation(template: &Template) -> String {
    match &template.protocol {
        Protocol::Http(method) => {
            format!("{} {}", method.as_deref().unwrap_or("*"), template.route)
        }
        Protocol::Grpc => template.route.to_string(),
    }
}

fn list(mut names: impl Iterator<Item = String>) -> String {
    let mut listed: Vec<String> = names.by_ref().take(MAX_LISTED).collect();
    match names.count() {
        0 => {}
        others => listed.push(format!("{others} others")),
    }
    listed.join(" or ")
}

pub(super) fn obligations(decision: &Decision<'_>) -> Vec<String> {
    let owed = decision.obligations();
    let mut all = Vec::new();
    if let Some(evidence) = owed.evidence {
        all.push(format!("evidence {evidence}, to the body's end"));
    }
    if let Some(content) = owed.content {
        all.push(format!("a body of at most {} bytes", content.max_bytes));
        let mut pointers = content.json.iter().map(ToString::to_string).peekable();
        if pointers.peek().is_some() {
            all.push(format!("JSON with {}", pointers.collect::<Vec<_>>().join(", ")));
        }
    }
    if let Some(limit) = owed.limit {
        let (per, burst) = (limit.per.as_str(), limit.burst);
        let rate = rate(limit.rate);
        all.push(format!("at most {rate}, {burst} at once, for each {per}"));
    }
    all
}

/// As documents have it: `200/s`.
fn rate(Rate { count, per }: Rate) -> String {
    match per.as_secs() {
        1 => format!("{count}/s"),
        60 => format!("{count}/min"),
        3600 => format!("{count}/h"),
        _ => format!("{count} in {per:?}"),
    }
}

pub(in crate::policy) fn effect<S: Serializer>(effect: &Effect, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(effect_word(*effect))
}

fn effect_word(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

pub(super) fn explanation(of: &Explanation, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}: {}", if of.allowed { "allowed" } else { "denied" }, of.reason)?;
    writeln!(f)?;
    inputs(&of.inputs, f)?;
    line(f, "route", of.route.as_deref().unwrap_or("unmatched"))?;
    line(f, "delivery", of.delivery)?;
    line(f, "policy", &format!("version {}", of.policy_version))?;
    if !of.rules.is_empty() {
        writeln!(f)?;
    }
    let width = of.rules.iter().map(|c| c.rule.chars().count()).max().unwrap_or(0);
    for considered in &of.rules {
        rule(considered, width, f)?;
    }
    if of.others > 0 {
        writeln!(f, "  and {} rules that are farther off", of.others)?;
    }
    if let Some(nearest) = &of.nearest {
        writeln!(f, "\nnearest: {} {}", nearest.rule, needed(nearest))?;
    }
    if !of.obligations.is_empty() {
        writeln!(f, "\nowed: {}", of.obligations.join("; "))?;
    }
    Ok(())
}

fn needed(nearest: &Considered) -> String {
    if nearest.matches() {
        return "would allow it, but a deny rule comes first".to_owned();
    }
    format!("would allow it, but {}", misses(nearest))
}

fn misses(considered: &Considered) -> String {
    let texts = considered.misses.iter().map(|miss| miss.text.as_str());
    texts.collect::<Vec<_>>().join(", and ")
}

fn rule(of: &Considered, width: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let effect = match (of.shadow, of.effect) {
        (true, Effect::Allow) => "(allow)",
        (true, Effect::Deny) => "(deny)",
        (false, effect) => effect_word(effect),
    };
    let name = &of.rule;
    if of.matches() {
        return writeln!(f, "  {effect:<9} {name:<width$}  matches");
    }
    writeln!(f, "  {effect:<9} {name:<width$}  no: {}", misses(of))
}

fn inputs(of: &Inputs, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    line(f, "asked", &of.operation)?;
    let direct = if of.direct { ", directly" } else { "" };
    let from = of.from.as_deref().unwrap_or("nobody known");
    line(f, "from", &format!("{from}{direct}"))?;
    if let Some(via) = &of.via {
        line(f, "via", via)?;
    }
    line(f, "to", of.to.as_deref().unwrap_or("a callee that is not known"))?;
    let mut proved = vec![format!("evidence {}", of.evidence)];
    proved.extend(of.trust.map(|trust| format!("trust {trust:.2}")));
    proved.extend(of.source.map(|source| format!("source {source}")));
    proved.extend(of.proofs.iter().map(|proof| format!("{proof} proof")));
    proved.extend(names("header", &of.headers));
    proved.extend(names("claim", &of.claims));
    line(f, "known", &proved.join(", "))
}

fn names<'a>(what: &'a str, of: &'a [Named]) -> impl Iterator<Item = String> + 'a {
    of.iter().map(move |named| {
        let missing = if named.proved { "" } else { "no " };
        format!("{missing}{what} {}", named.name)
    })
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<9} {value}")
}
