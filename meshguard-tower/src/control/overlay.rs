//! What the loop asks beyond policy, as calls see it: one immutable snapshot.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use meshguard_core::baseline::EdgeKey;
use meshguard_core::control::{IncidentId, Restriction};
use meshguard_core::reflex::{Rate, Tighten};
use meshguard_core::{Evidence, SpiffeId, Timestamp};

use crate::clock::steady;

/// All that is in force. The default restricts nothing.
#[derive(Default)]
pub(crate) struct Overlay {
    callers: HashMap<SpiffeId, Arc<Limit>>,
    callees: HashMap<SpiffeId, Instances>,
    addresses: HashMap<IpAddr, Arc<Limit>>,
    trust: HashMap<SpiffeId, f32>,
    trust_start: f32,
}

/// The instances of a callee that something is asked of: few.
type Instances = Vec<(Box<str>, Arc<Limit>)>;

/// What is in force on one edge.
struct Limit {
    quarantine: bool,
    tighten: Tighten,
    rate: Option<DefaultDirectRateLimiter>,
    incident: IncidentId,
    /// Nothing holds beyond its time, even if nobody turns the loop any more.
    until: Timestamp,
}

/// Why the loop does not let something pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stopped {
    pub(crate) cause: Cause,
    pub(crate) incident: IncidentId,
}

/// What is not fulfilled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cause {
    Quarantine,
    Rate(Rate),
    Evidence { needs: Evidence, has: Evidence },
    Direct,
    Trust { needs: f32, has: f32 },
}

impl Overlay {
    /// The snapshot of what is in force now. Limiters of rates that were in force already in
    /// `before` go on where they are.
    pub(crate) fn new<'a>(
        restrictions: impl Iterator<Item = (&'a EdgeKey, &'a Restriction)>,
        trusted: impl Iterator<Item = (&'a EdgeKey, f32)>,
        trust_start: f32,
        before: &Self,
    ) -> Self {
        let mut overlay = Self { trust_start, ..Self::default() };
        for (edge, restriction) in restrictions {
            let limit = match before.limit(edge) {
                Some(limit) if limit.is(restriction) => Arc::clone(limit),
                _ => Arc::new(Limit::new(restriction)),
            };
            overlay.insert(edge, limit);
        }
        for (edge, trust) in trusted {
            if let EdgeKey::Caller(id) = edge {
                overlay.trust.insert(id.clone(), trust);
            }
        }
        overlay
    }

    fn insert(&mut self, edge: &EdgeKey, limit: Arc<Limit>) {
        match edge {
            EdgeKey::Caller(id) => drop(self.callers.insert(id.clone(), limit)),
            EdgeKey::Callee { id, instance } => {
                self.callees.entry(id.clone()).or_default().push((instance.clone(), limit));
            }
            EdgeKey::Address(addr) => drop(self.addresses.insert(*addr, limit)),
            // Nothing is asked of a hop: those behind it are honest.
            _ => {}
        }
    }

    fn limit(&self, edge: &EdgeKey) -> Option<&Arc<Limit>> {
        match edge {
            EdgeKey::Caller(id) => self.callers.get(id),
            EdgeKey::Callee { id, instance } => self.callee(id, instance),
            EdgeKey::Address(addr) => self.addresses.get(addr),
            _ => None,
        }
    }

    fn callee(&self, id: &SpiffeId, instance: &str) -> Option<&Arc<Limit>> {
        let instances = self.callees.get(id)?;
        instances.iter().find(|(name, _)| **name == *instance).map(|(_, limit)| limit)
    }

    /// How far a caller is trusted.
    pub(crate) fn trust(&self, caller: &SpiffeId) -> f32 {
        self.trust.get(caller).copied().unwrap_or(self.trust_start)
    }

    /// Whether a call of `caller` may pass.
    pub(crate) fn admits_caller(
        &self,
        caller: &SpiffeId,
        evidence: Evidence,
        direct: bool,
    ) -> Result<(), Stopped> {
        if self.callers.is_empty() {
            return Ok(());
        }
        let Some(limit) = self.callers.get(caller) else { return Ok(()) };
        limit.admits(evidence, direct, || self.trust(caller))
    }

    /// Whether a call of `caller` that was let in may go on. How often it calls is no matter.
    pub(crate) fn holds_caller(
        &self,
        caller: &SpiffeId,
        evidence: Evidence,
        direct: bool,
    ) -> Result<(), Stopped> {
        match self.callers.get(caller) {
            Some(limit) => limit.holds(evidence, direct, || self.trust(caller)),
            None => Ok(()),
        }
    }

    /// The incident for which `caller` is cut off, if it is.
    pub(crate) fn cuts_caller(&self, caller: &SpiffeId) -> Option<IncidentId> {
        self.callers.get(caller).filter(|limit| limit.cuts()).map(|limit| limit.incident)
    }

    /// Whether this instance of `callee` may be called.
    pub(crate) fn admits_callee(&self, callee: &SpiffeId, instance: &str) -> Result<(), Stopped> {
        if self.callees.is_empty() {
            return Ok(());
        }
        self.callee(callee, instance).map_or(Ok(()), |limit| limit.admits_any())
    }

