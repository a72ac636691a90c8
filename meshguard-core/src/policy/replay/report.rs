//! What a candidate would decide otherwise.

use std::fmt;

use serde::Serialize;

use super::{Outcome, was};
use crate::policy::explain::effect;
use crate::policy::flow::{Flow, Was};
use crate::policy::model::Effect;

/// What a candidate would decide otherwise than was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Replay {
    /// How many calls were allowed.
    pub allowed: u64,
    /// How many policy refused.
    pub refused: u64,
    /// How many the loop or the delivery protocol refused: policy has no say in them.
    pub otherwise: u64,
    /// How many are decided as they were.
    pub unchanged: u64,
    /// What was allowed and surely would be denied.
    pub newly_denied: Vec<Change>,
    /// What was denied and surely would be allowed.
    pub newly_allowed: Vec<Change>,
    /// What cannot be said, because it depends on what no record has.
    pub depends: Vec<Change>,
    /// The rules of the candidate that surely decide none of the calls.
    pub unused: Vec<Unused>,
}

/// Calls that are alike, and what would become of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The end-to-end caller.
    pub from: Option<String>,
    /// The hop.
    pub via: Option<String>,
    /// The callee.
    pub to: Option<String>,
    /// The method, where it was recorded.
    pub method: Option<String>,
    /// The route, where it was recorded.
    pub route: Option<String>,
    /// Whether they were allowed.
    pub was_allowed: bool,
    /// Why, in words.
    pub was: String,
    /// What the candidate says, in words; empty where it depends.
    pub now: String,
    /// What it depends on, where it does.
    pub on: Vec<String>,
    /// How many there were.
    pub calls: u64,
}

/// A rule that surely decides none of the calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unused {
    /// Its name.
    pub rule: String,
    /// What it does.
    #[serde(serialize_with = "effect")]
    pub effect: Effect,
    /// It is only counted.
    pub shadow: bool,
    /// It may decide some: that depends on what no record has.
    pub perhaps: bool,
}

impl Replay {
    /// Whether every call would surely be decided as it was.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.newly_denied.is_empty() && self.newly_allowed.is_empty() && self.depends.is_empty()
    }

    pub(super) fn count(&mut self, flow: &Flow<'_>, calls: u64, outcome: Outcome) {
        let was_allowed = matches!(flow.was, Was::Allowed(_));
        add(if was_allowed { &mut self.allowed } else { &mut self.refused }, calls);
        let (changes, now, on) = match outcome {
            Outcome::Allowed(_) if was_allowed => return add(&mut self.unchanged, calls),
            Outcome::Denied(_) if !was_allowed => return add(&mut self.unchanged, calls),
            Outcome::Allowed(now) => (&mut self.newly_allowed, now, Vec::new()),
            Outcome::Denied(now) => (&mut self.newly_denied, now, Vec::new()),
            Outcome::Depends(on) => (&mut self.depends, String::new(), on.into_iter().collect()),
        };
        let text = |text: Option<&str>| text.map(ToOwned::to_owned);
        let change = Change {
            from: text(flow.from),
            via: text(flow.via),
            to: text(flow.to),
            method: text(flow.method),
            route: text(flow.route),
            was_allowed,
            was: was(flow),
            now,
            on,
            calls,
        };
        // The same but for what is not shown, as the evidence.
        match changes.last_mut() {
            Some(last) if last.is_as(&change) => add(&mut last.calls, calls),
            _ => changes.push(change),
        }
    }
}

/// Adds a number that somebody else may have written.
fn add(sum: &mut u64, calls: u64) {
    *sum = sum.saturating_add(calls);
}

impl Change {
    fn is_as(&self, other: &Self) -> bool {
        Self { calls: other.calls, ..self.clone() } == *other
    }

    fn edge(&self) -> (Option<&str>, Option<&str>, Option<&str>) {
        (self.from.as_deref(), self.via.as_deref(), self.to.as_deref())
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (allowed, refused) = (self.allowed, self.refused);
        write!(f, "{allowed} calls were allowed, {refused} refused")?;
        if self.otherwise > 0 {
            write!(f, ", and {} refused for other reasons than policy", self.otherwise)?;
        }
        writeln!(f, "\n{} would be decided as they were", self.unchanged)?;
        let lists = [
            ("newly denied", &self.newly_denied),
            ("newly allowed", &self.newly_allowed),
            ("not known", &self.depends),
        ];
        for (title, changes) in lists {
            list(title, changes, f)?;
        }
        unused("never exercised", self.unused.iter().filter(|u| !u.perhaps), f)?;
        unused("perhaps not exercised", self.unused.iter().filter(|u| u.perhaps), f)
    }
}

fn list(title: &str, changes: &[Change], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if changes.is_empty() {
        return Ok(());
    }
    let calls = changes.iter().map(|change| change.calls).fold(0, u64::saturating_add);
    writeln!(f, "\n{title}: {calls} {}", if calls == 1 { "call" } else { "calls" })?;
    let mut edge = None;
    for change in changes {
        if edge.replace(change.edge()) != Some(change.edge()) {
            let (from, via, to) = change.edge();
            write!(f, "  {}", from.unwrap_or("nobody known"))?;
            if let Some(via) = via {
                write!(f, " via {via}")?;
            }
            writeln!(f, " -> {}", to.unwrap_or("a callee that is not known"))?;
        }
        write!(f, "{change}")?;
    }
    Ok(())
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_deref().map(|m| format!("{m} ")).unwrap_or_default();
        let route = self.route.as_deref().unwrap_or("an unmatched route");
        let was = if self.was_allowed { "allowed" } else { "refused" };
        writeln!(f, "    {} x {method}{route}", self.calls)?;
        writeln!(f, "        was {was}: {}", self.was)?;
        match self.on.as_slice() {
            [] => writeln!(f, "        now: {}", self.now),
            on => writeln!(f, "        now depends on {}", on.join(", ")),
        }
    }
}

fn unused<'a>(
    title: &str,
    rules: impl Iterator<Item = &'a Unused>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let word = |rule: &Unused| match rule.effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    };
    let names = rules.map(|rule| {
        let shadow = if rule.shadow { ", shadow" } else { "" };
        format!("{} ({}{shadow})", rule.rule, word(rule))
    });
    let names: Vec<String> = names.collect();
    if names.is_empty() { Ok(()) } else { writeln!(f, "\n{title}: {}", names.join(", ")) }
}
