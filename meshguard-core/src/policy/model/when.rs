//! `when` of a rule.

use http::HeaderName;
use ipnet::IpNet;

use super::Content;
use crate::access::{Evidence, Proofs};
use crate::policy::pattern::Glob;
use crate::policy::term::Term;

/// All of these must hold. What an allow rule and a deny rule may have differs, see
/// [`text`](crate::policy::text).
#[derive(Debug, Default, PartialEq)]
pub(in crate::policy) struct When {
    pub(in crate::policy) evidence: Option<Evidence>,
    pub(in crate::policy) direct: Option<bool>,
    /// From 0 to 1.
    pub(in crate::policy) trust: Option<f32>,
    pub(in crate::policy) proof: Option<ProofNeed>,
    /// Sorted by name.
    pub(in crate::policy) headers: Box<[HeaderCondition]>,
    /// Sorted by name.
    pub(in crate::policy) claims: Box<[ClaimCondition]>,
    /// Networks of the connection's other end: `None` is all. Sorted, never empty.
    pub(in crate::policy) source: Option<Box<[IpNet]>>,
    /// An obligation: a decision does not wait for it.
    pub(in crate::policy) content: Option<Content>,
    /// `where`: of imported documents, which have nothing else.
    pub(in crate::policy) terms: Box<[Term]>,
}

#[derive(Debug, PartialEq)]
pub(in crate::policy) struct HeaderCondition {
    pub(in crate::policy) name: HeaderName,
    pub(in crate::policy) glob: Glob,
}

impl When {
    /// Whether it has a condition that a caller fails by proving less.
    pub(in crate::policy) fn asks_for_more(&self) -> bool {
        self.evidence.is_some()
            || self.trust.is_some()
            || self.proof.is_some()
            || self.content.is_some()
            || !self.headers.is_empty()
            || !self.claims.is_empty()
    }
}

/// One claim, of which one of the values must match.
#[derive(Debug, PartialEq)]
pub(in crate::policy) struct ClaimCondition {
    /// The claim's name; with a leading `/` a JSON Pointer (RFC 6901).
    pub(in crate::policy) name: Box<str>,
    /// Sorted, never empty.
    pub(in crate::policy) any: Box<[Glob]>,
}

crate::policy::model::words!(pub(in crate::policy) ProofNeed {
    Dpop = "dpop",
    Certificate = "certificate",
    Any = "any",
});

/// What must bind a token to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::policy) enum ProofNeed {
    Dpop,
    Certificate,
    Any,
}

impl ProofNeed {
    pub(in crate::policy) fn holds(self, proofs: Proofs) -> bool {
        match self {
            Self::Dpop => proofs.dpop,
            Self::Certificate => proofs.certificate,
            Self::Any => proofs.dpop || proofs.certificate,
        }
    }
}
