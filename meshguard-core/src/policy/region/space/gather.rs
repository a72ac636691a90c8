//! What documents tell apart on each axis.

use std::collections::BTreeMap;

use super::super::TooComplex;
use super::super::lines::claims::ClaimLines;
use super::super::lines::header::HeaderLine;
use super::super::lines::peers::Names;
use super::{CALLEE, CALLER, HOP};
use crate::identity::TrustDomain;
use crate::policy::model::{Document, HeaderCondition, Peers};

pub(super) fn domains(document: &Document) -> impl Iterator<Item = &str> {
    std::iter::once(&document.mesh).chain(&document.federates).map(TrustDomain::as_str)
}

/// The patterns of some peers; none where there is no list.
pub(super) fn texts<'p>(document: &'p Document, peers: &Peers) -> Vec<&'p str> {
    let ids = peers.iter().flatten();
    ids.map(|id| &*document.patterns[*id as usize].text).collect()
}

/// What callers, callees and hops are told apart by.
pub(super) fn names<'p>(documents: &[&'p Document]) -> [Names<'p>; 3] {
    let mut names: [Names<'p>; 3] = Default::default();
    for document in documents {
        domains(document).for_each(|domain| names[CALLER].add(domain));
        let hops = &document.hops;
        let rules = document.rules.iter().map(|r| (&r.from, &r.to, &r.via));
        let expects = document.expects.iter().map(|e| (&e.from, &e.to, &None));
        let edges = document.deliveries.iter().map(|d| (&d.from, &d.to, &None));
        let all = rules.chain(expects).chain(edges).chain([(&None, &None, hops)]);
        for (from, to, via) in all {
            texts(document, from).into_iter().for_each(|text| names[CALLER].add(text));
            texts(document, to).into_iter().for_each(|text| names[CALLEE].add(text));
            texts(document, via).into_iter().for_each(|text| names[HOP].add(text));
        }
    }
    names
}

pub(super) fn headers<'p>(documents: &[&'p Document]) -> Result<Vec<HeaderLine<'p>>, TooComplex> {
    let mut names: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    let rules = documents.iter().flat_map(|d| &d.rules);
    for condition in rules.flat_map(|rule| &rule.when.headers) {
        names.entry(condition.name.as_str()).or_default().push(condition);
    }
    let line = |conditions: Vec<&'p HeaderCondition>| {
        HeaderLine::new(&conditions[0].name, conditions.iter().map(|c| &c.glob))
    };
    names.into_values().map(line).collect()
}

pub(super) fn claims<'p>(documents: &[&'p Document]) -> Result<Vec<ClaimLines<'p>>, TooComplex> {
    let mut names: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    let rules = documents.iter().flat_map(|d| &d.rules);
    for condition in rules.flat_map(|rule| &rule.when.claims) {
        let own = names.entry(&condition.name).or_default();
        if !own.contains(&condition) {
            own.push(condition);
        }
    }
    let lines: Vec<ClaimLines<'p>> =
        names.into_values().map(ClaimLines::new).collect::<Result<_, _>>()?;
    for (at, line) in lines.iter().enumerate() {
        if lines[..at].iter().any(|other| line.entangled(other)) {
            return Err(TooComplex::Claims);
        }
    }
    Ok(lines)
}
