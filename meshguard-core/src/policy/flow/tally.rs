//! Calls that are alike, counted.

use std::collections::HashMap;
use std::fmt;

use super::{Flow, Refusal, Was, matched};
use crate::access::Evidence;

/// The most kinds of calls that are told from each other, and the most names in them.
pub const MAX_FLOWS: usize = 1 << 20;

/// Recorded calls: those that differ in nothing that a record says are counted, no others are
/// put together. So a caller that was seen once is kept beside one that calls all the time.
#[derive(Debug, Default)]
pub struct Flows {
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
    calls: HashMap<Key, u64>,
    otherwise: u64,
}

/// There are more kinds of calls than [`MAX_FLOWS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyFlows;

impl fmt::Display for TooManyFlows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there are more than {MAX_FLOWS} kinds of calls, or names in them")
    }
}

impl std::error::Error for TooManyFlows {}

/// A flow by the numbers of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    from: Option<u32>,
    via: Option<u32>,
    to: Option<u32>,
    method: Option<u32>,
    route: Option<u32>,
    evidence: Option<Evidence>,
    policy_version: u64,
    was: Decided,
}

/// As [`Was`]. Of a condition that did not hold only the rule is kept: the values differ from
/// call to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Decided {
    Allowed(u32),
    Refused(u32),
}

impl Flows {
    /// Counts a call. What the loop or the delivery protocol refused, and not policy, is only
    /// counted as that.
    ///
    /// # Errors
    /// It is of yet another kind, and there are [`MAX_FLOWS`] already.
    pub fn add(&mut self, flow: &Flow<'_>) -> Result<(), TooManyFlows> {
        self.add_many(flow, 1)
    }

    /// Counts so many calls that are alike: a ledger counts refusals beyond a rate.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_many(&mut self, flow: &Flow<'_>, calls: u64) -> Result<(), TooManyFlows> {
        let was = match flow.was {
            Was::Allowed(rule) => Decided::Allowed(self.number(rule)?),
            Was::Refused(words) => match Refusal::read(words) {
                None => {
                    self.otherwise = self.otherwise.saturating_add(calls);
                    return Ok(());
                }
                Some(Refusal::Unmet(rule)) => Decided::Refused(self.number(&unmet(rule))?),
                Some(_) => Decided::Refused(self.number(words)?),
            },
        };
        let key = Key {
            from: self.some(flow.from)?,
            via: self.some(flow.via)?,
            to: self.some(flow.to)?,
            method: self.some(flow.method)?,
            route: self.some(flow.route)?,
            evidence: flow.evidence,
            policy_version: flow.policy_version,
            was,
        };
        if self.calls.len() == MAX_FLOWS && !self.calls.contains_key(&key) {
            return Err(TooManyFlows);
        }
        let counted = self.calls.entry(key).or_default();
        *counted = counted.saturating_add(calls);
        Ok(())
    }

    /// Each kind of call and how many there were, in the order of their names.
    #[must_use]
    pub fn all(&self) -> Vec<(Flow<'_>, u64)> {
        let mut all: Vec<(Flow<'_>, u64)> =
            self.calls.iter().map(|(key, calls)| (self.flow(key), *calls)).collect();
        all.sort_by(|(a, _), (b, _)| a.order().cmp(&b.order()));
        all
    }

    /// How many calls something else than policy refused.
    #[must_use]
    pub fn otherwise(&self) -> u64 {
        self.otherwise
    }

    fn flow(&self, key: &Key) -> Flow<'_> {
        let name = |number: u32| self.names.get(number as usize).map_or("", |name| name);
        Flow {
            from: key.from.map(name),
            via: key.via.map(name),
            to: key.to.map(name),
            method: key.method.map(name),
            route: key.route.map(name),
            evidence: key.evidence,
            policy_version: key.policy_version,
            was: match key.was {
                Decided::Allowed(rule) => Was::Allowed(name(rule)),
                Decided::Refused(words) => Was::Refused(name(words)),
            },
        }
    }

    fn some(&mut self, name: Option<&str>) -> Result<Option<u32>, TooManyFlows> {
        name.map(|name| self.number(name)).transpose()
    }

    fn number(&mut self, name: &str) -> Result<u32, TooManyFlows> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let next = u32::try_from(self.names.len()).ok().filter(|_| self.names.len() < MAX_FLOWS);
        let next = next.ok_or(TooManyFlows)?;
        self.names.push(name.into());
        self.numbers.insert(name.into(), next);
        Ok(next)
    }
}

/// The words of a refusal for a condition that is not told.
fn unmet(rule: &str) -> String {
    format!("{rule}{}a condition did not hold", matched())
}
