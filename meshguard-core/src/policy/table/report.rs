//! What came of a table.

use std::fmt;

use serde::Serialize;

use super::Case;
use crate::policy::explain::{Explanation, effect};
use crate::policy::{Decision, Effect, Policy, Reason};

/// What came of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Of each case.
    pub cases: Vec<CaseReport>,
    /// Of all cases together.
    pub coverage: Coverage,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CaseReport {
    /// The case's name.
    pub name: String,
    /// Whether policy says what was expected.
    pub passed: bool,
    /// What was expected, in words.
    pub expected: String,
    /// What policy says, in words.
    pub found: String,
    /// Of a case that failed, why policy says so.
    pub explanation: Option<Explanation>,
}

/// Which rules the cases reach: an allow rule by an access that it allows, a deny rule by one
/// that it denies, a shadow rule by one that it matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Coverage {
    /// How many rules there are.
    pub rules: usize,
    /// Those that no case reaches, in the order of the document.
    pub unreached: Vec<Unreached>,
}

/// A rule that no case reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unreached {
    /// Its name.
    pub rule: String,
    /// What it does.
    #[serde(serialize_with = "effect")]
    pub effect: Effect,
    /// It is only counted.
    pub shadow: bool,
}

impl Report {
    /// Whether every case passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.cases.iter().all(|case| case.passed)
    }
}

impl Coverage {
    /// How many of a hundred rules are reached, rounded down; 100 where there are none.
    #[must_use]
    pub fn percent(&self) -> usize {
        ((self.rules - self.unreached.len()) * 100).checked_div(self.rules).unwrap_or(100)
    }
}

impl CaseReport {
    pub(super) fn of(case: &Case, policy: &Policy, decision: &Decision<'_>) -> Self {
        let reason = decision.reason();
        let rule = match reason {
            Reason::Rule(rule) | Reason::DenyRule(rule) | Reason::Unmet { rule, .. } => Some(rule),
            _ => None,
        };
        let reason = reason.to_string();
        let passed = decision.effect() == case.expect
            && case.rule.as_deref().is_none_or(|expected| Some(expected) == rule)
            && case.reason.as_deref().is_none_or(|expected| expected == reason);
        Self {
            name: case.name.clone(),
            passed,
            expected: expected(case),
            found: format!("{}: {reason}", word(decision.effect())),
            explanation: (!passed).then(|| policy.explain(&case.access.access())),
        }
    }
}

fn expected(case: &Case) -> String {
    let mut text = word(case.expect).to_owned();
    if let Some(rule) = &case.rule {
        text.push_str(&format!(" by {rule}"));
    }
    if let Some(reason) = &case.reason {
        text.push_str(&format!(": {reason}"));
    }
    text
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            writeln!(f, "{} {}", if case.passed { "ok    " } else { "FAILED" }, case.name)?;
            if let Some(explanation) = &case.explanation {
                writeln!(f, "       expected {}", case.expected)?;
                for line in explanation.to_string().lines() {
                    writeln!(f, "{}", format!("       {line}").trim_end())?;
                }
            }
        }
        let failed = self.cases.iter().filter(|case| !case.passed).count();
        let passed = self.cases.len() - failed;
        writeln!(f, "\n{passed} passed, {failed} failed")?;
        self.coverage.fmt(f)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reached = self.rules - self.unreached.len();
        writeln!(f, "{reached} of {} rules reached, {} %", self.rules, self.percent())?;
        for unreached in &self.unreached {
            let shadow = if unreached.shadow { " (shadow)" } else { "" };
            writeln!(f, "  not reached: {} {}{shadow}", word(unreached.effect), unreached.rule)?;
        }
        Ok(())
    }
}
