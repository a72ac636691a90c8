//! A candidate policy over recorded calls: what it would decide otherwise.
//!
//! A record does not say all that a decision needs. So the answer has three values: allowed,
//! denied, or *depends*, with what on; it is never guessed. The policy under which the calls were
//! recorded makes much of that known: which methods the templates of a route have, and which
//! conditions must have held where its rule allowed the call.
//!
//! ```
//! use meshguard_core::Evidence;
//! use meshguard_core::policy::{Flow, Flows, Policy, Was};
//!
//! let recorded: Policy = r#"
//!     mesh = "shop.example"
//!     version = 7
//!     [peers]
//!     checkout = "spiffe://shop.example/checkout"
//!     [[allow]]
//!     name = "checkout-orders"
//!     from = ["checkout"]
//!     http = ["GET /orders/{id}"]
//! "#.parse()?;
//! let mut flows = Flows::default();
//! flows.add(&Flow {
//!     from: Some("spiffe://shop.example/checkout"),
//!     via: None,
//!     to: Some("spiffe://shop.example/orders"),
//!     method: None,
//!     route: Some("/orders/{id}"),
//!     evidence: Some(Evidence::Verified),
//!     policy_version: 7,
//!     was: Was::Allowed("checkout-orders"),
//! })?;
//!
//! let candidate: Policy = r#"
//!     mesh = "shop.example"
//!     version = 8
//!     [peers]
//!     checkout = "spiffe://shop.example/checkout"
//!     [[allow]]
//!     name = "checkout-orders"
//!     from = ["checkout"]
//!     http = ["POST /orders/{id}"]
//! "#.parse()?;
//! let replay = candidate.replay(&flows, Some(&recorded))?;
//! assert_eq!(replay.newly_denied[0].now, "no allow rule holds for it");
//! assert_eq!(recorded.replay(&flows, Some(&recorded))?.unchanged, 1);
//! // Without the policy that decided, nobody knows the method.
//! let replay = candidate.replay(&flows, None)?;
//! assert_eq!(replay.depends[0].on, ["the method"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Calls that an imported policy decided are told from others only where that policy is at hand:
//! their paths were not read strictly.
//!
//! What a candidate demands beyond its decision (limits, content, how an edge delivers) is not
//! replayed.

mod judge;
mod known;
mod relate;
mod report;

use std::collections::HashMap;
use std::fmt;

use self::judge::{Edge, Judge, Unknowns, Verdict};
pub(super) use self::known::{Asks, decider, operations};
pub use self::report::{Change, Replay, Unused};
use super::flow::{Flow, Flows, Refusal, Was};
use super::model::{RuleId, Semantics};
use super::reason::Finding;
use super::{Loaded, Policy, Reason, RouteOptions};
use crate::access::head::HeadError;
use crate::identity::SpiffeId;

/// Why a policy cannot be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// It was imported: what its conditions look at, records do not have.
    Imported,
    /// None is loaded.
    NoPolicy,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Imported => "the policy was imported, and records lack what it looks at",
            Self::NoPolicy => "no policy is loaded",
        })
    }
}

impl std::error::Error for ReplayError {}

impl Policy {
    /// Decides on recorded calls. `recorded` is the policy under which they were recorded, where
    /// it is at hand; it speaks for the calls that it decided by its version.
    ///
    /// # Errors
    /// This policy cannot be replayed.
    pub fn replay(&self, flows: &Flows, recorded: Option<&Self>) -> Result<Replay, ReplayError> {
        let loaded = self.loaded.as_ref().ok_or(ReplayError::NoPolicy)?;
        if loaded.document.semantics != Semantics::Native {
            return Err(ReplayError::Imported);
        }
        let mut run = Run {
            policy: self,
            loaded,
            recorded,
            edges: HashMap::new(),
            used: vec![Used::Never; loaded.document.rules.len()],
        };
        let mut replay = Replay { otherwise: flows.otherwise(), ..Replay::default() };
        for (flow, calls) in flows.all() {
            let outcome = run.decide(&flow);
            replay.count(&flow, calls, outcome);
        }
        replay.unused = run.unused();
        Ok(replay)
    }
}

/// Whether a rule was exercised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Used {
    Never,
    Perhaps,
    Surely,
}

/// What the candidate makes of one call.
enum Outcome {
    Allowed(String),
    Denied(String),
    Depends(Unknowns),
}

type Ends<'f> = (Option<&'f str>, Option<&'f str>, Option<&'f str>);

struct Run<'p, 'f> {
    policy: &'p Policy,
    loaded: &'p Loaded,
    recorded: Option<&'p Policy>,
    edges: HashMap<Ends<'f>, Result<Edge, Finding>>,
    used: Vec<Used>,
}

