//! Table tests: accesses and what policy is to say of them, in a document of their own.
//!
//! ```
//! use meshguard_core::policy::Policy;
//! use meshguard_core::policy::table::{Table, run};
//!
//! let policy: Policy = r#"
//!     mesh = "shop.example"
//!     version = 7
//!     [peers]
//!     checkout = "spiffe://shop.example/checkout"
//!     [[allow]]
//!     name = "checkout-reads-orders"
//!     from = ["checkout"]
//!     http = ["GET /orders/{id}"]
//! "#.parse()?;
//! let table = Table::read(r#"
//!     [[case]]
//!     name = "checkout reads an order"
//!     from = "checkout"                  # a peer of the policy that is one ID, or an ID
//!     http = "GET /orders/7"
//!     expect = "allow"
//!     rule = "checkout-reads-orders"     # may be left out, as `reason`
//!
//!     [[case]]
//!     name = "checkout deletes none"
//!     from = "checkout"
//!     http = "DELETE /orders/7"
//!     expect = "deny"
//!     reason = "no rule allows it"
//! "#, &policy)?;
//! let report = run(&policy, &table);
//! assert!(report.passed());
//! assert_eq!(report.coverage.percent(), 100);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A case has what an access has: `from`, `via`, `to`, one of `http`, `grpc` and `tcp`, `direct`,
//! `evidence`, `trust`, `headers`, `claims`, `proof`, `source`, `client`, `destination`,
//! `scheme`, `host`, `port`, `server_name`. What it leaves out is not known. Names for IDs that the policy has no
//! name for may stand in the table's own `[peers]`.

mod error;
mod form;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::error::TableError;
use self::form::{CaseForm, Fault, TableForm};
pub use self::report::{CaseReport, Coverage, Report, Unreached};
use super::model::{Effect, RuleId};
use super::{MAX_DOCUMENT, Policy, Reason};
use crate::access::OwnedAccess;
use crate::identity::SpiffeId;

/// The most cases in one table.
pub const MAX_CASES: usize = 100_000;

/// Cases, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    cases: Vec<Case>,
}

/// One access, and what policy is to say of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Case {
    /// What the case claims.
    pub name: String,
    /// What is asked.
    pub access: OwnedAccess,
    /// What policy is to decide.
    pub expect: Effect,
    /// The rule that is to decide it.
    pub rule: Option<String>,
    /// Why, in the words of [`Reason`].
    pub reason: Option<String>,
}

impl Table {
    /// Reads a table for a policy, whose peers' names it may use.
    ///
    /// # Errors
    /// The first fault: it is not TOML, has an unknown key, a name that nobody has, a rule that
    /// the policy does not have, or the like.
    pub fn read(text: &str, policy: &Policy) -> Result<Self, TableError> {
        if text.len() > MAX_DOCUMENT {
            let message = format!("the table is longer than {MAX_DOCUMENT} bytes");
            return Err(TableError::at(text, 0, message));
        }
        let form: TableForm = toml::from_str(text).map_err(|e| TableError::syntax(text, &e))?;
        if form.case.len() > MAX_CASES {
            return Err(TableError::at(text, 0, format!("the table has over {MAX_CASES} cases")));
        }
        let mut read = Reader { policy, peers: BTreeMap::new(), names: BTreeMap::new() };
        for (name, id) in form.peers {
            let parsed = id.parse().map_err(|e| format!("`{}`: {e}", id.escape_debug()));
            let id = parsed.map_err(|e| TableError::of_peer(text, &name, e))?;
            read.peers.insert(name, id);
        }
        let mut cases = Vec::with_capacity(form.case.len());
        for (at, case) in form.case.into_iter().enumerate() {
            cases.push(read.case(at, case).map_err(|f| TableError::of_case(text, at, f))?);
        }
        Ok(Self { cases })
    }

    /// The cases, in their order.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }
}

/// Reads one access in the form of a case, without `name` and what is expected: TOML, or JSON.
///
/// # Errors
/// As [`Table::read`].
pub fn access(text: &str, policy: &Policy) -> Result<OwnedAccess, TableError> {
    let json = text.trim_start().starts_with('{');
    let form: CaseForm = if json {
        serde_json::from_str(text).map_err(|e| TableError::json(&e))?
    } else {
        toml::from_str(text).map_err(|e| TableError::syntax(text, &e))?
    };
    let expects = form.expect.is_some() || form.rule.is_some() || form.reason.is_some();
    let read = Reader { policy, peers: BTreeMap::new(), names: BTreeMap::new() };
    let read = match (form.name.is_some(), expects) {
        (true, _) => Err(Fault::new("name", "an access has no `name`")),
        (_, true) => Err(Fault::new("expect", "an access expects nothing")),
        _ => form.access(&|key, name| read.peer(key, name)),
    };
    read.map_err(|fault| TableError::of_access(if json { "" } else { text }, fault))
}

