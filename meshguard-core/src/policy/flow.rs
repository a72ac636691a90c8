//! One call as a ledger recorded it.

mod tally;

pub use self::tally::{Flows, MAX_FLOWS, TooManyFlows};
use super::{Reason, Unmet};
use crate::access::Evidence;
use crate::access::head::HeadError;

/// One call as it was recorded. What the record does not say is `None`; a record says nothing of
/// headers, claims, trust and addresses, and has the route instead of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<'a> {
    /// The end-to-end caller.
    pub from: Option<&'a str>,
    /// The hop; `None`: the caller itself was connected.
    pub via: Option<&'a str>,
    /// The callee: whose ledger it is.
    pub to: Option<&'a str>,
    /// The method; of gRPC, `POST`.
    pub method: Option<&'a str>,
    /// The template that matched: `/orders/{id}`, `shop.v1.Orders/Get`.
    pub route: Option<&'a str>,
    /// How complete the request was proved to be.
    pub evidence: Option<Evidence>,
    /// The version of the policy that decided.
    pub policy_version: u64,
    /// What it decided.
    pub was: Was<'a>,
}

/// What policy decided on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was<'a> {
    /// Allowed by the rule of this name.
    Allowed(&'a str),
    /// Refused for this reason, in the words of [`Reason`].
    Refused(&'a str),
}

/// Why a call was refused, read from its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal<'a> {
    /// By a deny rule.
    Deny(&'a str),
    /// The rule came nearest.
    Unmet(&'a str),
    /// Its path can be read in more than one way.
    Path(&'a str),
    /// Its head can, or it asks for what its route does not permit.
    Head(HeadError),
    /// No rule was asked, before the path was read: because of who called.
    Unasked(&'a str),
    /// No rule matched.
    NoRule(&'a str),
}

impl<'a> Refusal<'a> {
    /// `None`: these are not policy's words. The loop and the delivery protocol refuse, too.
    pub(super) fn read(words: &'a str) -> Option<Self> {
        // What a reason says beside its rule, by the words of one without a name.
        let denies = Reason::DenyRule("").to_string();
        let matched = matched();
        let unasked = [
            Reason::NoIdentity,
            Reason::ForeignTrustDomain,
            Reason::HopNotNamed,
            Reason::NoPolicy,
            Reason::PolicyExpired,
        ];
        if unasked.iter().any(|reason| reason.to_string() == words) {
            return Some(Self::Unasked(words));
        }
        if Reason::NoRule.to_string() == words {
            return Some(Self::NoRule(words));
        }
        if let Some(error) = HeadError::ALL.into_iter().find(|error| error.as_str() == words) {
            return Some(Self::Head(error));
        }
        if words.starts_with("its path ") {
            return Some(Self::Path(words));
        }
        if let Some((rule, _)) = words.split_once(&matched) {
            return Some(Self::Unmet(rule));
        }
        words.strip_suffix(&denies).map(Self::Deny)
    }
}

/// What stands between a rule and its condition in a reason: ` matched, but `.
fn matched() -> String {
    let unmet = Reason::Unmet { rule: "", condition: Unmet::Direct }.to_string();
    let condition = Unmet::Direct.to_string();
    unmet.strip_suffix(&condition).unwrap_or(&unmet).to_owned()
}

impl<'a> Flow<'a> {
    /// What calls are sorted by.
    fn order(&self) -> impl Ord + use<'a> {
        let was = match self.was {
            Was::Allowed(rule) => (true, rule),
            Was::Refused(words) => (false, words),
        };
        let ends = (self.from, self.to, self.via);
        (ends, self.route, self.method, was, self.evidence, self.policy_version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PathError;

    fn flow<'a>(from: &'a str, was: Was<'a>) -> Flow<'a> {
        let (from, to) = (Some(from), Some("spiffe://a/to"));
        let (via, method, route, evidence) = (None, None, Some("/a"), None);
        Flow { from, via, to, method, route, evidence, policy_version: 1, was }
    }

    #[test]
    fn calls_that_differ_are_kept_apart_and_equal_ones_counted() {
        let mut flows = Flows::default();
        let many = flow("spiffe://a/many", Was::Allowed("r"));
        let rare = flow("spiffe://a/rare", Was::Allowed("r"));
        for _ in 0..100_000 {
            flows.add(&many).unwrap();
        }
        flows.add(&rare).unwrap();
        flows.add(&flow("spiffe://a/x", Was::Refused("too many requests"))).unwrap();
        for trust in ["0.40", "0.41"] {
            let words = format!("r matched, but trust is {trust} and it needs 0.6");
            flows.add(&flow("spiffe://a/many", Was::Refused(&words))).unwrap();
        }
        let refused =
            flow("spiffe://a/many", Was::Refused("r matched, but a condition did not hold"));
        assert_eq!(flows.all(), [(refused, 2), (many, 100_000), (rare, 1)]);
        assert_eq!(flows.otherwise(), 1);
    }

    #[test]
    fn a_refusal_is_read_from_what_a_reason_says() {
        let unmet = Reason::Unmet { rule: "a b", condition: Unmet::SourceUnknown }.to_string();
        assert_eq!(Refusal::read(&unmet), Some(Refusal::Unmet("a b")));
        let deny = Reason::DenyRule("never").to_string();
        assert_eq!(Refusal::read(&deny), Some(Refusal::Deny("never")));
        let (none, unasked) = (Reason::NoRule.to_string(), Reason::HopNotNamed.to_string());
        assert_eq!(Refusal::read(&none), Some(Refusal::NoRule(&none)));
        assert_eq!(Refusal::read(&unasked), Some(Refusal::Unasked(&unasked)));
        let path = Reason::Path(PathError::Control).to_string();
        assert_eq!(Refusal::read(&path), Some(Refusal::Path(&path)));
        for error in HeadError::ALL {
            let head = Reason::Head(error).to_string();
            assert_eq!(Refusal::read(&head), Some(Refusal::Head(error)));
        }
        assert_eq!(Refusal::read("delivery is to be proved"), None);
        assert_eq!(Refusal::read("too many requests"), None);
    }
}
