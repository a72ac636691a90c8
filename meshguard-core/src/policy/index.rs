//! From an access to the few rules that can speak of it.
//!
//! An access is first turned into three short lists of numbers: the peers' patterns its caller
//! matches, those its callee matches, and the templates its operation matches. A rule is filed
//! under every triple of its lists, so that each triple of the access is one look-up.

mod filed;
mod known;
mod mixer;
mod numbers;
mod shape;
mod trie;

use std::collections::HashMap;

use self::filed::{Filed, Key, Kind as Filing, wide};
pub(super) use self::filed::{Group, PairId};
use self::known::Known;
use self::mixer::Unkeyed;
pub(super) use self::numbers::{Few, Numbers};
pub(super) use self::shape::{Shape, Sought};
use self::trie::Trie;
use super::error::{Fault, PolicyErrorKind as Kind};
use super::model::{Document, Effect, PatternId, Peers, Rule, RuleId, TemplateId};
use super::pattern::Pattern;
use super::template::Segment;
use crate::identity::{SpiffeId, TrustDomain};

/// The most combinations of caller, callee and template under which a policy's rules are filed.
pub const MAX_ENTRIES: usize = 4_000_000;

/// Stands for every peer, or every operation, in a key.
pub(super) const ANY: u32 = u32::MAX;
/// Stands for a callee that is not known.
const UNKNOWN: u32 = u32::MAX - 1;
/// Stands for every peer of the mesh itself, where it federates with others.
const OWN: u32 = u32::MAX - 2;
/// The least of these.
const FIRST_SPECIAL: u32 = OWN;

type Map<K, V> = HashMap<K, V, Unkeyed>;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// Of each ID that a pattern names, what [`peers`](Self::peers) answers. Without `ANY` where
    /// that is long: so the memory that this takes has a bound.
    known: Known,
    /// Of each trust domain, the patterns with wildcards.
    wild: Vec<(TrustDomain, Trie)>,
    federates: bool,
    paths: Trie,
    rules: Filed,
    /// By the template's number.
    shapes: Box<[Shape]>,
    /// By the rule's number: whether it has to be looked at once it is found.
    conditional: Box<[bool]>,
    /// The first delivery rule under each pair of caller and callee.
    delivery: Map<u64, u32>,
}

impl Index {
    pub(super) fn build(document: &Document) -> Result<Self, Fault> {
        let mut index = Self { federates: !document.federates.is_empty(), ..Self::default() };
        for (id, pattern) in (0..).zip(&document.patterns) {
            index.add_pattern(id, pattern);
        }
        for (id, pattern) in (0..).zip(&document.patterns).filter(|(_, p)| p.is_exact()) {
            index.add_known(id, pattern);
        }
        for (id, template) in (0..).zip(&document.templates) {
            index.paths.insert(&template.segments, id);
        }
        index.shapes = document.templates.iter().map(Shape::new).collect();
        index.conditional = document.rules.iter().map(shape::is_conditional).collect();
        index.file_rules(document)
    }

    fn add_pattern(&mut self, id: PatternId, pattern: &Pattern) {
        if !pattern.is_exact() {
            let at = self.wild.iter().position(|(domain, _)| *domain == pattern.domain);
            let at = at.unwrap_or_else(|| {
                self.wild.push((pattern.domain.clone(), Trie::default()));
                self.wild.len() - 1
            });
            self.wild[at].1.insert(&pattern.segments, id);
        }
    }

    /// To be called once all patterns with wildcards are there.
    fn add_known(&mut self, id: PatternId, pattern: &Pattern) {
        let before = "spiffe://".len() + pattern.domain.as_str().len();
        let path = pattern.text.get(before..).unwrap_or_default();
        let mut numbers = Few::one(id);
        self.wildcards(pattern.domain.as_str(), path, &mut numbers);
        let numbers = if numbers.is_short() { numbers } else { Few::one(id) };
        self.known.insert(&pattern.text, numbers.as_slice());
    }

