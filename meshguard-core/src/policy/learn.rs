//! A draft of a policy, from what was seen: it allows what was allowed, and nothing else.
//!
//! ```
//! use meshguard_core::Evidence;
//! use meshguard_core::policy::{Flow, Flows, Policy, Was, learn};
//!
//! let mut flows = Flows::default();
//! for _ in 0..3 {
//!     flows.add(&Flow {
//!         from: Some("spiffe://shop.example/checkout"),
//!         via: None,
//!         to: Some("spiffe://shop.example/orders"),
//!         method: Some("GET"),
//!         route: Some("/orders/{id}"),
//!         evidence: Some(Evidence::Verified),
//!         policy_version: 1,
//!         was: Was::Allowed("all"),
//!     })?;
//! }
//! let draft = learn::draft(&flows, None, 2)?;
//! assert_eq!(draft.text, r#"mesh = "shop.example"
//! version = 2
//!
//! [peers]
//! checkout = "spiffe://shop.example/checkout"
//! orders = "spiffe://shop.example/orders"
//!
//! ## 3 calls
//! [[allow]]
//! name = "checkout-orders"
//! from = ["checkout"]
//! to = ["orders"]
//! http = [
//!     "GET /orders/{id}", # 3
//! ]
//! when = { evidence = "verified", direct = true }
//! "#);
//! assert!(draft.policy.replay(&flows, None)?.is_unchanged());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A rule of the draft is as narrow as the records tell: one for each caller, callee and hop, with
//! the routes that were seen, the least evidence that they came with, and `direct` where there
//! was no hop. What a record does not say, a draft cannot narrow, and says so in a comment:
//! without the policy that decided, a route's method; where no template matched, the operation.

#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::flow::{Flow, Flows, Was};
use super::model::Semantics;
use super::replay::{Asks, decider, operations};
use super::{Policy, PolicyError};
use crate::access::Evidence;
use crate::identity::SpiffeId;

/// A draft.
#[derive(Debug)]
#[non_exhaustive]
pub struct Draft {
    /// The document, with comments that say how many calls stand behind what.
    pub text: String,
    /// The same, read.
    pub policy: Policy,
    /// How many calls it is drawn from.
    pub calls: u64,
    /// How many allowed calls are left out: no SPIFFE ID says who called whom.
    pub left_out: u64,
    /// The rules that are wider than what was seen, because the records do not tell more.
    pub wide: Vec<String>,
}

/// Why there is no draft.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DraftError {
    /// No call was allowed, with both its ends known.
    NoCalls,
    /// The draft would be no document: it has more rules or combinations than one may have.
    TooLarge(PolicyError),
}

impl fmt::Display for DraftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCalls => f.write_str("no call was allowed whose caller and callee are known"),
            Self::TooLarge(error) => write!(f, "the draft is no document: {error}"),
        }
    }
}

impl std::error::Error for DraftError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoCalls => None,
            Self::TooLarge(error) => Some(error),
        }
    }
}

/// Draws a draft of this version from the calls that were allowed. `recorded` is the policy under
/// which they were, where it is at hand.
///
/// # Errors
/// There is nothing to draw from, or too much.
pub fn draft(flows: &Flows, recorded: Option<&Policy>, version: u64) -> Result<Draft, DraftError> {
    let native = |policy: &&Policy| {
        let document = policy.loaded.as_ref().map(|l| &l.document);
        document.is_some_and(|document| document.semantics == Semantics::Native)
    };
    let recorded = recorded.filter(native);
    let mut seen = Seen::default();
    for (flow, calls) in flows.all() {
        seen.add(&flow, calls, recorded);
    }
    let text = text::write(&seen, version).ok_or(DraftError::NoCalls)?;
    let policy: Policy = text.document.parse().map_err(DraftError::TooLarge)?;
    let calls = seen.rules.values().map(Rule::calls).sum();
    let (left_out, wide) = (seen.left_out, text.wide);
    Ok(Draft { text: text.document, policy, calls, left_out, wide })
}

/// Who called whom, and through whom.
type Ends = (SpiffeId, SpiffeId, Option<SpiffeId>);

/// What was seen.
#[derive(Default)]
struct Seen {
    rules: BTreeMap<Ends, Rule>,
    /// Callees, whose mesh it is.
    callees: BTreeSet<SpiffeId>,
    left_out: u64,
}

/// What one caller asked of one callee.
#[derive(Default)]
struct Rule {
    /// By how a document writes them. A call that may have been several counts for each.
    http: BTreeMap<String, u64>,
    grpc: BTreeMap<String, u64>,
    /// Calls of which nothing says what they asked.
    unknown: u64,
    calls: u64,
    /// The least.
    evidence: Option<Evidence>,
    /// The method of a route was not told.
    any_method: bool,
}

impl Rule {
    fn calls(&self) -> u64 {
        self.calls
    }
}

impl Seen {
    fn add(&mut self, flow: &Flow<'_>, calls: u64, recorded: Option<&Policy>) {
        if !matches!(flow.was, Was::Allowed(_)) {
            return;
        }
        let id = |text: Option<&str>| text.and_then(|text| text.parse::<SpiffeId>().ok());
        let via = id(flow.via);
        let (Some(from), Some(to)) = (id(flow.from), id(flow.to)) else {
            self.left_out += calls;
            return;
        };
        if [&from, &to].iter().any(|id| id.path().is_empty()) || flow.via.is_some() != via.is_some()
        {
            self.left_out += calls;
            return;
        }
        self.callees.insert(to.clone());
        let rule = self.rules.entry((from, to, via)).or_default();
        rule.calls += calls;
        let evidence = flow.evidence.unwrap_or_default();
        rule.evidence = Some(rule.evidence.map_or(evidence, |least| least.min(evidence)));
        rule.add(flow, calls, recorded);
    }
}

impl Rule {
    fn add(&mut self, flow: &Flow<'_>, calls: u64, recorded: Option<&Policy>) {
        let Some(route) = flow.route else {
            self.unknown += calls;
            return;
        };
        for operation in operations(decider(recorded, flow), flow) {
            let (list, name) = match operation.asks {
                Asks::Grpc => (&mut self.grpc, route.to_owned()),
                Asks::Http(Some(method)) => (&mut self.http, format!("{method} {route}")),
                Asks::Http(None) => {
                    self.any_method = true;
                    (&mut self.http, format!("* {route}"))
                }
                Asks::Unknown => {
                    self.unknown += calls;
                    return;
                }
            };
            *list.entry(name).or_default() += calls;
        }
    }
}
