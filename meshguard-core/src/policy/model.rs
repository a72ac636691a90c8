//! A document once read: names resolved to numbers, nothing left to refuse.

/// What a document calls the variants of an enum.
macro_rules! words {
    ($vis:vis $of:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $of {
            pub(in crate::policy) const WORDS: &[(&'static str, Self)] =
                &[$(($word, Self::$variant)),*];

            /// The word that documents and logs use.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}
use words;

mod amount;
mod delivery;
mod when;

use std::time::Duration;

pub use self::amount::{Content, Limit, Per, Pointer};
pub(super) use self::delivery::EdgeRule;
pub use self::delivery::{DeliveryMode, DeliveryRule, TranscriptHash};
pub(super) use self::when::{ClaimCondition, HeaderCondition, ProofNeed, When};
use super::pattern::Pattern;
use super::template::Template;
use crate::identity::TrustDomain;
use crate::reflex::Plan;

/// Index of a [`Pattern`]; equal patterns have one, whatever their peers are called.
pub(super) type PatternId = u32;
/// Index of a [`Rule`], in the order of the document.
pub(super) type RuleId = u32;
/// Index of a [`Template`], in the order of its first use.
pub(super) type TemplateId = u32;

#[derive(Debug, PartialEq)]
pub(super) struct Document {
    pub(super) mesh: TrustDomain,
    /// Further trust domains whose callers are accepted: sorted, without `mesh`.
    pub(super) federates: Box<[TrustDomain]>,
    pub(super) version: u64,
    pub(super) semantics: Semantics,
    /// Of each pattern, what its peer is called.
    pub(super) names: Vec<Box<str>>,
    pub(super) patterns: Vec<Pattern>,
    /// `None`: the document has no `hops`, which names nobody, too.
    pub(super) hops: Peers,
    pub(super) templates: Vec<Template>,
    pub(super) rules: Vec<Rule>,
    pub(super) expects: Vec<Expect>,
    pub(super) deliveries: Vec<EdgeRule>,
    pub(super) routes: Vec<RouteRule>,
    /// What the document says of the loop; `None` where it says nothing.
    pub(super) plan: Plan,
}

/// How a document reads what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Semantics {
    /// What is not known never helps a caller, and paths are read strictly.
    #[default]
    Native,
    /// As Istio's AuthorizationPolicy: what is missing makes a positive match false and a
    /// negative one true. For documents that were imported from it, whose rules have terms alone.
    Istio(Normalization),
}

/// How a path is read before it is matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Normalization {
    /// Decoded once; what two readers could read differently is refused. The only one of
    /// native documents.
    #[default]
    Strict,
    /// Istio's `NONE`: as it stands.
    None,
    /// Istio's `BASE`: dot segments, backslashes, and escapes of unreserved characters.
    Base,
    /// Istio's `MERGE_SLASHES`: `BASE`, and repeated slashes merged.
    MergeSlashes,
    /// Istio's `DECODE_AND_MERGE_SLASHES`: `%2F` and `%5C` decoded first.
    DecodeAndMergeSlashes,
}

words!(pub Normalization {
    Strict = "strict",
    None = "none",
    Base = "base",
    MergeSlashes = "merge_slashes",
    DecodeAndMergeSlashes = "decode_and_merge_slashes",
});

/// Whether a decision, or a rule, lets an access through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It may pass.
    Allow,
    /// It may not.
    Deny,
}

#[derive(Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) name: Box<str>,
    pub(super) effect: Effect,
    /// Evaluated and counted, and changes nothing.
    pub(super) shadow: bool,
    pub(super) from: Peers,
    pub(super) to: Peers,
    pub(super) via: Peers,
    /// `None`: every operation.
    pub(super) templates: Templates,
    pub(super) when: When,
    /// Of allow rules only.
    pub(super) limit: Option<Limit>,
}

/// `None`: no limit. Else sorted, without duplicates, never empty.
pub(super) type Peers = Option<Box<[PatternId]>>;

/// As [`Peers`].
pub(super) type Templates = Option<Box<[TemplateId]>>;

/// One `[[expect]]`: what must not stay silent.
#[derive(Debug, PartialEq)]
pub(super) struct Expect {
    pub(super) name: Box<str>,
    pub(super) from: Peers,
    pub(super) to: Peers,
    pub(super) templates: Templates,
    /// So many calls, not 0,
    pub(super) at_least: u64,
    /// in so long a time.
    pub(super) within: Duration,
}

/// One `[[route]]`: what holds for operations, whoever calls. `None`: not said.
#[derive(Debug, PartialEq)]
pub(super) struct RouteRule {
    /// Sorted, without duplicates, never empty.
    pub(super) templates: Box<[TemplateId]>,
    pub(super) durability: Option<Durability>,
    pub(super) keep_answers: Option<Duration>,
    pub(super) idempotent: Option<bool>,
    pub(super) upgrade: Option<bool>,
    pub(super) method_override: Option<bool>,
}

/// When a call's entry in the ledger must be durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Some time later.
    #[default]
    Async,
    /// The intent, before the application is called.
    IntentDurable,
    /// Intent and outcome, before the caller has its answer.
    Strict,
}

words!(pub Durability { Async = "async", IntentDurable = "intent-durable", Strict = "strict" });
