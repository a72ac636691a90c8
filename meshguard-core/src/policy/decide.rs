//! One access, judged.

mod aside;
mod conditions;
mod imported;
mod misses;

pub use self::aside::{Expectation, RouteOptions, Shadow};
pub(super) use self::conditions::claim;
pub(super) use self::misses::{Asked, Misses};

use super::index::{ANY, Ends, Few, Filing, Numbers, PairId, Room, Sought};
use super::model::{DeliveryRule, Effect, Peers, Rule, RuleId, Semantics, TemplateId};
use super::path;
use super::reason::{Finding, Ruling, UnmetAt};
use super::template::Fit;
use super::{Loaded, Policy};
use crate::access::{Access, Operation};
use crate::identity::SpiffeId;

impl Policy {
    pub(super) fn judge(&self, access: &Access<'_>) -> Ruling {
        self.judge_as(access, Lines::Whole)
    }

    pub(super) fn judge_as(&self, access: &Access<'_>, lines: Lines) -> Ruling {
        let Some(loaded) = &self.loaded else { return self.refuse(self.absent()) };
        if let Semantics::Istio(normalization) = loaded.document.semantics {
            return self.judge_imported(loaded, normalization, access);
        }
        let mut rooms = Rooms::default();
        let mut facts = match loaded.facts(access, &mut rooms) {
            Ok(facts) => facts,
            Err(finding) => return self.refuse(finding),
        };
        facts.lines = lines;
        let path = match path::normalize(access.path()) {
            Ok(path) => path,
            Err(error) => return self.refuse(Finding::Path(error)),
        };
        let delivery = match access.callee() {
            Some(_) => loaded.first_delivery(facts.from.all, facts.to.all),
            None => loaded.doubtful_delivery(access.principal(), None),
        };
        let found = facts.search(&path);
        Ruling { finding: found.finding(), route: found.route, delivery, policy: self.fingerprint }
    }

    pub(in crate::policy) fn refuse(&self, finding: Finding) -> Ruling {
        Ruling { finding, route: None, delivery: DeliveryRule::default(), policy: self.fingerprint }
    }
}

impl Loaded {
    pub(super) fn mesh(&self) -> &str {
        self.document.mesh.as_str()
    }

    /// Whether callers of this trust domain are let in at all.
    pub(super) fn accepts(&self, domain: &str) -> bool {
        domain == self.mesh() || self.document.federates.iter().any(|d| d.as_str() == domain)
    }

    /// Calls `found` for each template that speaks of the operation, whose path is read already,
    /// and with whether it is a route.
    #[inline]
    fn fits(
        &self,
        operation: Operation<'_>,
        path: &str,
        found: &mut impl FnMut(TemplateId, Fit, bool),
    ) {
        let sought = Sought::new(operation);
        self.index.templates(path, &mut |id, shape| {
            let own = || self.document.templates[id as usize].fit(operation);
            if let Some(fit) = shape.fit(sought, own) {
                found(id, fit, shape.routed);
            }
        });
    }

    /// The patterns that a hop matches, if it is one of `hops`.
    pub(super) fn hop(&self, hop: &SpiffeId) -> Option<Numbers> {
        if !self.accepts(hop.trust_domain()) {
            return None;
        }
        let numbers = self.index.peers(hop);
        numbers.meet(self.document.hops.as_deref()?).then_some(numbers)
    }

    /// Who asks whom, or why no rule is asked.
    #[inline(always)] // what it returns is large, and would be copied twice
    fn facts<'a, 'v>(
        &'a self,
        access: &'a Access<'v>,
        rooms: &'a mut Rooms,
    ) -> Result<Facts<'a, 'v>, Finding> {
        let principal = access.principal().ok_or(Finding::NoIdentity)?;
        let accepted = || self.accepts(principal.trust_domain());
        let from = self.index.caller(principal, self.mesh(), accepted, &mut rooms.from);
        let from = from.ok_or(Finding::ForeignTrustDomain)?;
        let via = match access.hop() {
            Some(hop) => Some(&*rooms.via.insert(self.hop(hop).ok_or(Finding::HopNotNamed)?)),
            None => None,
        };
        let to = self.index.callee(access.callee(), &mut rooms.to);
        let pairs = self.index.pairs(from, to);
        Ok(Facts { loaded: self, access, from, to, pairs, via, lines: Lines::Whole })
    }

    pub(super) fn delivery(&self, from: Option<&SpiffeId>, to: Option<&SpiffeId>) -> DeliveryRule {
        match (from, to) {
            (Some(from), Some(to)) => {
                let (from, to) = (self.index.peers(from), self.index.peers(to));
                self.first_delivery(from.as_slice(), to.as_slice())
            }
            _ => self.doubtful_delivery(from, to),
        }
    }

    #[inline]
    fn first_delivery(&self, from: &[u32], to: &[u32]) -> DeliveryRule {
        match self.index.delivery(from, to) {
            Some(id) => self.document.deliveries[id as usize].rule,
            None => DeliveryRule::default(),
        }
    }

