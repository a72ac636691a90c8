//! What policy answers, and why, in an operator's words.

use std::fmt;

use super::model::{Content, DeliveryRule, Effect, Limit, RuleId, TemplateId};
use super::{PathError, Policy};
use crate::access::Evidence;
use crate::access::head::HeadError;

/// Policy's answer: an effect and its reason.
///
/// Borrows its names from the policy. What must outlive that is kept as a [`Ruling`].
#[derive(Clone, Copy)]
pub struct Decision<'p> {
    pub(super) policy: &'p Policy,
    pub(super) ruling: Ruling,
}

impl<'p> Decision<'p> {
    /// Whether the access is allowed.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self.ruling.finding {
            Finding::Rule(_) => Effect::Allow,
            _ => Effect::Deny,
        }
    }

    /// Whether the effect is [`Effect::Allow`].
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.effect() == Effect::Allow
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason<'p> {
        match self.ruling.finding {
            Finding::Rule(rule) => Reason::Rule(self.policy.rule_name(rule)),
            Finding::DenyRule(rule) => Reason::DenyRule(self.policy.rule_name(rule)),
            Finding::Unmet { rule, unmet } => Reason::Unmet {
                rule: self.policy.rule_name(rule),
                condition: self.policy.unmet(rule, unmet),
            },
            Finding::NoRule => Reason::NoRule,
            Finding::NoIdentity => Reason::NoIdentity,
            Finding::ForeignTrustDomain => Reason::ForeignTrustDomain,
            Finding::HopNotNamed => Reason::HopNotNamed,
            Finding::Path(error) => Reason::Path(error),
            Finding::Head(error) => Reason::Head(error),
            Finding::NoPolicy => Reason::NoPolicy,
            Finding::PolicyExpired => Reason::PolicyExpired,
        }
    }

    /// The first template of the policy that matches the operation, whoever calls, without its
    /// method: `/orders/{id}`, `shop.v1.Orders/Get`. `None`: unmatched, or not looked for
    /// because no rule was asked.
    #[must_use]
    pub fn route(&self) -> Option<&'p str> {
        self.ruling.route.and_then(|route| self.policy.route(route))
    }

    /// How the edge delivers; the default where no rule was asked.
    #[must_use]
    pub fn delivery(&self) -> DeliveryRule {
        self.ruling.delivery
    }

    /// The version of the policy that decided; 0 where none is loaded.
    #[must_use]
    pub fn policy_version(&self) -> u64 {
        self.policy.version()
    }

    /// What the rule that allows demands beyond that; nothing where the access is denied.
    #[must_use]
    pub fn obligations(&self) -> Obligations<'p> {
        let rule = match self.ruling.finding {
            Finding::Rule(rule) => self.policy.rule(rule),
            _ => None,
        };
        Obligations {
            rule: rule.map_or("", |rule| &rule.name),
            evidence: rule.and_then(|rule| rule.when.evidence),
            content: rule.and_then(|rule| rule.when.content.as_ref()),
            limit: rule.and_then(|rule| rule.limit),
        }
    }

    /// The decision without its policy: copied, stored and sent freely.
    #[must_use]
    pub fn ruling(&self) -> Ruling {
        self.ruling
    }
}

/// What an allowed call owes: the transport discharges it as the body arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Obligations<'p> {
    /// The rule that demands it; empty where nothing is allowed.
    pub rule: &'p str,
    /// At least so much must be proved of the body's delivery, to its end.
    pub evidence: Option<Evidence>,
    /// What the body must be.
    pub content: Option<&'p Content>,
    /// How many such calls there may be.
    pub limit: Option<Limit>,
}

impl fmt::Debug for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision")
            .field("effect", &self.effect())
            .field("reason", &self.reason())
            .field("route", &self.route())
            .field("delivery", &self.delivery())
            .field("policy_version", &self.policy_version())
            .finish()
    }
}

/// A [`Decision`] in numbers, without a borrow: for extensions and logs.
///
/// [`Policy::decision`] of the policy that made it gives the decision back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ruling {
    pub(super) finding: Finding,
    pub(super) route: Option<TemplateId>,
    pub(super) delivery: DeliveryRule,
    /// Which policy made it.
    pub(super) policy: u64,
}

impl Ruling {
    /// Whether the access is allowed.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self.finding, Finding::Rule(_))
    }

    /// How the edge delivers, as [`Decision::delivery`].
    #[must_use]
    pub fn delivery(&self) -> DeliveryRule {
        self.delivery
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Finding {
    Rule(RuleId),
    DenyRule(RuleId),
    Unmet { rule: RuleId, unmet: UnmetAt },
    NoRule,
    NoIdentity,
    ForeignTrustDomain,
    HopNotNamed,
    Path(PathError),
    Head(HeadError),
    NoPolicy,
    PolicyExpired,
}

/// As [`Unmet`]; a condition on a header or claim by its index in the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum UnmetAt {
    Direct,
    Evidence(Evidence),
    /// What there is, as [`f32::to_bits`] has it.
    Trust(Option<u32>),
    Proof,
    HeaderUnknown(u32),
    HeaderDiffers(u32),
    ClaimUnknown(u32),
    ClaimDiffers(u32),
    SourceUnknown,
    SourceDiffers,
}

