//! What of a rule does not fit an access: all of it, where `judge` stops at the first.

use super::{Facts, Loaded, Policy};
use crate::access::Access;
use crate::policy::index::{ANY, Numbers};
use crate::policy::model::{Effect, Peers, Rule, RuleId, TemplateId, When};
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
}

impl Misses {
    /// How far the rule is from the access: what it speaks of counts before its conditions.
    pub(in crate::policy) fn distance(&self) -> (usize, usize) {
        let speaks = [self.caller, self.callee, self.hop, self.operation];
        (speaks.into_iter().filter(|miss| *miss).count(), self.unmet.len())
    }
}

/// An access of which every rule can be asked.
pub(in crate::policy) struct Asked<'a, 'v> {
    facts: Facts<'a, 'v>,
    /// The templates of its operation, and for whom.
    templates: Vec<(TemplateId, Fit)>,
}

impl Policy {
    /// The access as rules see it, or why none is asked.
    pub(in crate::policy) fn ask<'a, 'v>(
        &'a self,
        access: &'a Access<'v>,
    ) -> Result<Asked<'a, 'v>, Finding> {
        let loaded = self.loaded.as_ref().ok_or(Finding::NoPolicy)?;
        let facts = loaded.facts(access)?;
        let path = path::normalize(access.path()).map_err(Finding::Path)?;
        Ok(Asked { templates: loaded.fits(access, &path), facts })
    }
}

impl Loaded {
    fn fits(&self, access: &Access<'_>, path: &str) -> Vec<(TemplateId, Fit)> {
        let mut fits = Vec::new();
        self.index.templates(path, &mut |id| {
            let template = &self.document.templates[id as usize];
            fits.extend(template.fit(access.operation()).map(|fit| (id, fit)));
        });
        fits
    }
}

impl Asked<'_, '_> {
    /// The rules, in the order of the document.
    pub(in crate::policy) fn rules(&self) -> impl Iterator<Item = (RuleId, &Rule)> {
        (0..).zip(&self.facts.loaded.document.rules)
    }

    pub(in crate::policy) fn misses(&self, rule: &Rule) -> Misses {
        let facts = &self.facts;
        let mut unmet = Vec::new();
        match rule.effect {
            Effect::Allow => facts.each_unmet(&rule.when, &mut |miss| unmet.push(miss)),
            Effect::Deny => self.each_ruled_out(&rule.when, &mut |miss| unmet.push(miss)),
        }
        Misses {
            caller: !self.is_caller(rule),
            callee: !self.is_callee(rule),
            hop: !facts.comes_via(rule),
            operation: !self.is_operation(rule),
            unmet,
        }
    }

    /// As the index files rules: one that names no caller speaks of everybody, an allow rule of
    /// the mesh's own.
    fn is_caller(&self, rule: &Rule) -> bool {
        let (facts, own) = (&self.facts, self.facts.loaded.mesh());
        match &rule.from {
            Some(from) => facts.from.meet(from),
            None if rule.effect == Effect::Deny => true,
            None => facts.access.principal().is_some_and(|id| id.trust_domain() == own),
        }
    }

    fn is_callee(&self, rule: &Rule) -> bool {
        let unknown = self.facts.access.callee().is_none();
        (unknown && rule.effect == Effect::Deny) || is_one_of(&self.facts.to, &rule.to)
    }

    fn is_operation(&self, rule: &Rule) -> bool {
        let speaks = |fit| fit == Fit::Every || rule.effect == Effect::Deny;
        let mut fits = self.templates.iter().filter(|(_, fit)| speaks(*fit));
        rule.templates.as_ref().is_none_or(|own| fits.any(|(id, _)| own.binary_search(id).is_ok()))
    }

    /// Conditions of a deny rule that what is known rules out.
    fn each_ruled_out(&self, when: &When, miss: &mut impl FnMut(UnmetAt)) {
        if when.direct.is_some_and(|direct| direct != self.facts.is_direct()) {
            miss(UnmetAt::Direct);
        }
        let alone = When { source: when.source.clone(), ..When::default() };
        if !self.facts.deny_holds(&alone) {
            miss(UnmetAt::SourceDiffers);
        }
    }
}

fn is_one_of(numbers: &Numbers, peers: &Peers) -> bool {
    debug_assert!(numbers.as_slice().contains(&ANY));
    peers.as_ref().is_none_or(|peers| numbers.meet(peers))
}
