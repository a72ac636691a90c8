//! One access, judged by a document that was imported from Istio.

use std::borrow::Cow;

use crate::access::{Access, Operation};
use crate::policy::model::{Effect, Normalization, Rule, RuleId};
use crate::policy::reason::{Finding, Ruling};
use crate::policy::template::Fit;
use crate::policy::{Loaded, PathError, Policy};

impl Policy {
    /// Rule by rule: what upstream's policies say has no index. Who calls need not be known, but
    /// a hop that is known must be named here, too.
    pub(super) fn judge_imported(
        &self,
        loaded: &Loaded,
        normalization: Normalization,
        access: &Access<'_>,
    ) -> Ruling {
        if access.hop().is_some_and(|hop| loaded.hop(hop).is_none()) {
            return self.refuse(Finding::HopNotNamed);
        }
        match read(normalization, access) {
            Ok(path) => self.judge_by(loaded, access, path.as_deref(), holds),
            Err(error) => self.refuse(Finding::Path(error)),
        }
    }

    /// By the rules alone, with a path that is one of its readings, and headers in all of theirs.
    pub(in crate::policy) fn judge_read(
        &self,
        loaded: &Loaded,
        access: &Access<'_>,
        path: Option<&str>,
    ) -> Ruling {
        self.judge_by(loaded, access, path, holds_read)
    }

    fn judge_by(
        &self,
        loaded: &Loaded,
        access: &Access<'_>,
        path: Option<&str>,
        holds: impl Fn(&Rule, &Access<'_>, Option<&str>) -> bool,
    ) -> Ruling {
        let first = |effect: Effect| -> Option<RuleId> {
            let rules = (0..).zip(&loaded.document.rules);
            let mut rules = rules.filter(|(_, rule)| !rule.shadow && rule.effect == effect);
            rules.find(|(_, rule)| holds(rule, access, path)).map(|(id, _)| id)
        };
        let finding = match first(Effect::Deny).map(Finding::DenyRule) {
            Some(denied) => denied,
            None => first(Effect::Allow).map_or(Finding::NoRule, Finding::Rule),
        };
        let mut route = None;
        loaded.fits(access.operation(), path.unwrap_or_default(), &mut |id, fit, routed| {
            if routed && fit == Fit::Every {
                route = Some(route.map_or(id, |first: u32| first.min(id)));
            }
        });
        let delivery = loaded.delivery(access.principal(), access.callee());
        Ruling { finding, route, delivery, policy: self.fingerprint }
    }
}

impl Loaded {
    /// The shadow rules of which everything holds.
    pub(super) fn imported_shadows(
        &self,
        normalization: Normalization,
        access: &Access<'_>,
    ) -> Vec<RuleId> {
        let named = access.hop().is_none_or(|hop| self.hop(hop).is_some());
        let Ok(path) = read(normalization, access) else { return Vec::new() };
        let rules = (0..).zip(&self.document.rules).filter(|(_, rule)| named && rule.shadow);
        let found = rules.filter(|(_, rule)| holds(rule, access, path.as_deref()));
        found.map(|(id, _)| id).collect()
    }
}

/// The path as rules see it; `None` where the protocol has none.
fn read<'v>(
    normalization: Normalization,
    access: &Access<'v>,
) -> Result<Option<Cow<'v, str>>, PathError> {
    match access.operation() {
        Operation::Tcp => Ok(None),
        _ if access.path().is_empty() => Ok(None),
        _ => normalization.apply(access.path()).map(Some),
    }
}

impl Rule {
    /// Whether a rule that holds for an access also bears another spelling of it: nothing in
    /// it is what the rule excepts.
    pub(in crate::policy) fn bears(
        &self,
        (access, path): (&Access<'_>, Option<&str>),
        (other, spelt): (&Access<'_>, Option<&str>),
    ) -> bool {
        holds_read(self, access, path) && !self.when.terms.iter().any(|t| t.rules_out(other, spelt))
    }
}

/// Whether all terms of a rule hold; a rule without any holds for everything.
pub(super) fn holds(rule: &Rule, access: &Access<'_>, path: Option<&str>) -> bool {
    rule.when.terms.iter().all(|term| term.holds(access, path))
}

/// As [`holds`], where a server may read a header in several ways.
fn holds_read(rule: &Rule, access: &Access<'_>, path: Option<&str>) -> bool {
    rule.when.terms.iter().all(|term| term.holds_read(access, path, rule.effect))
}
