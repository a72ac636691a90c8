//! Imported documents: what is the same in both, whatever it matches.

use super::super::model::{Document, Effect, Peers, Rule};
use super::super::region::TooComplex;
use super::Open;

/// What may have changed: the rules that stand in one of the documents only, where these are the
/// same otherwise.
pub(super) fn open<'p>(documents: &[&'p Document]) -> Vec<Open<'p>> {
    let why = TooComplex::Imported;
    let [old, new] = documents else { return vec![Open::all(why)] };
    if !alike(old, new) {
        return vec![Open::all(why)];
    }
    let mut open = Vec::new();
    for (one, other, [allows, denies]) in
        [(old, new, [Effect::Deny, Effect::Allow]), (new, old, [Effect::Allow, Effect::Deny])]
    {
        // Without an allow rule that was there, something may become denied; and so on.
        for rule in one.rules.iter().filter(|rule| !is_one_of(rule, other)) {
            let name = Some(&*rule.name);
            open.push(match rule.effect {
                Effect::Allow => Open { becomes: Some(allows), allow: name, deny: None, why },
                Effect::Deny => Open { becomes: Some(denies), allow: None, deny: name, why },
            });
        }
    }
    open
}

fn alike(old: &Document, new: &Document) -> bool {
    let edges = |document: &Document| {
        let edge = |(from, to, rule)| (texts(document, from), texts(document, to), rule);
        document.deliveries.iter().map(|e| (&e.from, &e.to, e.rule)).map(edge).collect::<Vec<_>>()
    };
    old.semantics == new.semantics
        && old.mesh == new.mesh
        && old.federates == new.federates
        && texts(old, &old.hops) == texts(new, &new.hops)
        && edges(old) == edges(new)
        && (old.routes == new.routes && old.templates == new.templates)
}

fn texts(document: &Document, peers: &Peers) -> Option<Vec<String>> {
    let text = |id: &u32| document.patterns[*id as usize].text.to_string();
    let mut texts: Vec<String> = peers.as_ref()?.iter().map(text).collect();
    texts.sort();
    Some(texts)
}

/// Rules of imported documents are their terms, whose order means nothing.
fn is_one_of(rule: &Rule, document: &Document) -> bool {
    let same = |other: &&Rule| {
        other.effect == rule.effect
            && other.shadow == rule.shadow
            && other.when.terms == rule.when.terms
    };
    rule.shadow || document.rules.iter().any(|other| same(&other))
}
