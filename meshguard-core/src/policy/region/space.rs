//! All accesses that some policies tell apart, as a finite product.
//!
//! An axis is one thing that an access says: who calls, which operation, one header. Its classes
//! are the values that no condition of any of the policies tells apart, each with one that stands
//! for it. So a rule is a [`Block`] of this space, exactly, and an access one of its cells.

mod gather;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::gather::{claims, domains, headers, names, texts};
use super::TooComplex;
use super::bits::Bits;
use super::block::{Axis, Block};
use super::cover::Ground;
use super::lines::claims::ClaimLines;
use super::lines::header::HeaderLine;
use super::lines::operations::OperationLine;
use super::lines::ordered::{EVIDENCE, PROOFS, SourceLine, TrustLine};
use super::lines::peers::{DIRECT, INDIRECT, PeerLine, Role, UNKNOWN};
use super::lines::room;
use crate::access::{Access, OwnedAccess};
use crate::policy::model::{Document, Effect, Expect, Peers, Rule, Templates, When};

const CALLER: usize = 0;
const CALLEE: usize = 1;
const HOP: usize = 2;
const OPERATION: usize = 3;
const EVIDENCES: usize = 4;
const TRUST: usize = 5;
const PROOF: usize = 6;
const SOURCE: usize = 7;
/// The first header's; those of claims follow the last header's.
const HEADERS: usize = 8;

/// The most axes.
const MAX_AXES: usize = 60_000;

/// A list of entries that a rule has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum List {
    From,
    To,
    Via,
    Operations,
}

/// The space of some documents.
#[derive(Debug)]
pub(in crate::policy) struct Space<'p> {
    callers: PeerLine<'p>,
    callees: PeerLine<'p>,
    hops: PeerLine<'p>,
    operations: OperationLine<'p>,
    templates: BTreeMap<String, usize>,
    trust: TrustLine,
    sources: SourceLine,
    headers: Vec<HeaderLine<'p>>,
    claims: Vec<ClaimLines<'p>>,
    /// Of each axis, all of its classes.
    wholes: Vec<Arc<Bits>>,
}

