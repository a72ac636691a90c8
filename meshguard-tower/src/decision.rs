//! Policy's answer as requests carry it, and as operators look it up.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderValue, Method};
use meshguard_core::policy::{DeliveryRule, Ruling};
use meshguard_core::{Policy, Reason, Timestamp};

/// Refusals that can still be explained.
const KEPT: usize = 1024;
/// Bytes of a text, at most: who asks must not choose how much is kept.
const MAX_TEXT: usize = 512;

/// The decision that let a request in: in its extensions. Cloning is cheap.
#[derive(Clone)]
pub struct Decision {
    policy: Arc<Policy>,
    ruling: Ruling,
}

impl Decision {
    pub(crate) fn new(policy: Arc<Policy>, ruling: Ruling) -> Self {
        Self { policy, ruling }
    }

    /// The policy that decided.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason<'_> {
        self.policy.decision(self.ruling).map_or(Reason::NoPolicy, |d| d.reason())
    }

    /// The policy's template for the request; `None` where there is none.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.policy.decision(self.ruling)?.route()
    }

    /// How the edge delivers.
    #[must_use]
    pub fn delivery(&self) -> DeliveryRule {
        self.ruling.delivery()
    }

    /// The version of the policy that decided.
    #[must_use]
    pub fn policy_version(&self) -> u64 {
        self.policy.version()
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision")
            .field("reason", &self.reason())
            .field("route", &self.route())
            .field("policy_version", &self.policy_version())
            .finish()
    }
}

/// The number of a refusal: 16 random bytes, which say nothing to whom they are shown. On the
/// wire 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecisionId(u128);

impl DecisionId {
    pub(crate) const fn from_random(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Reads the wire form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }

    /// The number.
    pub(crate) fn number(self) -> u128 {
        self.0
    }

    pub(crate) fn header(self) -> HeaderValue {
        // Hexadecimal digits are a field value.
        HeaderValue::from_str(&self.to_string()).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecisionId({self})")
    }
}

/// What stood behind one refusal, for its operator.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The refusal's number.
    pub id: DecisionId,
    /// When.
    pub at: Timestamp,
    /// Who asked, where that was known.
    pub from: Option<String>,
    /// Through which hop.
    pub via: Option<String>,
    /// For what: method and raw path, of which the first 512 bytes.
    pub asked: String,
    /// Why it was refused, in words.
    pub reason: String,
    /// The policy's version.
    pub policy_version: u64,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.as_deref().unwrap_or("nobody known");
        write!(f, "{} asked {}", from, self.asked)?;
        if let Some(via) = &self.via {
            write!(f, " via {via}")?;
        }
        write!(f, ": {} (policy version {})", self.reason, self.policy_version)
    }
}

/// What was asked, in a text that is kept.
pub(crate) fn asked(method: Option<&Method>, path: &str) -> String {
    let mut text = method.map(|method| format!("{method} ")).unwrap_or_default();
    text.push_str(path);
    cut(text)
}

/// Cuts what is longer than is kept.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// The last refusals.
#[derive(Default)]
pub(crate) struct Explanations(Mutex<VecDeque<Explanation>>);

impl Explanations {
    pub(crate) fn keep(&self, explanation: Explanation) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(explanation);
    }

    pub(crate) fn find(&self, id: DecisionId) -> Option<Explanation> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|e| e.id == id).cloned()
    }
}
