//! The checks, one after another.

use std::cell::Cell;

use super::super::model::{Document, Effect, Rule};
use super::super::region::{Block, Ground, Left, Space, TooComplex, Work, left};
use super::{Finding, FindingKind as Kind};

/// How many pairs of regions may be compared for one answer, before it is left open.
const WORK: usize = 3_000_000;
/// As [`WORK`], for all answers of one check.
const ALL_WORK: usize = 1_000_000_000;
/// The most rules of a proof that are tried without, to have the shortest.
const MOST_TRIED: usize = 16;

pub(super) struct Checker<'a, 'p> {
    pub(super) space: &'a Space<'p>,
    pub(super) document: &'p Document,
    /// The rules that are enforced and can match something.
    pub(super) rules: Vec<Known<'p>>,
    pub(super) findings: Vec<Finding>,
    work: Cell<Work>,
}

pub(super) struct Known<'p> {
    pub(super) rule: &'p Rule,
    pub(super) block: Block,
    /// Whether it is found to decide nothing by itself.
    pub(super) idle: bool,
    /// Whether that could not be found out.
    pub(super) open: bool,
}

impl<'a, 'p> Checker<'a, 'p> {
    pub(super) fn new(space: &'a Space<'p>, document: &'p Document) -> Self {
        let mut checker = Self {
            space,
            document,
            rules: Vec::new(),
            findings: Vec::new(),
            work: Cell::new(Work::new(WORK, ALL_WORK)),
        };
        for rule in &document.rules {
            match space.rule(document, rule).filter(|block| space.inhabited(block)) {
                Some(block) if !rule.shadow => {
                    checker.rules.push(Known { rule, block, idle: false, open: false });
                }
                Some(_) => {}
                None => checker.found(Kind::Unsatisfiable, &rule.name, Vec::new()),
            }
        }
        checker
    }

    pub(super) fn run(mut self) -> Vec<Finding> {
        for at in 0..self.rules.len() {
            self.rule_is_reached(at);
        }
        for at in 0..self.rules.len() {
            self.rule_is_needed(at);
        }
        self.entries();
        self.expectations();
        self.deliveries();
        self.hops();
        self.overlaps();
        self.findings.sort_by_key(Finding::kind);
        self.findings
    }

    fn found(&mut self, kind: Kind, rule: &str, others: Vec<String>) {
        self.findings.push(Finding::proved(kind, rule, others));
    }

    /// What these leave of a block; if nothing, then few of them that do so.
    pub(super) fn left(&self, block: &Block, blocks: &[&Block]) -> Result<Left, TooComplex> {
        let ask = |blocks: &[&Block]| {
            let mut work = self.work.get();
            let answer = left(self.space, block, blocks, work.begin());
            self.work.set(work);
            answer
        };
        let mut proof = match ask(blocks)? {
            Left::Nothing(proof) => proof,
            some => return Ok(some),
        };
        let mut tried = 0;
        while tried < proof.len() && proof.len() <= MOST_TRIED {
            let mut fewer = proof.clone();
            fewer.remove(tried);
            let without: Vec<&Block> = fewer.iter().map(|at| blocks[*at]).collect();
            match ask(&without) {
                Ok(Left::Nothing(_)) => proof = fewer,
                _ => tried += 1,
            }
        }
        Ok(Left::Nothing(proof))
    }

    /// Counts what is looked at without a question.
    pub(super) fn spend(&self, steps: usize) -> Result<(), TooComplex> {
        let mut work = self.work.get();
        let answer = work.begin().spend(steps);
        self.work.set(work);
        answer
    }

    /// The names of the rules that cover a block, if they do.
    fn covered(&self, block: &Block, by: &[usize]) -> Result<Option<Vec<String>>, TooComplex> {
        let blocks: Vec<&Block> = by.iter().map(|at| &self.rules[*at].block).collect();
        let name = |at: usize| self.rules[by[at]].rule.name.to_string();
        Ok(match self.left(block, &blocks)? {
            Left::Nothing(proof) => Some(proof.into_iter().map(name).collect()),
            Left::Some(_) => None,
        })
    }

    /// As [`covered`](Self::covered), of a rule, and says so.
    fn is_covered(&mut self, at: usize, by: &[usize], kind: Kind) -> bool {
        let name = &self.rules[at].rule.name;
        match self.covered(&self.rules[at].block, by) {
            Ok(Some(others)) => {
                self.found(kind, name, others);
                self.rules[at].idle = true;
            }
            Ok(None) => return false,
            Err(why) => {
                self.findings.push(Finding::open(name, why));
                self.rules[at].open = true;
            }
        }
        true
    }