impl<'p> Space<'p> {
    pub(in crate::policy) fn new(documents: &[&'p Document]) -> Result<Self, TooComplex> {
        let rules = || documents.iter().flat_map(|d| &d.rules);
        let [callers, callees, via] = names(documents);
        let domains: Vec<&str> = documents.iter().flat_map(|d| domains(d)).collect();
        let hops: Vec<&str> = documents.iter().flat_map(|d| texts(d, &d.hops)).collect();
        let operations = OperationLine::new(documents.iter().flat_map(|d| &d.templates))?;
        let mut space = Self {
            callers: PeerLine::new(Role::Caller, callers, Some(&domains))?,
            callees: PeerLine::new(Role::Callee, callees, None)?,
            hops: PeerLine::new(Role::Hop, via, Some(&hops))?,
            templates: operations.numbers(),
            operations,
            trust: TrustLine::new(rules().filter_map(|r| r.when.trust)),
            sources: SourceLine::new(rules().flat_map(|r| &r.when.source).flatten().copied()),
            headers: headers(documents)?,
            claims: claims(documents)?,
            wholes: Vec::new(),
        };
        let claims = space.claims.iter().map(ClaimLines::len).sum::<usize>();
        if HEADERS + space.headers.len() + claims > MAX_AXES {
            return Err(TooComplex::Conditions);
        }
        let classes = [space.callers.len(), space.callees.len(), space.operations.len()];
        room(rules().count(), classes.iter().sum())?;
        let mut lens = vec![space.callers.len(), space.callees.len(), space.hops.len()];
        lens.extend([space.operations.len(), EVIDENCE.len(), space.trust.len(), PROOFS.len()]);
        lens.push(space.sources.len());
        lens.extend(space.headers.iter().map(HeaderLine::len));
        lens.extend(std::iter::repeat_n(2, claims));
        space.wholes = lens.into_iter().map(|len| Arc::new(Bits::all(len))).collect();
        Ok(space)
    }

    /// All that this document's rule matches: of an allow rule, with its conditions and with what
    /// holds before any rule is asked. `None`: nothing.
    pub(in crate::policy) fn rule(&self, document: &Document, rule: &Rule) -> Option<Block> {
        let mut sets = Sets::default();
        let deny = rule.effect == Effect::Deny;
        if !deny {
            self.accepted(document, &mut sets);
            if rule.from.is_none() {
                // Callers from elsewhere are allowed by name only.
                sets.add(CALLER, self.callers.any([document.mesh.as_str()]));
            }
        }
        self.ends(document, &rule.from, &rule.to, deny, &mut sets);
        if let Some(via) = &rule.via {
            let mut set = self.hops.any(texts(document, &Some(via.clone())));
            if deny {
                set.insert(INDIRECT); // nothing says through whom
            }
            sets.add(HOP, set);
        }
        self.operation(document, &rule.templates, rule.effect, &mut sets);
        self.when(&rule.when, deny, &mut sets);
        self.block(sets)
    }

    /// What only some entries of one of a rule's lists match, whatever the rule's other keys say.
    pub(in crate::policy) fn entries(
        &self,
        document: &Document,
        rule: &Rule,
        list: List,
        entries: &[u32],
    ) -> Option<Block> {
        let mut sets = Sets::default();
        let some = Some(entries.into());
        match list {
            List::From => self.ends(document, &some, &None, false, &mut sets),
            List::To => self.ends(document, &None, &some, false, &mut sets),
            List::Via => sets.add(HOP, self.hops.any(texts(document, &some))),
            List::Operations => self.operation(document, &some, rule.effect, &mut sets),
        }
        self.block(sets)
    }

    /// All that an expectation speaks of.
    pub(in crate::policy) fn expect(&self, document: &Document, expect: &Expect) -> Option<Block> {
        let mut sets = Sets::default();
        self.ends(document, &expect.from, &expect.to, false, &mut sets);
        self.operation(document, &expect.templates, Effect::Allow, &mut sets);
        self.block(sets)
    }

    /// All calls between two known ends, from some callers to some callees.
    pub(in crate::policy) fn edge(
        &self,
        document: &Document,
        from: &Peers,
        to: &Peers,
    ) -> Option<Block> {
        let mut sets = Sets::default();
        sets.add(CALLEE, Bits::of(self.callees.len(), |class| class != UNKNOWN));
        self.ends(document, from, to, false, &mut sets);
        self.block(sets)
    }

    /// All calls through a hop.
    pub(in crate::policy) fn through(&self, hop: &str) -> Option<Block> {
        let mut sets = Sets::default();
        sets.add(HOP, self.hops.any([hop]));
        self.block(sets)
    }

    fn accepted(&self, document: &Document, sets: &mut Sets) {
        sets.add(CALLER, self.callers.any(domains(document)));
        let mut hops = self.hops.any(texts(document, &document.hops));
        hops.insert(DIRECT);
        hops.insert(INDIRECT);
        sets.add(HOP, hops);
    }

    fn ends(&self, document: &Document, from: &Peers, to: &Peers, deny: bool, sets: &mut Sets) {
        if from.is_some() {
            sets.add(CALLER, self.callers.any(texts(document, from)));
        }
        if to.is_some() {
            let mut set = self.callees.any(texts(document, to));
            if deny && !defect!(SparesUnknown) {
                set.insert(UNKNOWN);
            }
            sets.add(CALLEE, set);
        }
    }

    fn operation(
        &self,
        document: &Document,
        templates: &Templates,
        effect: Effect,
        sets: &mut Sets,
    ) {
        if let Some(ids) = templates {
            let templates = ids.iter().map(|id| &document.templates[*id as usize]);
            sets.add(OPERATION, self.operations.any(templates, effect, &self.templates));
        }
    }

    fn when(&self, when: &When, deny: bool, sets: &mut Sets) {
        if let Some(direct) = when.direct {
            sets.add(HOP, Bits::of(self.hops.len(), |class| (class == DIRECT) == direct));
        }
        if let Some(needs) = when.evidence {
            sets.add(EVIDENCES, Bits::of(EVIDENCE.len(), |class| EVIDENCE[class] >= needs));
        }
        if let Some(needs) = when.trust {
            sets.add(TRUST, self.trust.at_least(needs));
        }
        if let Some(needs) = when.proof {
            sets.add(PROOF, Bits::of(PROOFS.len(), |class| needs.holds(PROOFS[class])));
        }
        if let Some(nets) = &when.source {
            sets.add(SOURCE, self.sources.any(nets, deny));
        }
        for condition in &when.headers {
            let line = self.headers.iter().position(|line| *line.name() == condition.name);
            if let Some(at) = line {
                sets.add(HEADERS + at, self.headers[at].matching(&condition.glob));
            }
        }
        for condition in &when.claims {
            let mut first = HEADERS + self.headers.len();
            for line in &self.claims {
                if let Some(axis) = line.axis(condition) {
                    sets.add(first + axis, Bits::of(2, |class| class == 1));
                }
                first += line.len();
            }
        }
    }

    fn block(&self, sets: Sets) -> Option<Block> {
        let whole = |axis: usize, set: &Bits| *self.wholes[axis] == *set;
        let sets = sets.0.into_iter().filter(|(axis, set)| !whole(*axis, set));
        // `MAX_AXES` fits.
        Block::new(sets.map(|(axis, set)| (axis as Axis, Arc::new(set))).collect())
    }

    /// An access of each class of operations.
    pub(in crate::policy) fn operations(&self) -> impl Iterator<Item = OwnedAccess> + '_ {
        (0..self.operations.len()).map(|class| {
            let mut access = OwnedAccess::http("GET", "/");
            self.operations.stand(class, &mut access);
            access
        })
    }

