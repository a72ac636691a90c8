//! From an access to the few rules that can speak of it.
//!
//! An access is first turned into three short lists of numbers: the peers' patterns its caller
//! matches, those its callee matches, and the templates its operation matches. A rule is filed
//! under every triple of its lists, so that each triple of the access is one look-up.

mod filed;
mod known;
mod numbers;
mod shape;
mod table;
mod trie;
mod word;

use std::collections::HashMap;

use self::filed::{Filed, Key, Kind as FiledAs, hash, wide};
pub(super) use self::filed::{Filing, Group, PairId};
use self::known::Known;
pub(super) use self::numbers::{Ends, Few, Numbers};
pub(super) use self::shape::{Shape, Sought};
use self::table::Table;
use self::trie::{Seedling, Trie};
use super::error::{Fault, PolicyErrorKind as Kind};
use super::model::{Document, Effect, PatternId, Peers, Rule, TemplateId};
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

#[derive(Debug, Default)]
pub(super) struct Index {
    known: Known,
    /// Of each trust domain, the patterns with wildcards.
    wild: Vec<(TrustDomain, Trie<PatternId>)>,
    federates: bool,
    paths: Trie<Leaf>,
    rules: Filed,
    /// The first delivery rule under each pair of caller and callee.
    delivery: Table<(u64, u32)>,
}

/// A template, and which operations it speaks of.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    template: TemplateId,
    shape: Shape,
}

/// Where the numbers of an end stand that [`Known`] does not hold.
#[derive(Default)]
pub(super) struct Room(Option<Numbers>);

impl Index {
    pub(super) fn build(document: &Document) -> Result<Self, Fault> {
        check_count(document)?;
        let mut paths = Seedling::default();
        for (id, template) in (0..).zip(&document.templates) {
            paths.insert(&template.segments, Leaf { template: id, shape: Shape::new(template) });
        }
        let mut index = Self {
            wild: wild(document),
            federates: !document.federates.is_empty(),
            paths: paths.grown(),
            ..Self::default()
        };
        index.file_rules(document);
        index.file_deliveries(document);
        index.file_known(document);
        Ok(index)
    }

    fn file_rules(&mut self, document: &Document) {
        let mut entries = Vec::new();
        for (id, rule) in (0..).zip(&document.rules) {
            let kind = match rule.effect {
                _ if rule.shadow => FiledAs::Shadow,
                Effect::Deny => FiledAs::Deny,
                Effect::Allow => FiledAs::Allow,
            };
            let filing = Filing { rule: id, conditional: shape::is_conditional(rule) };
            entries.extend(self.keys(rule).map(|key| (key, kind, filing)));
        }
        self.rules = Filed::new(entries);
    }

    fn file_deliveries(&mut self, document: &Document) {
        let mut first = HashMap::new();
        for (id, edge) in (0..).zip(&document.deliveries) {
            for pair in pairs(&edge.from, &edge.to) {
                first.entry(pair).or_insert(id);
            }
        }
        self.delivery = Table::new(first.into_iter().map(|of| (hash(of.0), of)).collect());
    }

    /// To be called once all else is there.
    fn file_known(&mut self, document: &Document) {
        let mut known = known::Builder::default();
        for (id, pattern) in (0..).zip(&document.patterns).filter(|(_, p)| p.is_exact()) {
            let domain = pattern.domain.as_str();
            let before = "spiffe://".len() + domain.len();
            let mut caller = Few::default();
            caller.push(id);
            self.wildcards(domain, pattern.text.get(before..).unwrap_or_default(), &mut caller);
            let mut callee = caller.clone();
            if self.is_own(domain, document.mesh.as_str()) {
                caller.push(OWN);
            }
            let short = caller.is_short() && callee.is_short();
            let ends = short.then(|| [self.as_caller(&mut caller), self.as_callee(&mut callee)]);
            known.insert(&pattern.text, id, ends);
        }
        self.known = known.built();
    }

    /// The patterns of the document that `id`, which is of the mesh or federated, matches, and
    /// `ANY`.
    pub(super) fn peers(&self, id: &SpiffeId) -> Numbers {
        let mut numbers = Few::default();
        if let Some(name) = self.known.get(id) {
            numbers.push(name.pattern);
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

    /// Whether [`OWN`] is to be told from [`ANY`] and stands for this domain, too.
    fn is_own(&self, domain: &str, mesh: &str) -> bool {
        self.federates && domain == mesh
    }

    fn as_caller<'i>(&self, numbers: &'i mut Numbers) -> Ends<'i> {
        numbers.ends(|number| self.rules.callers.has(number))
    }

