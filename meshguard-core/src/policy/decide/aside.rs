//! What a document says beside the decision: shadow rules, expectations, routes.

use std::time::Duration;

use super::Rooms;
use crate::access::Access;
use crate::identity::SpiffeId;
use crate::policy::index::{ANY, Ends, Few, Filing, Numbers, Room};
use crate::policy::model::{
    Durability, Effect, Expect, Peers, RouteRule, RuleId, Semantics, TemplateId,
};
use crate::policy::template::{Fit, Protocol, Segment, Template};
use crate::policy::{Loaded, Policy, path};

/// A shadow rule that matches an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow<'p> {
    /// The rule's name.
    pub rule: &'p str,
    /// What it would decide.
    pub effect: Effect,
}

/// An `[[expect]]` of the document.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'p> {
    expect: &'p Expect,
    loaded: &'p Loaded,
}

/// What the document's `[[route]]`s say of an operation; each from the first that says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteOptions {
    /// When a call's entry in the ledger must be durable. Default [`Durability::Async`].
    pub durability: Durability,
    /// For how long an answer is kept for a repetition. Default: it is not kept.
    pub keep_answers: Option<Duration>,
    /// Whether a call may be made again without harm. Default: it may not.
    pub idempotent: bool,
    /// Whether a request may ask for another protocol (RFC 9110 §7.8). Default: it may not.
    pub upgrade: bool,
    /// Whether a request may name its method a second time, in one of
    /// [`METHOD_OVERRIDE_HEADERS`](crate::policy::METHOD_OVERRIDE_HEADERS). Default: it may not.
    pub method_override: bool,
}

impl Policy {
    /// Whether there are shadow rules, so that a transport need not ask without.
    #[must_use]
    pub fn has_shadows(&self) -> bool {
        self.reads.shadows
    }

    /// The shadow rules that would decide `access`: those of which everything holds, in the
    /// order of the document. None where no rule is asked at all. A deny rule also speaks of its
    /// path with a slash behind it, as in [`decide_served`](Self::decide_served).
    #[must_use]
    pub fn shadows(&self, access: &Access<'_>) -> Vec<Shadow<'_>> {
        let mut found = self.shadow_rules(access);
        if let Some(bare) = access.unslashed().filter(|_| self.has_shadows()) {
            let denies = |id: &RuleId| self.rule(*id).is_some_and(|r| r.effect == Effect::Deny);
            found.extend(self.shadow_rules(&bare).into_iter().filter(denies));
        }
        found.sort_unstable();
        found.dedup();
        let rules = found.into_iter().filter_map(|id| self.rule(id));
        rules.map(|rule| Shadow { rule: &rule.name, effect: rule.effect }).collect()
    }

    fn shadow_rules(&self, access: &Access<'_>) -> Vec<RuleId> {
        let Some(loaded) = &self.loaded else { return Vec::new() };
        if let Semantics::Istio(normalization) = loaded.document.semantics {
            return loaded.imported_shadows(normalization, access);
        }
        let mut rooms = Rooms::default();
        let Ok(facts) = loaded.facts(access, &mut rooms) else { return Vec::new() };
        let Ok(path) = path::normalize(access.path()) else { return Vec::new() };
        let mut found = Vec::new();
        let mut ask = |template: TemplateId, fit: Fit| {
            for pair in facts.pairs.as_slice() {
                let rules = loaded.index.rules(*pair, template);
                for Filing { rule: id, .. } in rules.map_or(&[][..], |rules| rules.shadow) {
                    let rule = facts.rule(*id);
                    let holds = match rule.effect {
                        Effect::Deny => facts.deny_holds(&rule.when),
                        Effect::Allow => {
                            fit == Fit::Every && facts.first_unmet(&rule.when).is_none()
                        }
                    };
                    if holds && facts.comes_via(rule) {
                        found.push(*id);
                    }
                }
            }
        };
        ask(ANY, Fit::Every);
        loaded.fits(access.operation(), &path, &mut |id, fit, _| ask(id, fit));
        found
    }

    /// What must not stay silent, in the order of the document.
    pub fn expectations(&self) -> impl Iterator<Item = Expectation<'_>> {
        let loaded = self.loaded.iter();
        loaded.flat_map(|loaded| {
            loaded.document.expects.iter().map(move |expect| Expectation { expect, loaded })
        })
    }