    /// The classes of an access, one for each axis. `None`: every policy denies it before any
    /// rule.
    pub(in crate::policy) fn cell(&self, access: &Access<'_>) -> Option<Vec<u32>> {
        let evidence = EVIDENCE.iter().position(|evidence| *evidence == access.proved())?;
        let proofs = PROOFS.iter().position(|proofs| *proofs == access.proved_binding())?;
        let mut cell = vec![
            self.callers.class(access)?,
            self.callees.class(access)?,
            self.hops.class(access)?,
            self.operations.class(access)?,
            evidence,
            self.trust.class(access),
            proofs,
            self.sources.class(access)?,
        ];
        for line in &self.headers {
            cell.push(line.class(access)?);
        }
        cell.extend(self.claims.iter().flat_map(|line| line.classes(access)));
        Some(cell.into_iter().map(|class| class as u32).collect())
    }

    fn stand_claims(&self, block: &Block, access: &mut OwnedAccess) -> bool {
        let mut axis = HEADERS + self.headers.len();
        self.claims.iter().all(|line| {
            let first = axis;
            axis += line.len();
            line.stand(|at| block.set((first + at) as Axis).map(|set| &**set), access)
        })
    }

    /// An access that lies in `block`; `None` where there is none, because conditions on one
    /// claim exclude each other.
    pub(in crate::policy) fn witness(&self, block: &Block) -> Option<OwnedAccess> {
        let first = |axis: usize| {
            let set = block.set(axis as Axis).unwrap_or(&self.wholes[axis]);
            set.first()
        };
        let mut access = OwnedAccess::http("GET", "/");
        self.callers.stand(first(CALLER)?, &mut access);
        self.callees.stand(first(CALLEE)?, &mut access);
        self.hops.stand(first(HOP)?, &mut access);
        self.operations.stand(first(OPERATION)?, &mut access);
        access.evidence = EVIDENCE[first(EVIDENCES)?];
        self.trust.stand(first(TRUST)?, &mut access);
        access.proofs = PROOFS[first(PROOF)?];
        self.sources.stand(first(SOURCE)?, &mut access);
        for (axis, line) in (HEADERS..).zip(&self.headers) {
            line.stand(first(axis)?, &mut access);
        }
        self.stand_claims(block, &mut access).then_some(access)
    }
}

impl Ground for Space<'_> {
    fn whole(&self, axis: Axis) -> &Bits {
        &self.wholes[usize::from(axis)]
    }

    /// Conditions on one claim may exclude each other.
    fn inhabited(&self, block: &Block) -> bool {
        let mut access = OwnedAccess::http("GET", "/");
        self.stand_claims(block, &mut access)
    }
}

/// Sets as they are gathered.
#[derive(Default)]
struct Sets(BTreeMap<usize, Bits>);

impl Sets {
    fn add(&mut self, axis: usize, set: Bits) {
        let both = self.0.get(&axis).map(|own| own.and(&set));
        self.0.insert(axis, both.unwrap_or(set));
    }
}