impl<'f> Run<'_, 'f> {
    fn decide(&mut self, flow: &Flow<'f>) -> Outcome {
        if let Was::Refused(words) = flow.was
            && Refusal::read(words) == Some(Refusal::Path(words))
        {
            // Every policy reads paths alike.
            return Outcome::Denied(words.to_owned());
        }
        if let Was::Refused(words) = flow.was
            && let Some(Refusal::Head(error)) = Refusal::read(words)
        {
            return self.head(error);
        }
        let ends = (flow.from, flow.via, flow.to);
        let loaded = self.loaded;
        let edge = self.edges.entry(ends).or_insert_with(|| edge(loaded, ends));
        let edge = match edge {
            Ok(edge) => edge,
            Err(finding) => return Outcome::Denied(words(*finding)),
        };
        let decider = decider(self.recorded, flow);
        let operations = operations(decider, flow);
        let mut used: HashMap<RuleId, usize> = HashMap::new();
        let mut verdicts = Vec::with_capacity(operations.len());
        for operation in &operations {
            let held = known::held(decider, flow);
            let judge = Judge { loaded, edge, operation, evidence: flow.evidence, held };
            verdicts.push(judge.verdict(&mut |id, surely| {
                *used.entry(id).or_default() += usize::from(surely);
            }));
        }
        let read = known::is_read(decider, flow);
        for (id, times) in used {
            let surely = read && times == operations.len();
            let how = if surely { Used::Surely } else { Used::Perhaps };
            if let Some(used) = self.used.get_mut(id as usize) {
                *used = how.max(*used);
            }
        }
        match self.outcome(verdicts) {
            Outcome::Allowed(_) if !read => Outcome::Depends(Unknowns::from(["the path".into()])),
            outcome => outcome,
        }
    }

    /// Every policy reads heads alike, but for what a route may permit.
    fn head(&self, error: HeadError) -> Outcome {
        let permits = |permits: fn(&RouteOptions) -> bool| {
            self.policy.routes().any(|(_, options)| permits(&options))
        };
        let permitted = match error {
            HeadError::MethodOverride | HeadError::MethodOwes => permits(|o| o.method_override),
            HeadError::Upgrade | HeadError::UpgradeUnproved => permits(|o| o.upgrade),
            _ => false,
        };
        match permitted {
            true => Outcome::Depends(Unknowns::from(["what else its head asked for".into()])),
            false => Outcome::Denied(error.to_string()),
        }
    }

    /// Of the operations that the call may have been: what holds for all of them.
    fn outcome(&self, verdicts: Vec<Verdict>) -> Outcome {
        let all = |kind: fn(&Verdict) -> bool| verdicts.iter().all(kind);
        let name = |id: RuleId| self.policy.rule_name(id);
        if all(|v| matches!(v, Verdict::Allowed(_)))
            && let Some(Verdict::Allowed(id)) = verdicts.first()
        {
            return Outcome::Allowed(Reason::Rule(name(*id)).to_string());
        }
        if all(|v| matches!(v, Verdict::Denied(_))) {
            let by = verdicts.iter().find_map(|v| match v {
                Verdict::Denied(by) => *by,
                _ => None,
            });
            let nothing = || "no allow rule holds for it".to_owned();
            return Outcome::Denied(
                by.map_or_else(nothing, |id| Reason::DenyRule(name(id)).to_string()),
            );
        }
        let mut on = Unknowns::new();
        for verdict in verdicts {
            match verdict {
                Verdict::Depends(more) => on.extend(more),
                _ => _ = on.insert("the operation".to_owned()),
            }
        }
        Outcome::Depends(on)
    }

    fn unused(&self) -> Vec<Unused> {
        let rules = self.loaded.document.rules.iter().zip(&self.used);
        let unused = rules.filter(|(_, used)| **used != Used::Surely);
        let unused = unused.map(|(rule, used)| Unused {
            rule: rule.name.to_string(),
            effect: rule.effect,
            shadow: rule.shadow,
            perhaps: *used == Used::Perhaps,
        });
        unused.collect()
    }
}

/// An ID that is none cannot have been authenticated; it is not known.
fn edge(loaded: &Loaded, (from, via, to): Ends<'_>) -> Result<Edge, Finding> {
    let id = |text: Option<&str>| text.and_then(|text| text.parse::<SpiffeId>().ok());
    let via = match (via, id(via)) {
        (Some(_), None) => return Err(Finding::HopNotNamed),
        (_, via) => via,
    };
    Edge::of(loaded, id(from).as_ref(), via.as_ref(), id(to).as_ref())
}

fn words(finding: Finding) -> String {
    let reason = match finding {
        Finding::NoIdentity => Reason::NoIdentity,
        Finding::ForeignTrustDomain => Reason::ForeignTrustDomain,
        Finding::HopNotNamed => Reason::HopNotNamed,
        Finding::NoPolicy => Reason::NoPolicy,
        Finding::PolicyExpired => Reason::PolicyExpired,
        _ => Reason::NoRule,
    };
    reason.to_string()
}

/// What was decided, in words that do not differ from call to call.
fn was(flow: &Flow<'_>) -> String {
    match flow.was {
        Was::Allowed(rule) => Reason::Rule(rule).to_string(),
        Was::Refused(words) => match Refusal::read(words) {
            Some(Refusal::Unmet(rule)) => format!("{rule} came nearest"),
            _ => words.to_owned(),
        },
    }
}