    fn file_rules(mut self, document: &Document) -> Result<Self, Fault> {
        check_count(document)?;
        let mut entries = Vec::new();
        for (id, rule) in (0..).zip(&document.rules) {
            let kind = match rule.effect {
                _ if rule.shadow => Filing::Shadow,
                Effect::Deny => Filing::Deny,
                Effect::Allow => Filing::Allow,
            };
            entries.extend(self.keys(rule).map(|key| (key, kind, id)));
        }
        self.rules = Filed::new(entries);
        for (id, edge) in (0..).zip(&document.deliveries) {
            for pair in pairs(&edge.from, &edge.to) {
                self.delivery.entry(pair).or_insert(id);
            }
        }
        Ok(self)
    }

    /// The patterns of the document that `id`, which is of the mesh or federated, matches; `ANY`
    /// last.
    pub(super) fn peers(&self, id: &SpiffeId) -> Numbers {
        let known = self.known.get(id).unwrap_or_default();
        let mut numbers = Few::from(known);
        if known.last() == Some(&ANY) {
            return numbers;
        }
        self.wildcards(id.trust_domain(), id.path(), &mut numbers);
        numbers
    }

    /// The patterns with wildcards that match, and `ANY`.
    fn wildcards(&self, domain: &str, path: &str, numbers: &mut Numbers) {
        for (own, trie) in &self.wild {
            if own.as_str() == domain {
                trie.find(path, &mut |pattern| numbers.push(pattern));
            }
        }
        numbers.push(ANY);
    }

    /// As `peers`, of a caller.
    pub(super) fn caller(&self, id: &SpiffeId, mesh: &str) -> Numbers {
        let mut numbers = self.peers(id);
        if self.federates && id.trust_domain() == mesh {
            numbers.push(OWN);
        }
        numbers
    }

    /// As `peers`, of the callee.
    pub(super) fn callee(&self, id: Option<&SpiffeId>) -> Numbers {
        match id {
            Some(id) => self.peers(id),
            None => {
                let mut numbers = Few::one(UNKNOWN);
                numbers.push(ANY);
                numbers
            }
        }
    }

    /// The pairs of a caller's and a callee's patterns under which there are rules.
    pub(super) fn pairs(&self, from: &Numbers, to: &Numbers) -> Few<PairId> {
        self.rules.pairs(from.as_slice(), to.as_slice())
    }

    /// Calls `found` for every template whose path matches.
    pub(super) fn templates(&self, path: &str, found: &mut impl FnMut(TemplateId)) {
        self.paths.find(path, found);
    }

    /// Which operations a template speaks of.
    pub(super) fn shape(&self, template: TemplateId) -> Shape {
        self.shapes[template as usize]
    }

    /// Whether a rule that is found has conditions, or a hop: else it holds.
    pub(super) fn is_conditional(&self, rule: RuleId) -> bool {
        self.conditional[rule as usize]
    }

    /// Whether any are filed under [`ANY`] operation.
    pub(super) fn rules_for_every_operation(&self) -> bool {
        self.rules.has_every()
    }

    /// The rules filed under a pair and a template, or [`ANY`].
    pub(super) fn rules(&self, pair: PairId, template: TemplateId) -> Group<'_> {
        self.rules.get(pair, template)
    }

    /// The keys of a rule. A deny rule that names its callee counts for an unknown one, too: what
    /// is not known must not spare a call. An allow rule that names no caller speaks of the mesh's
    /// own, a deny rule of everybody.
    fn keys<'r>(&self, rule: &'r Rule) -> impl Iterator<Item = Key> + use<'r> {
        let own = if self.federates && rule.effect == Effect::Allow { &[OWN] } else { &[ANY] };
        let froms = rule.from.as_deref().unwrap_or(own);
        let templates = rule.templates.as_deref().unwrap_or(&[ANY]);
        let unknown = (rule.effect == Effect::Deny && rule.to.is_some()).then_some(UNKNOWN);
        let tos = rule.to.as_deref().unwrap_or(&[ANY]).iter().copied().chain(unknown);
        froms.iter().flat_map(move |from| {
            let tos = tos.clone();
            tos.flat_map(move |to| templates.iter().map(move |t| [*from, to, *t]))
        })
    }

    /// The first delivery rule that matches both ends.
    pub(super) fn delivery(&self, from: &Numbers, to: &Numbers) -> Option<u32> {
        if self.delivery.is_empty() {
            return None;
        }
        let tos = to.as_slice();
        let pairs = from.as_slice().iter().flat_map(|f| tos.iter().map(|t| wide(*f, *t)));
        pairs.filter_map(|pair| self.delivery.get(&pair).copied()).min()
    }
}

