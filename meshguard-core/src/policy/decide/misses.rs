//! What of a rule does not fit an access: all of it, where `judge` stops at the first.

use std::borrow::Cow;

use super::{Facts, Lines, Loaded, Policy, Rooms};
use crate::access::{Access, Operation};
use crate::policy::index::{ANY, Ends};
use crate::policy::model::{
    Effect, Normalization, Peers, Rule, RuleId, Semantics, TemplateId, When,
};
use crate::policy::path;
use crate::policy::reason::{Finding, UnmetAt};
use crate::policy::template::Fit;

/// What of one rule does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::policy) struct Misses {
    pub(in crate::policy) caller: bool,
    pub(in crate::policy) callee: bool,
    pub(in crate::policy) hop: bool,
    pub(in crate::policy) operation: bool,
    pub(in crate::policy) unmet: Vec<UnmetAt>,
    /// Of an imported rule: which of its terms do not hold.
    pub(in crate::policy) terms: Vec<usize>,
}

impl Misses {
    /// How far the rule is from the access: what it speaks of counts before its conditions.
    pub(in crate::policy) fn distance(&self) -> (usize, usize) {
        let speaks = [self.caller, self.callee, self.hop, self.operation];
        (speaks.into_iter().filter(|miss| *miss).count(), self.unmet.len() + self.terms.len())
    }
}

/// An access of which every rule can be asked.
pub(in crate::policy) struct Asked<'a, 'v> {
    loaded: &'a Loaded,
    as_read: AsRead<'a, 'v>,
}

/// As the semantics of the document have it.
enum AsRead<'a, 'v> {
    /// With the templates of the operation, and for whom.
    Native(Box<Facts<'a, 'v>>, Vec<(TemplateId, Fit)>),
    /// With the path, unless the protocol has none.
    Imported(&'a Access<'v>, Option<Cow<'a, str>>),
}

impl Policy {
    /// The access as rules see it, or why none is asked.
    pub(in crate::policy) fn ask<'a, 'v>(
        &'a self,
        access: &'a Access<'v>,
        rooms: &'a mut Rooms,
    ) -> Result<Asked<'a, 'v>, Finding> {
        let loaded = self.loaded.as_ref().ok_or_else(|| self.absent())?;
        let as_read = match loaded.document.semantics {
            Semantics::Native => {
                let mut facts = Box::new(loaded.facts(access, rooms)?);
                facts.lines = Lines::Lists;
                let path = path::normalize(access.path()).map_err(Finding::Path)?;
                let mut fits = Vec::new();
                loaded.fits(access.operation(), &path, &mut |id, fit, _| fits.push((id, fit)));
                AsRead::Native(facts, fits)
            }
            Semantics::Istio(normalization) => {
                AsRead::Imported(access, loaded.imported_path(normalization, access)?)
            }
        };
        Ok(Asked { loaded, as_read })
    }
}

impl Loaded {
    /// As `judge_imported` reads it.
    fn imported_path<'a>(
        &self,
        normalization: Normalization,
        access: &'a Access<'_>,
    ) -> Result<Option<Cow<'a, str>>, Finding> {
        if access.hop().is_some_and(|hop| self.hop(hop).is_none()) {
            return Err(Finding::HopNotNamed);
        }
        match access.operation() {
            Operation::Tcp => Ok(None),
            _ => normalization.apply(access.path()).map(Some).map_err(Finding::Path),
        }
    }
}

impl Asked<'_, '_> {
    /// The rules, in the order of the document.
    pub(in crate::policy) fn rules(&self) -> impl Iterator<Item = (RuleId, &Rule)> {
        (0..).zip(&self.loaded.document.rules)
    }

    pub(in crate::policy) fn misses(&self, rule: &Rule) -> Misses {
        let (facts, templates) = match &self.as_read {
            AsRead::Native(facts, templates) => (facts, templates),
            AsRead::Imported(access, path) => {
                let terms = (0..).zip(&rule.when.terms);
                let path = path.as_deref();
                let miss = terms.filter(|(_, term)| !term.holds_read(access, path, rule.effect));
                let terms = miss.map(|(at, _)| at).collect();
                return Misses { terms, ..Misses::default() };
            }
        };
        let mut unmet = Vec::new();
        match rule.effect {
            Effect::Allow => facts.each_unmet(&rule.when, &mut |miss| unmet.push(miss)),
            Effect::Deny => facts.each_ruled_out(&rule.when, &mut |miss| unmet.push(miss)),
        }
        Misses {
            caller: !facts.is_caller(rule),
            callee: !facts.is_callee(rule),
            hop: !facts.comes_via(rule),
            operation: !is_operation(templates, rule),
            unmet,
            terms: Vec::new(),
        }
    }
}

impl Facts<'_, '_> {
    /// As the index files rules: one that names no caller speaks of everybody, an allow rule of
    /// the mesh's own.
    fn is_caller(&self, rule: &Rule) -> bool {
        let own = self.loaded.mesh();
        match &rule.from {
            Some(from) => self.from.meet(from),
            None if rule.effect == Effect::Deny => true,
            None => self.access.principal().is_some_and(|id| id.trust_domain() == own),
        }
    }

    fn is_callee(&self, rule: &Rule) -> bool {
        let unknown = self.access.callee().is_none();
        (unknown && rule.effect == Effect::Deny) || is_one_of(self.to, &rule.to)
    }

    /// Conditions of a deny rule that what is known rules out.
    fn each_ruled_out(&self, when: &When, miss: &mut impl FnMut(UnmetAt)) {
        if when.direct.is_some_and(|direct| direct != self.is_direct()) {
            miss(UnmetAt::Direct);
        }
        let alone = When { source: when.source.clone(), ..When::default() };
        if !self.deny_holds(&alone) {
            miss(UnmetAt::SourceDiffers);
        }
    }
}

fn is_operation(templates: &[(TemplateId, Fit)], rule: &Rule) -> bool {
    let speaks = |fit| fit == Fit::Every || rule.effect == Effect::Deny;
    let mut fits = templates.iter().filter(|(_, fit)| speaks(*fit));
    rule.templates.as_ref().is_none_or(|own| fits.any(|(id, _)| own.binary_search(id).is_ok()))
}

fn is_one_of(ends: Ends<'_>, peers: &Peers) -> bool {
    debug_assert!(ends.all.contains(&ANY));
    peers.as_ref().is_none_or(|peers| ends.meet(peers))
}