    /// What the document says of an operation, whoever calls.
    #[must_use]
    pub fn route_options(&self, access: &Access<'_>) -> RouteOptions {
        let Some(loaded) = &self.loaded else { return RouteOptions::default() };
        if loaded.document.routes.is_empty() {
            return RouteOptions::default();
        }
        let templates = loaded.matching(access);
        let meets = |route: &&RouteRule| templates.meet(&route.templates);
        let routes = || loaded.document.routes.iter().filter(meets);
        RouteOptions {
            durability: routes().find_map(|r| r.durability).unwrap_or_default(),
            keep_answers: routes().find_map(|r| r.keep_answers),
            idempotent: routes().find_map(|r| r.idempotent).unwrap_or_default(),
            upgrade: routes().find_map(|r| r.upgrade).unwrap_or_default(),
            method_override: routes().find_map(|r| r.method_override).unwrap_or_default(),
        }
    }

    /// Each operation that a `[[route]]` names, with all that is said of it by that table.
    pub fn routes(&self) -> impl Iterator<Item = (&str, RouteOptions)> {
        self.loaded.iter().flat_map(|loaded| {
            let document = &loaded.document;
            document.routes.iter().flat_map(|route| {
                let options = RouteOptions {
                    durability: route.durability.unwrap_or_default(),
                    keep_answers: route.keep_answers,
                    idempotent: route.idempotent.unwrap_or_default(),
                    upgrade: route.upgrade.unwrap_or_default(),
                    method_override: route.method_override.unwrap_or_default(),
                };
                let template = |id: &TemplateId| &*document.templates[*id as usize].route;
                route.templates.iter().map(move |id| (template(id), options))
            })
        })
    }
}

impl Loaded {
    /// The templates that are exactly of this operation; none where its path is refused.
    fn matching(&self, access: &Access<'_>) -> Numbers {
        let mut found = Few::default();
        if let Ok(path) = path::normalize(access.path()) {
            self.fits(access.operation(), &path, &mut |id, fit, _| {
                if fit == Fit::Every {
                    found.push(id);
                }
            });
        }
        found
    }
}

impl<'p> Expectation<'p> {
    /// Its name, unique among the expectations of its document.
    #[must_use]
    pub fn name(&self) -> &'p str {
        &self.expect.name
    }

    /// How many calls at least; not 0.
    #[must_use]
    pub fn at_least(&self) -> u64 {
        self.expect.at_least
    }

    /// In how long a time.
    #[must_use]
    pub fn within(&self) -> Duration {
        self.expect.within
    }

    /// Whether it expects the same as one of another document, under the same name: so that what
    /// was counted goes on counting.
    #[must_use]
    pub fn is_same(&self, other: &Expectation<'_>) -> bool {
        let (one, two) = (self.expect, other.expect);
        let (mine, theirs) = (&self.loaded.document, &other.loaded.document);
        let peers = |one: &Peers, two: &Peers| {
            same(one, two, |id| &mine.patterns[id as usize], |id| &theirs.patterns[id as usize])
        };
        let templates = same(
            &one.templates,
            &two.templates,
            |id| shape(&mine.templates[id as usize]),
            |id| shape(&theirs.templates[id as usize]),
        );
        (&one.name, one.at_least, one.within) == (&two.name, two.at_least, two.within)
            && peers(&one.from, &two.from)
            && peers(&one.to, &two.to)
            && templates
    }

    /// Whether calls of the workload `callee` are expected: it is in `to`, or there is no `to`.
    #[must_use]
    pub fn is_of(&self, callee: &SpiffeId) -> bool {
        let mut room = Room::default();
        let ends = self.loaded.index.callee(Some(callee), &mut room);
        self.expect.to.as_ref().is_none_or(|to| ends.meet(to))
    }

    /// Whether the call is one of those that are expected. What is not known is not.
    #[must_use]
    pub fn counts(&self, access: &Access<'_>) -> bool {
        let mut rooms = Rooms::default();
        let Ok(facts) = self.loaded.facts(access, &mut rooms) else { return false };
        let meet =
            |peers: &Peers, ends: Ends<'_>| peers.as_ref().is_none_or(|peers| ends.meet(peers));
        let asks = |templates: &[TemplateId]| self.loaded.matching(access).meet(templates);
        meet(&self.expect.from, facts.from)
            && meet(&self.expect.to, facts.to)
            && self.expect.templates.as_deref().is_none_or(asks)
    }
}

/// Which operations a template is of, whatever else its document says of them.
fn shape(template: &Template) -> (&Protocol, &[Segment]) {
    (&template.protocol, &template.segments)
}

/// Whether two lists of numbers, neither with duplicates, stand for the same.
fn same<T: PartialEq>(
    one: &Option<Box<[u32]>>,
    two: &Option<Box<[u32]>>,
    mine: impl Fn(u32) -> T,
    theirs: impl Fn(u32) -> T,
) -> bool {
    match (one, two) {
        (None, None) => true,
        (Some(one), Some(two)) => {
            let has = |id: &u32| two.iter().any(|other| mine(*id) == theirs(*other));
            one.len() == two.len() && one.iter().all(has)
        }
        _ => false,
    }
}