fn pairs(from: &Peers, to: &Peers) -> impl Iterator<Item = u64> {
    let to = to.as_deref().unwrap_or(&[ANY]);
    let from = from.as_deref().unwrap_or(&[ANY]);
    from.iter().flat_map(move |f| to.iter().map(move |t| wide(*f, *t)))
}

fn check_count(document: &Document) -> Result<(), Fault> {
    let many = |peers: &Peers| peers.as_ref().map_or(1, |p| p.len());
    let mut count = 0_usize;
    for rule in &document.rules {
        let callees = many(&rule.to).saturating_add(1);
        let pairs = many(&rule.from).saturating_mul(callees);
        let templates = rule.templates.as_ref().map_or(1, |t| t.len());
        count = count.saturating_add(pairs.saturating_mul(templates));
        if count > MAX_ENTRIES {
            return Err(too_many(&rule.name));
        }
    }
    for edge in &document.deliveries {
        count = count.saturating_add(many(&edge.from).saturating_mul(many(&edge.to)));
    }
    if count > MAX_ENTRIES { Err(too_many("delivery")) } else { Ok(()) }
}

fn too_many(rule: &str) -> Fault {
    let message = format!("with `{rule}` the rules have more than {MAX_ENTRIES} combinations");
    Fault::new(Kind::TooManyCombinations, 0, message)
        .hint("name many peers by one pattern, or many operations by one template")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_of_many_children_is_found_and_no_other() {
        for count in [1, 4, 5, 300] {
            let mut trie = Trie::default();
            for n in 0..count {
                trie.insert(&[Segment::Literal(format!("s{n}").into())], n);
                trie.insert(&[Segment::Literal(format!("s{n}").into()), Segment::One], n);
            }
            for n in 0..=count {
                let mut found = Vec::new();
                trie.find(&format!("/s{n}"), &mut |n| found.push(n));
                trie.find(&format!("/s{n}/x"), &mut |n| found.push(n));
                assert_eq!(found, if n < count { vec![n, n] } else { vec![] }, "{n} of {count}");
            }
        }
    }

    #[test]
    fn a_pattern_and_a_literal_of_one_shape_are_both_found() {
        let mut trie = Trie::default();
        let literal = |s: &str| Segment::Literal(s.into());
        trie.insert(&[literal("a"), Segment::Many, literal("z")], 1);
        trie.insert(&[literal("a"), Segment::One, literal("z")], 2);
        trie.insert(&[literal("a"), Segment::Many], 3);
        trie.insert(&[Segment::Many, Segment::One], 4);
        trie.insert(&[literal("a"), literal("")], 5);
        for (path, want) in [
            ("/a/b/z", vec![1, 2, 3, 4]),
            ("/a/b/c/z", vec![1, 3, 4]),
            ("/a/z", vec![3, 4]),
            ("/a/", vec![3, 5]),
            ("/a", vec![]),
            ("/", vec![]),
            ("", vec![]),
            ("/b/c", vec![4]),
            ("/b/", vec![]),
        ] {
            let mut found = Vec::new();
            trie.find(path, &mut |n| found.push(n));
            found.sort_unstable();
            assert_eq!(found, want, "{path}");
        }
    }
}