    fn as_callee<'i>(&self, numbers: &'i mut Numbers) -> Ends<'i> {
        numbers.ends(|number| self.rules.callees.has(number))
    }

    /// As [`peers`](Self::peers), of a caller; `None` where its trust domain is not `accepted`.
    /// Whom a pattern names is: a document has no patterns of other trust domains.
    #[inline]
    pub(super) fn caller<'i>(
        &'i self,
        id: &SpiffeId,
        mesh: &str,
        accepted: impl FnOnce() -> bool,
        room: &'i mut Room,
    ) -> Option<Ends<'i>> {
        let known = self.known.get(id).and_then(|name| self.known.caller(name));
        known.or_else(|| accepted().then(|| self.new_caller(id, mesh, room)))
    }

    #[cold]
    fn new_caller<'i>(&self, id: &SpiffeId, mesh: &str, room: &'i mut Room) -> Ends<'i> {
        let numbers = room.0.insert(self.peers(id));
        if self.is_own(id.trust_domain(), mesh) {
            numbers.push(OWN);
        }
        self.as_caller(numbers)
    }

    /// As [`peers`](Self::peers), of the callee.
    #[inline]
    pub(super) fn callee<'i>(&'i self, id: Option<&SpiffeId>, room: &'i mut Room) -> Ends<'i> {
        let Some(id) = id else { return Ends::of(&[UNKNOWN, ANY]) };
        let known = self.known.get(id).and_then(|name| self.known.callee(name));
        known.unwrap_or_else(|| self.new_callee(id, room))
    }

    #[cold]
    fn new_callee<'i>(&self, id: &SpiffeId, room: &'i mut Room) -> Ends<'i> {
        self.as_callee(room.0.insert(self.peers(id)))
    }

    /// The pairs of a caller's and a callee's patterns under which there are rules.
    #[inline]
    pub(super) fn pairs(&self, from: Ends<'_>, to: Ends<'_>) -> Few<PairId> {
        self.rules.pairs(from, to)
    }

    /// Calls `found` for every template whose path matches, with the operations it speaks of.
    #[inline]
    pub(super) fn templates(&self, path: &str, found: &mut impl FnMut(TemplateId, Shape)) {
        self.paths.find(path, &mut |leaf: Leaf| found(leaf.template, leaf.shape));
    }

    /// Whether any are filed under [`ANY`] operation.
    pub(super) fn rules_for_every_operation(&self) -> bool {
        self.rules.has_every()
    }

    /// The rules filed under a pair and a template, or [`ANY`].
    #[inline]
    pub(super) fn rules(&self, pair: PairId, template: TemplateId) -> Option<Group<'_>> {
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
    #[inline]
    pub(super) fn delivery(&self, from: &[u32], to: &[u32]) -> Option<u32> {
        if self.delivery.is_empty() { None } else { self.find_delivery(from, to) }
    }

    fn find_delivery(&self, from: &[u32], to: &[u32]) -> Option<u32> {
        let pairs = from.iter().flat_map(|f| to.iter().map(|t| wide(*f, *t)));
        let rules = pairs.filter_map(|pair| self.delivery.find(hash(pair), |of| of.0 == pair));
        rules.map(|(_, rule)| *rule).min()
    }
}

/// The patterns with wildcards, by their trust domains.
fn wild(document: &Document) -> Vec<(TrustDomain, Trie<PatternId>)> {
    let mut wild: Vec<(&TrustDomain, Seedling<'_, PatternId>)> = Vec::new();
    for (id, pattern) in (0..).zip(&document.patterns).filter(|(_, p)| !p.is_exact()) {
        let at = wild.iter().position(|(domain, _)| **domain == pattern.domain);
        let at = at.unwrap_or(wild.len());
        if at == wild.len() {
            wild.push((&pattern.domain, Seedling::default()));
        }
        wild[at].1.insert(&pattern.segments, id);
    }
    wild.into_iter().map(|(domain, patterns)| (domain.clone(), patterns.grown())).collect()
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