    fn with(&self, effect: Effect) -> impl Iterator<Item = usize> + '_ {
        (0..self.rules.len()).filter(move |at| self.rules[*at].rule.effect == effect)
    }

    /// The other rules that match something that this one does.
    pub(super) fn near(&self, at: usize) -> Result<Vec<usize>, TooComplex> {
        self.spend(self.rules.len())?;
        let block = &self.rules[at].block;
        let meets = |other: &usize| *other != at && self.rules[*other].block.meets(block);
        Ok((0..self.rules.len()).filter(meets).collect())
    }

    /// Of [`near`](Self::near), those that decide before this one.
    pub(super) fn before(&self, at: usize, mut near: Vec<usize>) -> Vec<usize> {
        let own = self.rules[at].rule.effect;
        near.retain(|other| {
            let effect = self.rules[*other].rule.effect;
            (effect == Effect::Deny && own == Effect::Allow) || (effect == own && *other < at)
        });
        near
    }

    fn not_compared(&mut self, at: usize, why: TooComplex) {
        self.rules[at].open = true;
        self.findings.push(Finding::open(&self.rules[at].rule.name, why));
    }

    fn rule_is_reached(&mut self, at: usize) {
        let before = match self.near(at) {
            Ok(near) => self.before(at, near),
            Err(why) => return self.not_compared(at, why),
        };
        if self.rules[at].rule.effect == Effect::Allow {
            let mut denies = before.clone();
            denies.retain(|other| self.rules[*other].rule.effect == Effect::Deny);
            if self.is_covered(at, &denies, Kind::Unreachable) {
                return;
            }
        }
        self.is_covered(at, &before, Kind::Shadowed);
    }

    fn rule_is_needed(&mut self, at: usize) {
        if self.rules[at].idle || self.rules[at].open {
            return;
        }
        let mut others = match self.near(at) {
            Ok(near) => near,
            Err(why) => return self.not_compared(at, why),
        };
        let own = self.rules[at].rule;
        others.retain(|other| {
            let known = &self.rules[*other];
            let keeps =
                known.rule.limit == own.limit && known.rule.when.content == own.when.content;
            let instead = known.rule.effect == own.effect && !known.idle && keeps;
            instead || (own.effect == Effect::Allow && known.rule.effect == Effect::Deny)
        });
        self.is_covered(at, &others, Kind::Redundant);
    }

    /// Whether something of a block is allowed; if not, the deny rules that make it so.
    fn is_allowed(&self, block: &Block) -> Result<Option<Vec<String>>, TooComplex> {
        self.spend(self.rules.len())?;
        let denies: Vec<usize> = self.with(Effect::Deny).collect();
        let mut names = Vec::new();
        for allow in self.with(Effect::Allow) {
            let Some(both) = self.rules[allow].block.meet(block) else { continue };
            match self.covered(&both, &denies)? {
                Some(more) => names.extend(more),
                None => return Ok(None),
            }
        }
        names.sort();
        names.dedup();
        Ok(Some(names))
    }

    fn expectations(&mut self) {
        for expect in &self.document.expects {
            let Some(block) = self.space.expect(self.document, expect) else {
                self.found(Kind::Unsatisfiable, &expect.name, Vec::new());
                continue;
            };
            match self.is_allowed(&block) {
                Ok(None) => {}
                Ok(Some(names)) => self.found(Kind::ExpectationDenied, &expect.name, names),
                Err(why) => self.findings.push(Finding::open(&expect.name, why)),
            }
        }
    }

    fn hops(&mut self) {
        for id in self.document.hops.iter().flatten() {
            let text = &self.document.patterns[*id as usize].text;
            let Some(block) = self.space.through(text) else { continue };
            match self.is_allowed(&block) {
                Ok(None) => {}
                Ok(Some(names)) => self.found(Kind::UnusedHop, text, names),
                Err(why) => self.findings.push(Finding::open(text, why)),
            }
        }
    }

    fn deliveries(&mut self) {
        let name = |at: usize| format!("delivery {}", at + 1);
        let edges = self.document.deliveries.iter();
        let blocks = edges.map(|edge| self.space.edge(self.document, &edge.from, &edge.to));
        let blocks: Vec<(usize, Block)> =
            blocks.enumerate().filter_map(|(at, block)| Some((at, block?))).collect();
        for (nth, (at, block)) in blocks.iter().enumerate() {
            let earlier: Vec<&Block> = blocks[..nth].iter().map(|(_, block)| block).collect();
            match self.left(block, &earlier) {
                Ok(Left::Some(_)) => {}
                Ok(Left::Nothing(proof)) => {
                    let proof = proof.into_iter().map(|nth| name(blocks[nth].0)).collect();
                    self.found(Kind::DeadDelivery, &name(*at), proof);
                }
                Err(why) => self.findings.push(Finding::open(&name(*at), why)),
            }
        }
    }

    /// Deny rules that cut into allow rules, without either being within the other.
    fn overlaps(&mut self) {
        let denies: Vec<usize> = self.with(Effect::Deny).collect();
        for deny in denies {
            let mut allows = Vec::new();
            let mut witness = None;
            if let Err(why) = self.spend(self.rules.len()) {
                self.findings.push(Finding::open(&self.rules[deny].rule.name, why));
                continue;
            }
            let block = &self.rules[deny].block;
            for allow in self.with(Effect::Allow) {
                let other = &self.rules[allow].block;
                if other.within(block) || block.within(other) {
                    continue;
                }
                let Some(both) = other.meet(block) else { continue };
                let Some(access) = self.space.witness(&both) else { continue };
                witness.get_or_insert(access);
                allows.push(self.rules[allow].rule.name.to_string());
            }
            if witness.is_some() {
                let name = &self.rules[deny].rule.name;
                let found = Finding::proved(Kind::Overlap, name, allows);
                self.findings.push(Finding { witness, ..found });
            }
        }
    }
}