    /// Whether a connection from `source` may be made.
    pub(crate) fn admits_address(&self, source: IpAddr) -> Result<(), Stopped> {
        if self.addresses.is_empty() {
            return Ok(());
        }
        self.addresses.get(&source).map_or(Ok(()), |limit| limit.admits_any())
    }

    /// Whether connections from `source` are cut off.
    pub(crate) fn cuts_address(&self, source: IpAddr) -> bool {
        self.addresses.get(&source).is_some_and(|limit| limit.cuts())
    }

    /// The callers of whom more is asked here than in `before`, or who are trusted less.
    pub(super) fn narrowed(&self, before: &Self) -> Vec<SpiffeId> {
        let same = |id: &SpiffeId, limit| {
            before.callers.get(id).is_some_and(|old| Arc::ptr_eq(old, limit))
        };
        let asked = self.callers.iter().filter(|(id, limit)| !same(id, limit)).map(|(id, _)| id);
        let fell = self.trust.iter().filter(|(id, trust)| **trust < before.trust(id));
        let mut all: Vec<_> = asked.chain(fell.map(|(id, _)| id)).cloned().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether something is asked of one of these.
    pub(super) fn restricts(&self, callers: &[SpiffeId]) -> bool {
        callers.iter().any(|id| self.callers.contains_key(id))
    }

    /// The callers that are cut off here and were not in `before`.
    pub(super) fn newly_quarantined<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = &'a SpiffeId> {
        let cut = |overlay: &Self, id: &SpiffeId| {
            overlay.callers.get(id).is_some_and(|limit| limit.quarantine)
        };
        self.callers.keys().filter(move |id| cut(self, id) && !cut(before, id))
    }
}

impl Limit {
    fn new(restriction: &Restriction) -> Self {
        Self {
            quarantine: restriction.quarantine,
            tighten: restriction.tighten,
            rate: restriction.tighten.rate.and_then(limiter),
            incident: restriction.incident,
            until: restriction.until,
        }
    }

    fn is_over(&self) -> bool {
        steady() >= self.until
    }

    fn cuts(&self) -> bool {
        self.quarantine && !self.is_over()
    }

    fn is(&self, restriction: &Restriction) -> bool {
        self.quarantine == restriction.quarantine
            && self.tighten == restriction.tighten
            && self.incident == restriction.incident
            && self.until == restriction.until
    }

    /// All but the rate, which is of calls.
    fn holds(
        &self,
        has: Evidence,
        direct: bool,
        trust: impl FnOnce() -> f32,
    ) -> Result<(), Stopped> {
        let stopped = |cause| Err(Stopped { cause, incident: self.incident });
        if self.is_over() {
            return Ok(());
        }
        if let Some(needs) = self.tighten.evidence.filter(|needs| has < *needs) {
            return stopped(Cause::Evidence { needs, has });
        }
        if self.tighten.direct && !direct {
            return stopped(Cause::Direct);
        }
        if let Some(needs) = self.tighten.trust {
            let has = trust();
            if has < needs {
                return stopped(Cause::Trust { needs, has });
            }
        }
        if self.quarantine { stopped(Cause::Quarantine) } else { Ok(()) }
    }

    fn admits(
        &self,
        has: Evidence,
        direct: bool,
        trust: impl FnOnce() -> f32,
    ) -> Result<(), Stopped> {
        self.holds(has, direct, trust)?;
        self.admits_any()
    }

    fn admits_any(&self) -> Result<(), Stopped> {
        let stopped = |cause| Err(Stopped { cause, incident: self.incident });
        if self.is_over() {
            return Ok(());
        }
        if self.quarantine {
            return stopped(Cause::Quarantine);
        }
        match (&self.rate, self.tighten.rate) {
            (Some(limiter), Some(rate)) if limiter.check().is_err() => stopped(Cause::Rate(rate)),
            _ => Ok(()),
        }
    }
}

fn limiter(rate: Rate) -> Option<DefaultDirectRateLimiter> {
    let count = NonZeroU32::new(rate.count)?;
    let quota = Quota::with_period(rate.per / rate.count)?.allow_burst(count);
    let limiter = RateLimiter::direct(quota);
    // It begins without credit: what calls only a little too often would be held back minutes later.
    let _ = limiter.check_n(count);
    Some(limiter)
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Quarantine => f.write_str("it is cut off")?,
            Cause::Rate(rate) => write!(f, "more than {} in {:?}", rate.count, rate.per)?,
            Cause::Evidence { needs, has } => {
                write!(f, "evidence is {has}, and {needs} is asked for now")?;
            }
            Cause::Direct => f.write_str("only direct calls are let in now")?,
            Cause::Trust { needs, has } => {
                write!(f, "trust is {has:.2}, and {needs:.2} is asked for now")?;
            }
        }
        write!(f, " ({})", self.incident)
    }
}

#[cfg(test)]
mod tests;
