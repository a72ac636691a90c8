//! A decision, step by step.

mod inputs;
mod words;

pub(super) use self::words::effect;

use std::fmt;

use serde::Serialize;

pub use self::inputs::{Inputs, Named};
use super::decide::{Asked, Misses, Rooms};
use super::model::{Effect, Rule, RuleId};
use super::reason::UnmetAt;
use super::{Decision, DeliveryMode, Policy, Reason};
use crate::access::Access;

/// The rules that an explanation tells of, at most: the nearest.
pub const MAX_EXPLAINED: usize = 16;

/// Why policy decides on an access as it does: for its operator, never for the caller.
///
/// It has names, not secrets: of headers and claims it says which conditions look at and whether
/// they were proved, not their values. Its size is bounded whatever the policy's.
///
/// ```
/// # use meshguard_core::policy::{Policy, PolicyError};
/// # use meshguard_core::{Access, SpiffeId};
/// # const CHECKOUT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");
/// # let policy: Policy = r#"
/// # mesh = "shop.example"
/// # version = 7
/// # [peers]
/// # checkout = "spiffe://shop.example/checkout"
/// # [[allow]]
/// # name = "checkout-orders"
/// # from = ["checkout"]
/// # http = ["POST /orders"]
/// # when = { trust = 0.6 }
/// # "#.parse()?;
/// let asked = Access::http("POST", "/orders").by(CHECKOUT).trust(0.41);
/// let explained = policy.explain(&asked);
/// assert!(!explained.allowed);
/// let nearest = explained.nearest.unwrap();
/// assert_eq!(nearest.rule, "checkout-orders");
/// assert_eq!(nearest.misses[0].text, "trust is 0.41 and it needs 0.6");
/// # Ok::<(), PolicyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, in words: as [`Reason`](super::Reason) says it.
    pub reason: String,
    /// The rule that decided, where one did.
    pub rule: Option<String>,
    /// The version of the policy; 0 where none is loaded.
    pub policy_version: u64,
    /// What was asked, and what was known of it.
    pub inputs: Inputs,
    /// The policy's template for the operation; `None`: unmatched, or no rule was asked.
    pub route: Option<String>,
    /// How the edge delivers: `require`, `prefer` or `off`.
    pub delivery: &'static str,
    /// The rules nearest to the access, in the order of the document; at most
    /// [`MAX_EXPLAINED`]. None where no rule was asked.
    pub rules: Vec<Considered>,
    /// How many other rules there are, each farther off.
    pub others: usize,
    /// Of a denied access, the allow rule that needs least to be otherwise, if one is near.
    /// Where it has no misses, a deny rule came before it.
    pub nearest: Option<Considered>,
    /// What an allowed call owes, in words.
    pub obligations: Vec<String>,
}

/// A rule, held against an access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Considered {
    /// Its name.
    pub rule: String,
    /// What it would do.
    #[serde(serialize_with = "words::effect")]
    pub effect: Effect,
    /// It is only counted and changes nothing.
    pub shadow: bool,
    /// What does not fit; nothing where it matches.
    pub misses: Vec<Miss>,
}

impl Considered {
    /// Whether all of it fits.
    #[must_use]
    pub fn matches(&self) -> bool {
        self.misses.is_empty()
    }
}

/// What of a rule does not fit an access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Miss {
    /// Which part of the rule.
    pub part: Part,
    /// In words.
    pub text: String,
}

/// A part of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Part {
    /// `from`.
    From,
    /// `to`.
    To,
    /// `via`.
    Via,
    /// `http` and `grpc`.
    Operation,
    /// `when`.
    When,
}

impl Policy {
    /// Says why [`decide_served`](Self::decide_served) decides as it does: what a service answers.
    /// Asks every rule, so it takes as long as the document has rules: for an operator's question,
    /// not for every call.
    #[must_use]
    pub fn explain(&self, access: &Access<'_>) -> Explanation {
        let decision = self.decide_served(access);
        let mut rooms = Rooms::default();
        let unslashed = self.unslashed(access, &decision);
        let asked = self.ask(unslashed.as_ref().unwrap_or(access), &mut rooms);
        let unread = matches!(decision.reason(), Reason::Path(_) | Reason::Head(_));
        let near = match asked {
            Ok(asked) if !unread => Near::of(&asked),
            _ => Near::default(),
        };
        let considered = |(id, misses): &(RuleId, Misses)| self.considered(*id, misses);
        let told: Vec<&Rule> = near.rules.iter().filter_map(|(id, _)| self.rule(*id)).collect();
        let nearest = near.allow.as_ref().filter(|_| !decision.is_allowed());
        Explanation {
            allowed: decision.is_allowed(),
            reason: decision.reason().to_string(),
            rule: decided_by(&decision),
            policy_version: self.version(),
            inputs: Inputs::of(&told, access),
            route: decision.route().map(ToOwned::to_owned),
            delivery: match decision.delivery().mode {
                DeliveryMode::Require => "require",
                DeliveryMode::Prefer => "prefer",
                DeliveryMode::Off => "off",
            },
            rules: near.rules.iter().filter_map(considered).collect(),
            others: near.others,
            nearest: nearest.and_then(considered),
            obligations: words::obligations(&decision),
        }
    }

