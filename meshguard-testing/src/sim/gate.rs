//! What the loop asks beyond policy, enforced on simulated time.

use std::collections::BTreeMap;

use meshguard_core::baseline::EdgeKey;
use meshguard_core::control::{Control, Restriction};
use meshguard_core::reflex::{Rate, Tighten};
use meshguard_core::{Evidence, SpiffeId, Timestamp};

/// All that is in force at one service.
#[derive(Debug, Default)]
pub(super) struct Gate {
    limits: BTreeMap<EdgeKey, Limit>,
    trust: BTreeMap<SpiffeId, f32>,
    trust_start: f32,
}

/// What is in force on one edge.
#[derive(Debug)]
struct Limit {
    quarantine: bool,
    tighten: Tighten,
    /// What may still pass of a rate: a token bucket that holds one `per`'s count.
    tokens: f64,
    at: Timestamp,
}

impl Gate {
    /// Puts into force what is, and tells which callers are cut off that were not.
    pub(super) fn put(&mut self, control: &Control, start: f32, now: Timestamp) -> Vec<SpiffeId> {
        let mut before = std::mem::take(&mut self.limits);
        let mut cut = Vec::new();
        for (edge, restriction) in control.restrictions() {
            let old = before.remove(edge);
            let was_cut = old.as_ref().is_some_and(|limit| limit.quarantine);
            if let (EdgeKey::Caller(id), true, false) = (edge, restriction.quarantine, was_cut) {
                cut.push(id.clone());
            }
            let limit = old.filter(|limit| limit.is(restriction));
            let limit = limit.unwrap_or_else(|| Limit::new(restriction, now));
            self.limits.insert(edge.clone(), limit);
        }
        self.trust_start = start;
        self.trust.clear();
        for (edge, trust) in control.trusted() {
            if let EdgeKey::Caller(id) = edge {
                self.trust.insert(id.clone(), trust);
            }
        }
        cut
    }

    /// How far a caller is trusted.
    pub(super) fn trust(&self, caller: &SpiffeId) -> f32 {
        self.trust.get(caller).copied().unwrap_or(self.trust_start)
    }

    /// How many of `asked` calls of a caller may pass.
    pub(super) fn admit_calls(
        &mut self,
        edge: &EdgeKey,
        asked: u64,
        evidence: Evidence,
        direct: bool,
        now: Timestamp,
    ) -> u64 {
        if self.limits.is_empty() {
            return asked;
        }
        let trust = edge.peer().map_or(self.trust_start, |caller| self.trust(caller));
        let Some(limit) = self.limits.get_mut(edge) else { return asked };
        let Tighten { evidence: needs, direct: only_direct, trust: least, .. } = limit.tighten;
        let too_little = needs.is_some_and(|needs| evidence < needs);
        let distrusted = least.is_some_and(|least| trust < least);
        if too_little || distrusted || (only_direct && !direct) {
            return 0;
        }
        limit.admit(asked, now)
    }

    /// How many of `asked` connections of an address, or calls of a callee, may pass.
    pub(super) fn admit(&mut self, edge: &EdgeKey, asked: u64, now: Timestamp) -> u64 {
        if self.limits.is_empty() {
            return asked;
        }
        self.limits.get_mut(edge).map_or(asked, |limit| limit.admit(asked, now))
    }
}

impl Limit {
    fn new(restriction: &Restriction, now: Timestamp) -> Self {
        let Restriction { quarantine, tighten, .. } = *restriction;
        // It begins without credit.
        Self { quarantine, tighten, tokens: 0.0, at: now }
    }

    fn is(&self, restriction: &Restriction) -> bool {
        self.quarantine == restriction.quarantine && self.tighten == restriction.tighten
    }

    fn admit(&mut self, asked: u64, now: Timestamp) -> u64 {
        if self.quarantine {
            return 0;
        }
        let Some(Rate { count, per }) = self.tighten.rate else { return asked };
        let count = f64::from(count);
        let earned = now.since(self.at).as_secs_f64() / per.as_secs_f64() * count;
        (self.tokens, self.at) = ((self.tokens + earned).min(count), now);
        let admitted = asked.min(self.tokens as u64);
        self.tokens -= admitted as f64;
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const T: Timestamp = Timestamp::from_unix_secs(1_000);

    fn limited(tighten: Tighten, quarantine: bool) -> (Gate, EdgeKey) {
        let id = SpiffeId::from_static("spiffe://shop.example/checkout");
        let tokens = tighten.rate.map_or(0.0, |rate| f64::from(rate.count));
        let (edge, limit) = (EdgeKey::Caller(id), Limit { quarantine, tighten, tokens, at: T });
        (Gate { limits: [(edge.clone(), limit)].into(), ..Gate::default() }, edge)
    }

    #[test]
    fn a_rate_lets_a_burst_of_its_count_pass_and_then_its_share_of_the_time() {
        let rate = Some(Rate { count: 10, per: Duration::from_secs(1) });
        let (mut gate, edge) = limited(Tighten { rate, ..Tighten::default() }, false);
        assert_eq!(gate.admit(&edge, 7, T), 7);
        assert_eq!(gate.admit(&edge, 7, T), 3);
        assert_eq!(gate.admit(&edge, 7, T + Duration::from_millis(250)), 2);
        assert_eq!(gate.admit(&edge, 70, T + Duration::from_secs(60)), 10);
    }

    #[test]
    fn what_is_asked_beyond_policy_is_asked() {
        let admits = |tighten, evidence, direct| {
            let (mut gate, edge) = limited(tighten, false);
            gate.trust_start = 0.5;
            gate.admit_calls(&edge, 3, evidence, direct, T)
        };
        let (verified, digest) = (Evidence::Verified, Evidence::Digest);
        let needs = Tighten { evidence: Some(verified), ..Tighten::default() };
        assert_eq!((admits(needs, verified, false), admits(needs, digest, true)), (3, 0));
        let needs = Tighten { direct: true, ..Tighten::default() };
        assert_eq!((admits(needs, digest, true), admits(needs, verified, false)), (3, 0));
        let needs = |trust| Tighten { trust: Some(trust), ..Tighten::default() };
        assert_eq!((admits(needs(0.5), digest, true), admits(needs(0.6), digest, true)), (3, 0));
        let (mut gate, edge) = limited(Tighten::default(), true);
        assert_eq!(
            (gate.admit(&edge, 3, T), gate.admit_calls(&edge, 3, verified, true, T)),
            (0, 0)
        );
    }
}
