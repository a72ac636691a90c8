//! A document once read: names resolved to numbers, nothing left to refuse.

use http::HeaderName;

use super::pattern::{Glob, Pattern};
use super::template::Template;
use crate::access::Evidence;
use crate::identity::TrustDomain;
use crate::reflex::Plan;

/// Index of a [`Pattern`]; equal patterns have one, whatever their peers are called.
pub(super) type PatternId = u32;
/// Index of a [`Rule`], in the order of the document.
pub(super) type RuleId = u32;
/// Index of a [`Template`], in the order of its first use.
pub(super) type TemplateId = u32;

#[derive(Debug)]
pub(super) struct Document {
    pub(super) mesh: TrustDomain,
    pub(super) version: u64,
    pub(super) patterns: Vec<Pattern>,
    pub(super) hops: Box<[PatternId]>,
    pub(super) templates: Vec<Template>,
    pub(super) rules: Vec<Rule>,
    pub(super) deliveries: Vec<EdgeRule>,
    pub(super) plan: Plan,
}

/// Whether a decision, or a rule, lets an access through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It may pass.
    Allow,
    /// It may not.
    Deny,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Box<str>,
    pub(super) effect: Effect,
    pub(super) from: Peers,
    pub(super) to: Peers,
    pub(super) via: Peers,
    /// `None`: every operation.
    pub(super) templates: Option<Box<[TemplateId]>>,
    pub(super) when: When,
}

/// `None`: no limit. Else sorted, without duplicates, never empty.
pub(super) type Peers = Option<Box<[PatternId]>>;

/// All of these must hold. What an allow rule and a deny rule may have differs, see
/// [`text`](super::text).
#[derive(Debug, Default)]
pub(super) struct When {
    pub(super) evidence: Option<Evidence>,
    pub(super) direct: Option<bool>,
    /// From 0 to 1.
    pub(super) trust: Option<f32>,
    pub(super) headers: Box<[HeaderCondition]>,
}

#[derive(Debug)]
pub(super) struct HeaderCondition {
    pub(super) name: HeaderName,
    pub(super) glob: Glob,
}

/// One `[[delivery]]`.
#[derive(Debug)]
pub(super) struct EdgeRule {
    pub(super) from: Peers,
    pub(super) to: Peers,
    pub(super) rule: DeliveryRule,
}

/// How an edge delivers bodies. The default is `require`, unsealed by policy, SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeliveryRule {
    /// Whether the delivery protocol is spoken.
    pub mode: DeliveryMode,
    /// Whether bodies are sealed; `None` leaves it to the endpoints.
    pub seal: Option<bool>,
    /// The hash of the transcript.
    pub transcript: TranscriptHash,
}

impl DeliveryRule {
    /// Of two rules that may both hold, what serves both: the stricter mode, and sealed where
    /// either seals.
    pub(super) fn stricter(self, other: Self) -> Self {
        let (mut strict, lax) = if other.mode < self.mode { (other, self) } else { (self, other) };
        if lax.seal == Some(true) || strict.seal.is_none() {
            strict.seal = lax.seal.or(strict.seal);
        }
        strict
    }
}

/// Whether an edge speaks the delivery protocol. Ordered: the strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DeliveryMode {
    /// Calls without it are refused.
    #[default]
    Require,
    /// It is spoken where both ends can.
    Prefer,
    /// It is not spoken.
    Off,
}

/// The hash of a delivery's transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TranscriptHash {
    /// SHA-256 (FIPS 180-4).
    #[default]
    Sha256,
    /// BLAKE3.
    Blake3,
}