/// Why policy decided as it did.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason<'p> {
    /// Allowed by the rule of this name.
    Rule(&'p str),
    /// Denied by the deny rule of this name.
    DenyRule(&'p str),
    /// Denied: this allow rule came nearest, but a condition of its `when` does not hold.
    Unmet {
        /// The rule's name.
        rule: &'p str,
        /// The first of its conditions that does not hold.
        condition: Unmet<'p>,
    },
    /// Denied: no allow rule matches.
    NoRule,
    /// Denied: the caller is not known.
    NoIdentity,
    /// Denied: the caller is of another trust domain than the mesh.
    ForeignTrustDomain,
    /// Denied: the call came through a hop that `hops` does not name.
    HopNotNamed,
    /// Denied: the path can be read in more than one way.
    Path(PathError),
    /// Denied: the head can be read in more than one way, or no server takes it.
    Head(HeadError),
    /// Denied: no policy is loaded.
    NoPolicy,
    /// Denied: the policy is older than its deadline, and nobody has confirmed it since.
    PolicyExpired,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => write!(f, "{rule} allows it"),
            Self::DenyRule(rule) => write!(f, "{rule} denies it"),
            Self::Unmet { rule, condition } => write!(f, "{rule} matched, but {condition}"),
            Self::NoRule => f.write_str("no rule allows it"),
            Self::NoIdentity => f.write_str("the caller has no identity"),
            Self::ForeignTrustDomain => f.write_str("the caller is of another trust domain"),
            Self::HopNotNamed => f.write_str("it came through a hop that the policy does not name"),
            Self::Path(error) => write!(f, "its path {error}"),
            Self::Head(error) => error.fmt(f),
            Self::NoPolicy => f.write_str("no policy is loaded"),
            Self::PolicyExpired => f.write_str("the policy has expired"),
        }
    }
}

/// A condition that does not hold.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Unmet<'p> {
    /// The call is not known to come from its caller directly.
    Direct,
    /// Too little is proved of the delivery.
    Evidence {
        /// The least that the rule asks for.
        needs: Evidence,
        /// What there is.
        has: Evidence,
    },
    /// The caller is trusted too little.
    Trust {
        /// The least that the rule asks for, 0 to 1.
        needs: f32,
        /// What there is; `None` where that is not known.
        has: Option<f32>,
    },
    /// The header is not there, or the caller's proof does not cover it.
    HeaderUnknown {
        /// The header's name, in lower case.
        name: &'p str,
    },
    /// A covered value of the header differs from what the rule asks for.
    HeaderDiffers {
        /// The header's name, in lower case.
        name: &'p str,
        /// The pattern that every value must match.
        needs: &'p str,
    },
    /// The request's token is not bound to its caller, or there is none.
    Proof {
        /// What must bind it: `dpop`, `certificate` or `any`.
        needs: &'static str,
    },
    /// The request's token does not have the claim, or there is none.
    ClaimUnknown {
        /// The claim's name, or a JSON Pointer (RFC 6901).
        name: &'p str,
    },
    /// No value of the claim is one that the rule asks for.
    ClaimDiffers {
        /// The claim's name, or a JSON Pointer (RFC 6901).
        name: &'p str,
    },
    /// The address of the connection's other end is not known.
    SourceUnknown,
    /// The address of the connection's other end is in none of the rule's networks.
    SourceDiffers,
}

impl fmt::Display for Unmet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("the call is not direct and it needs to be"),
            Self::Evidence { needs, has } => write!(f, "evidence is {has} and it needs {needs}"),
            Self::Trust { needs, has: Some(has) } => {
                write!(f, "trust is {has:.2} and it needs {needs}")
            }
            Self::Trust { needs, has: None } => {
                write!(f, "trust is not known and it needs {needs}")
            }
            Self::HeaderUnknown { name } => write!(f, "the caller proved no header {name}"),
            Self::HeaderDiffers { name, needs } => {
                write!(f, "the header {name} has a value other than {needs}")
            }
            Self::Proof { needs: "any" } => f.write_str("no proof binds a token to its caller"),
            Self::Proof { needs } => write!(f, "no {needs} proof binds a token to its caller"),
            Self::ClaimUnknown { name } => write!(f, "no token has the claim {name}"),
            Self::ClaimDiffers { name } => write!(f, "the claim {name} has no value it needs"),
            Self::SourceUnknown => f.write_str("the caller's address is not known"),
            Self::SourceDiffers => f.write_str("the caller's address is in no network it needs"),
        }
    }
}