    /// With an end that is not known: the strictest of what may count.
    fn doubtful_delivery(&self, from: Option<&SpiffeId>, to: Option<&SpiffeId>) -> DeliveryRule {
        let numbers = |id: Option<&SpiffeId>| id.map(|id| self.index.peers(id));
        let (from, to) = (numbers(from), numbers(to));
        let mut doubt: Option<DeliveryRule> = None;
        for edge in &self.document.deliveries {
            match (may_match(&edge.from, from.as_ref()), may_match(&edge.to, to.as_ref())) {
                (Some(false), _) | (_, Some(false)) => {}
                (Some(true), Some(true)) => {
                    return doubt.map_or(edge.rule, |d| edge.rule.stricter(d));
                }
                _ => doubt = Some(doubt.map_or(edge.rule, |d| d.stricter(edge.rule))),
            }
        }
        let last = DeliveryRule::default();
        doubt.map_or(last, |d| last.stricter(d))
    }
}

/// `None`: not known.
fn may_match(peers: &Peers, id: Option<&Numbers>) -> Option<bool> {
    match (peers, id) {
        (None, _) => Some(true),
        (Some(peers), Some(id)) => Some(id.meet(peers)),
        (Some(_), None) => None,
    }
}

/// What an access says, in the index's numbers.
struct Facts<'a, 'v> {
    loaded: &'a Loaded,
    access: &'a Access<'v>,
    from: Ends<'a>,
    to: Ends<'a>,
    /// Of caller and callee, under which there are rules.
    pairs: Few<PairId>,
    /// Of the hop, where there is one.
    via: Option<&'a Numbers>,
    lines: Lines,
}

/// How a header condition reads the lines of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// Each as it stands.
    Whole,
    /// Each as it stands, and each of its elements as a line of its own.
    Lists,
}

/// Where [`Facts`] keep what stands nowhere else.
#[derive(Default)]
pub(in crate::policy) struct Rooms {
    from: Room,
    to: Room,
    via: Option<Numbers>,
}

/// What the rules say.
#[derive(Default)]
struct Found {
    denied: Option<RuleId>,
    allowed: Option<RuleId>,
    nearest: Option<Near>,
    route: Option<TemplateId>,
}

/// An allow rule that matches but whose `when` does not hold. Fewer unmet conditions are nearer,
/// then an earlier rule.
#[derive(Clone, Copy)]
struct Near {
    missing: usize,
    rule: RuleId,
    unmet: UnmetAt,
}

impl Found {
    fn finding(&self) -> Finding {
        match (self.denied, self.allowed, self.nearest) {
            (Some(rule), _, _) => Finding::DenyRule(rule),
            (_, Some(rule), _) => Finding::Rule(rule),
            (_, _, Some(Near { rule, unmet, .. })) => Finding::Unmet { rule, unmet },
            (None, None, None) => Finding::NoRule,
        }
    }
}

impl Facts<'_, '_> {
    #[inline]
    fn search(&self, path: &str) -> Found {
        let mut found = Found::default();
        if self.loaded.index.rules_for_every_operation() {
            self.ask(ANY, Fit::Every, &mut found);
        }
        self.loaded.fits(self.access.operation(), path, &mut |id, fit, routed| {
            if fit == Fit::Every && routed {
                found.route = Some(found.route.map_or(id, |first| first.min(id)));
            }
            self.ask(id, fit, &mut found);
        });
        found
    }

    /// Asks the rules for one template that matches, or those for every operation.
    fn ask(&self, template: TemplateId, fit: Fit, found: &mut Found) {
        for pair in self.pairs.as_slice() {
            let Some(rules) = self.loaded.index.rules(*pair, template) else { continue };
            self.ask_deny(rules.deny, found);
            if fit == Fit::Every {
                self.ask_allow(rules.allow, found);
            }
        }
    }

    fn ask_deny(&self, rules: &[Filing], found: &mut Found) {
        for Filing { rule: id, conditional } in rules {
            if found.denied.is_some_and(|first| first <= *id) {
                return;
            }
            let holds = || {
                let rule = self.rule(*id);
                self.comes_via(rule) && self.deny_holds(&rule.when)
            };
            if !conditional || holds() {
                found.denied = Some(*id);
            }
        }
    }

    fn ask_allow(&self, rules: &[Filing], found: &mut Found) {
        for Filing { rule: id, conditional } in rules {
            if found.allowed.is_some_and(|first| first <= *id) {
                return;
            }
            if !conditional {
                found.allowed = Some(*id);
                return;
            }
            let rule = self.rule(*id);
            if !self.comes_via(rule) {
                continue;
            }
            match self.first_unmet(&rule.when) {
                None => found.allowed = Some(*id),
                Some((missing, unmet)) => {
                    let near = Near { missing, rule: *id, unmet };
                    let nearer = |n: Near| (n.missing, n.rule) <= (near.missing, near.rule);
                    if !found.nearest.is_some_and(nearer) {
                        found.nearest = Some(near);
                    }
                }
            }
        }
    }

    fn rule(&self, id: RuleId) -> &Rule {
        &self.loaded.document.rules[id as usize]
    }

    fn is_direct(&self) -> bool {
        self.access.is_direct() && self.via.is_none()
    }

    fn comes_via(&self, rule: &Rule) -> bool {
        match (&rule.via, self.via) {
            (None, _) => true,
            (Some(hops), Some(via)) => via.meet(hops),
            // Not direct, and nothing says through whom: a deny rule assumes the worst.
            (Some(_), None) => rule.effect == Effect::Deny && !self.is_direct(),
        }
    }
}