    /// The access without the slash at the end of its path, where a rule denies that one.
    fn unslashed<'a>(&self, access: &Access<'a>, decision: &Decision<'_>) -> Option<Access<'a>> {
        let Reason::DenyRule(_) = decision.reason() else { return None };
        let other = access.unslashed()?;
        let denied = |access| matches!(self.decide(access).reason(), Reason::DenyRule(_));
        (!denied(access) && denied(&other)).then_some(other)
    }

    fn considered(&self, id: RuleId, misses: &Misses) -> Option<Considered> {
        let rule = self.rule(id)?;
        Some(Considered {
            rule: rule.name.to_string(),
            effect: rule.effect,
            shadow: rule.shadow,
            misses: self.words(id, rule, misses),
        })
    }

    fn words(&self, id: RuleId, rule: &Rule, misses: &Misses) -> Vec<Miss> {
        let Some(document) = self.loaded.as_ref().map(|l| &l.document) else { return Vec::new() };
        let mut all = Vec::new();
        let mut miss = |part, text| all.push(Miss { part, text });
        if misses.caller {
            miss(Part::From, words::peers("the caller is not", document, &rule.from));
        }
        if misses.callee {
            miss(Part::To, words::peers("the callee is not", document, &rule.to));
        }
        if misses.hop {
            miss(Part::Via, words::peers("it did not come through", document, &rule.via));
        }
        if misses.operation {
            miss(Part::Operation, words::operations(document, &rule.templates));
        }
        for unmet in &misses.unmet {
            let text = match (rule.effect, unmet) {
                (Effect::Deny, UnmetAt::Direct) => "the call is direct".to_owned(),
                _ => self.unmet(id, *unmet).to_string(),
            };
            miss(Part::When, text);
        }
        for at in &misses.terms {
            let term = rule.when.terms.get(*at).map(ToString::to_string);
            miss(Part::When, format!("this does not hold: {}", term.unwrap_or_default()));
        }
        all
    }
}

fn decided_by(decision: &Decision<'_>) -> Option<String> {
    match decision.reason() {
        Reason::Rule(rule) | Reason::DenyRule(rule) => Some(rule.to_owned()),
        _ => None,
    }
}

/// The rules that come nearest to an access.
#[derive(Default)]
struct Near {
    /// In the order of the document.
    rules: Vec<(RuleId, Misses)>,
    others: usize,
    /// The nearest allow rule that counts, where at most one part of it is of something else.
    allow: Option<(RuleId, Misses)>,
}

impl Near {
    fn of(asked: &Asked<'_, '_>) -> Self {
        let mut near = Self::default();
        // The nearest first. An earlier rule comes before a later one that is as near.
        let mut ranked: Vec<((usize, usize), RuleId)> = Vec::with_capacity(MAX_EXPLAINED + 1);
        for (id, rule) in asked.rules() {
            let misses = asked.misses(rule);
            let distance = misses.distance();
            let counts = rule.effect == Effect::Allow && !rule.shadow && distance.0 <= 1;
            let nearer = near.allow.as_ref().is_none_or(|(_, m)| distance < m.distance());
            if counts && nearer {
                near.allow = Some((id, misses));
            }
            let at = ranked.partition_point(|ranked| *ranked <= (distance, id));
            ranked.insert(at, (distance, id));
            near.others += usize::from(ranked.len() > MAX_EXPLAINED);
            ranked.truncate(MAX_EXPLAINED);
        }
        let kept = |id: &RuleId| ranked.iter().any(|(_, kept)| kept == id);
        let rules = asked.rules().filter(|(id, _)| kept(id));
        near.rules = rules.map(|(id, rule)| (id, asked.misses(rule))).collect();
        near
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        words::explanation(self, f)
    }
}
