//! Policy's answer as requests carry it, and as operators look it up.

mod kept;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Method};
use meshguard_core::escape::escape;
use meshguard_core::policy::{self, DeliveryRule, Obligations, Ruling};
use meshguard_core::{Policy, Reason, Timestamp};

#[cfg(test)]
pub(crate) use kept::KEPT;
pub(crate) use kept::{Explanations, Question};

/// Bytes of a text, at most: who asks must not choose how much is kept.
pub(crate) const MAX_TEXT: usize = 512;

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
    pub(crate) fn policy(&self) -> &Arc<Policy> {
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

    /// What the rule that let it in demands beyond that.
    #[must_use]
    pub fn obligations(&self) -> Option<Obligations<'_>> {
        self.policy.decision(self.ruling).map(|d| d.obligations())
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
#[non_exhaustive]
pub struct Explanation {
    /// The refusal's number.
    pub id: DecisionId,
    /// When.
    pub at: Timestamp,
    /// Who asked, where that was known.
    pub from: Option<String>,
    /// Through which hop.
    pub via: Option<String>,
    /// For what: method and path as it came, [escaped](meshguard_core::escape), of which the first
    /// 512 bytes.
    pub asked: String,
    /// Why it was refused, in words; escaped too.
    pub reason: String,
    /// The policy's version.
    pub policy_version: u64,
    /// What policy says of it: the inputs, and the nearest rule with all that it misses. Also
    /// where it was not policy that refused. `None` where nobody had proved who asks, where too
    /// much would have had to be kept, and once two other policies have refused something.
    pub judged: Option<policy::Explanation>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.as_deref().unwrap_or("nobody known");
        write!(f, "{} asked {}", from, self.asked)?;
        if let Some(via) = &self.via {
            write!(f, " via {via}")?;
        }
        write!(f, ": {} (policy version {})", self.reason, self.policy_version)?;
        match &self.judged {
            Some(judged) => write!(f, "\n{judged}"),
            None => Ok(()),
        }
    }
}

/// What was asked, in a text that is kept.
pub(crate) fn asked(method: Option<&Method>, path: &str) -> String {
    let mut text = method.map(|method| format!("{method} ")).unwrap_or_default();
    text.push_str(path);
    cut(text)
}

/// Escapes a text, and cuts what is longer than is kept.
pub(crate) fn cut(text: String) -> String {
    let mut text = match escape(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    };
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HTTP lets a path have any UTF-8, so a caller can put what it likes before an operator.
    #[test]
    fn what_a_caller_asks_for_is_shown_escaped() {
        let uri: http::Uri = "/a\u{202e}b\u{2028}c\u{9b}d".parse().unwrap();
        let shown = asked(Some(&Method::GET), uri.path());
        assert_eq!(shown, r"GET /a\u{202e}b\u{2028}c\u{9b}d");
        assert_eq!(cut("too\nmany".to_owned()), r"too\nmany");
        let long = cut("\u{202e}".repeat(MAX_TEXT));
        assert!(long.len() <= MAX_TEXT + 3 && long.ends_with('…'), "{long}");
    }
}