/// The peer that a name stands for: an ID, or a peer of the policy that is one ID.
///
/// # Errors
/// What is wrong with it, in words.
pub fn peer(name: &str, policy: &Policy) -> Result<SpiffeId, String> {
    if name.starts_with("spiffe://") {
        return name.parse().map_err(|e| format!("`{}`: {e}", name.escape_debug()));
    }
    match policy.peer_pattern(name) {
        None => Err(format!("no peer is called `{}`", name.escape_debug())),
        Some(pattern) => pattern
            .parse()
            .map_err(|_| format!("`{name}` is the pattern `{pattern}`: write one of its IDs")),
    }
}

impl Policy {
    /// The pattern of the peer of this name.
    fn peer_pattern(&self, name: &str) -> Option<&str> {
        let document = &self.loaded.as_ref()?.document;
        let at = document.names.iter().position(|known| **known == *name)?;
        document.patterns.get(at).map(|pattern| &*pattern.text)
    }
}

struct Reader<'p> {
    policy: &'p Policy,
    /// Of the table's own.
    peers: BTreeMap<String, SpiffeId>,
    /// Of cases, with the case.
    names: BTreeMap<String, usize>,
}

impl Reader<'_> {
    fn case(&mut self, at: usize, form: CaseForm) -> Result<Case, Fault> {
        let Some(name) = form.name.clone().filter(|name| !name.is_empty()) else {
            return Err(Fault::new("name", "a case needs a `name`"));
        };
        if self.names.insert(name.clone(), at).is_some() {
            let message = format!("two cases are called `{}`", name.escape_debug());
            return Err(Fault::new("name", message));
        }
        let Some(expect) = form.expect else {
            return Err(Fault::new("expect", "a case needs `expect`: \"allow\" or \"deny\""));
        };
        if let Some(rule) = &form.rule
            && !self.policy.rules().any(|known| known == rule)
        {
            let message = format!("no rule is called `{}`", rule.escape_debug());
            return Err(Fault::new("rule", message));
        }
        let (rule, reason) = (form.rule.clone(), form.reason.clone());
        let access = form.access(&|key, name| self.peer(key, name))?;
        Ok(Case { name, access, expect: expect.into(), rule, reason })
    }

    fn peer(&self, key: &'static str, name: &str) -> Result<SpiffeId, Fault> {
        match self.peers.get(name) {
            Some(id) => Ok(id.clone()),
            None => peer(name, self.policy).map_err(|message| Fault::new(key, message)),
        }
    }
}

/// Asks the policy for every case, as a service's listener does
/// ([`Policy::decide_served`]), and counts the rules that none reaches.
#[must_use]
pub fn run(policy: &Policy, table: &Table) -> Report {
    let mut reached = vec![false; policy.rules().count()];
    let numbers: BTreeMap<&str, usize> = policy.rules().zip(0..).collect();
    let mut reach = |name: &str| {
        if let Some(rule) = numbers.get(name).and_then(|at| reached.get_mut(*at)) {
            *rule = true;
        }
    };
    let cases = table.cases.iter().map(|case| {
        let access = case.access.access();
        let decision = policy.decide_served(&access);
        if let Reason::Rule(rule) | Reason::DenyRule(rule) = decision.reason() {
            reach(rule);
        }
        policy.shadows(&access).iter().for_each(|shadow| reach(shadow.rule));
        CaseReport::of(case, policy, &decision)
    });
    let cases = cases.collect();
    Report { cases, coverage: coverage(policy, &reached) }
}

fn coverage(policy: &Policy, reached: &[bool]) -> Coverage {
    let missed = (0..).zip(reached).filter(|(_, reached)| !**reached);
    let rules = missed.filter_map(|(id, _): (RuleId, _)| policy.rule(id));
    let unreached = rules.map(|rule| Unreached {
        rule: rule.name.to_string(),
        effect: rule.effect,
        shadow: rule.shadow,
    });
    Coverage { rules: reached.len(), unreached: unreached.collect() }
}
