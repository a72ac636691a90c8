//! The caps on actions: counted after the action, over all actions together.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::action::ActionId;
use super::case::Case;
use super::edges::Edges;
use super::restriction::Hold;
use crate::baseline::EdgeKey;
use crate::identity::SpiffeId;
use crate::reflex::Governor;
use crate::time::Timestamp;

/// Which cap an action would have broken.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum GovernorRefusal {
    /// The kill switch is on.
    Frozen,
    /// The edge is a hop: the callers behind it are honest.
    Hop,
    /// Nothing of what it asks can be asked of such an edge.
    NotApplicable,
    /// The departure is to the side that does no harm, and the reflex does not act on both; or it was
    /// harmful, and this window is back at normal.
    Harmless,
    /// Policy refuses what the signal is about, and the reflex does not act on the whole caller.
    RefusedAnyway,
    /// Most siblings depart alike: the cause is what they share.
    Shared,
    /// The change is a planned one.
    Planned,
    /// The latencies of a caller are this service's own, unless the caller's load rose.
    NotItsDoing,
    /// The edge has shown fewer calls than `min_calls`.
    TooFewCalls {
        /// How many it has shown.
        seen: u64,
        /// How many it must have shown.
        needs: u64,
    },
    /// Fewer callers are known than `min_peers`.
    TooFewPeers {
        /// How many are known.
        known: u64,
        /// How many there must be.
        needs: u64,
    },
    /// More than `max_share` of the known callers would be restricted.
    Share {
        /// How many would be.
        restricted: u64,
        /// How many are known.
        known: u64,
    },
    /// No instance of the callee would be left.
    LastInstance,
    /// Fewer instances of the callee than `min_healthy` would be left.
    TooFewInstances {
        /// How many would be.
        left: u64,
        /// How many are known.
        known: u64,
    },
    /// `max_actions` were taken in its time already.
    TooManyActions,
}

impl GovernorRefusal {
    /// The name used in logs and the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Hop => "hop",
            Self::NotApplicable => "not applicable",
            Self::Harmless => "side",
            Self::RefusedAnyway => "scope",
            Self::Shared => "siblings",
            Self::Planned => "planned",
            Self::NotItsDoing => "latency",
            Self::TooFewCalls { .. } => "min_calls",
            Self::TooFewPeers { .. } => "min_peers",
            Self::Share { .. } => "max_share",
            Self::LastInstance => "last instance",
            Self::TooFewInstances { .. } => "min_healthy",
            Self::TooManyActions => "max_actions",
        }
    }
}

impl fmt::Display for GovernorRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frozen => f.write_str("the loop is frozen"),
            Self::Hop => f.write_str("a hop is not restricted: the callers behind it are honest"),
            Self::NotApplicable => f.write_str("nothing of it can be asked of such an edge"),
            Self::Harmless => f.write_str("it is over, or to the side that does no harm"),
            Self::RefusedAnyway => f.write_str("policy refuses those calls anyway"),
            Self::Shared => {
                f.write_str("most siblings depart alike, so the cause is not in this one")
            }
            Self::Planned => f.write_str("the change was planned"),
            Self::NotItsDoing => {
                f.write_str("a caller whose load has not risen is not slow by itself")
            }
            Self::TooFewCalls { seen, needs } => {
                write!(f, "the edge has shown {seen} calls and it needs {needs}")
            }
            Self::TooFewPeers { known, needs } => {
                write!(f, "{known} callers are known and it needs {needs}")
            }
            Self::Share { restricted, known } => {
                write!(f, "{restricted} of {known} known callers would be restricted")
            }
            Self::LastInstance => f.write_str("no instance of the callee would be left"),
            Self::TooFewInstances { left, known } => {
                write!(f, "{left} of {known} instances of the callee would be left")
            }
            Self::TooManyActions => f.write_str("too many actions were taken already"),
        }
    }
}

/// The most actions that are remembered, and so the most that `max_actions` can permit.
const MAX_TAKEN: usize = 10_000;

/// A departure comes before another of its rank where this many times as many calls depart.
const OUTWEIGHS: f32 = 2.0;

/// What has `max_actions` of its own.
#[derive(Clone, Copy, Debug)]
enum Budget {
    /// Restrictions of peers that windows call for.
    Peers,
    /// Restrictions of addresses: anybody can have many of those.
    Addresses,
    /// Whatever a hard signal calls for.
    Hard,
}

impl Budget {
    fn of(edge: &EdgeKey, hard: bool) -> Self {
        match edge {
            EdgeKey::Address(_) => Self::Addresses,
            _ if hard => Self::Hard,
            _ => Self::Peers,
        }
    }
}

/// All actions in force, or in shadow, and when they were taken.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) holds: BTreeMap<ActionId, Hold>,
    /// The last ones of each budget; another plan may count them over a longer time.
    taken: [VecDeque<Timestamp>; Budget::Hard as usize + 1],
    /// A seeded defect: caps are counted before the action.
    #[cfg(test)]
    pub(super) counts_before: bool,
}

impl Books {
    /// Whether one more action on `edge` keeps within all caps. A `hard` cause needs no history.
    pub(super) fn permit(
        &self,
        caps: &Governor,
        edges: &Edges,
        edge: &EdgeKey,
        hard: bool,
        now: Timestamp,
    ) -> Result<(), GovernorRefusal> {
        let seen = edges.get(edge).map_or(0, |known| known.seen);
        if !hard && seen < caps.min_calls {
            return Err(GovernorRefusal::TooFewCalls { seen, needs: caps.min_calls });
        }
        self.count(edges, self.extra(edge)).within(caps, edges, edge, now)?;
        match self.room_at(caps, edge, hard, now) {
            Some(_) => Err(GovernorRefusal::TooManyActions),
            None => Ok(()),
        }
    }

    /// When `max_actions` permits another action on `edge`; `None`: now.
    pub(super) fn room_at(
        &self,
        caps: &Governor,
        edge: &EdgeKey,
        hard: bool,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let most = (caps.max_actions.count as usize).min(MAX_TAKEN);
        let taken = &self.taken[Budget::of(edge, hard) as usize];
        let Some(first) = most.checked_sub(1) else { return Some(now + caps.max_actions.per) };
        let leaves = *taken.iter().rev().nth(first)? + caps.max_actions.per;
        (now < leaves).then_some(leaves)
    }

    #[cfg(not(test))]
    fn extra<'e>(&self, edge: &'e EdgeKey) -> Option<&'e EdgeKey> {
        Some(edge)
    }

    #[cfg(test)]
    fn extra<'e>(&self, edge: &'e EdgeKey) -> Option<&'e EdgeKey> {
        (!self.counts_before).then_some(edge)
    }

    pub(super) fn take(&mut self, id: ActionId, hold: Hold, now: Timestamp) {
        let taken = &mut self.taken[Budget::of(&hold.edge, hold.hard) as usize];
        if taken.len() >= MAX_TAKEN {
            taken.pop_front();
        }
        taken.push_back(now);
        self.holds.insert(id, hold);
    }

    /// The callees of which an instance is restricted, or would be.
    pub(super) fn callees(&self) -> impl Iterator<Item = &SpiffeId> {
        self.holds.values().filter_map(|hold| match &hold.edge {
            EdgeKey::Callee { id, .. } => Some(id),
            _ => None,
        })
    }

    /// What makes room for a restriction that an incident calls for: of those that come after it, and
    /// count where it counts, the newest of the least.
    pub(super) fn gives_way(&self, edges: &Edges, case: &Case) -> Option<ActionId> {
        let edge = &case.incident.edge;
        let alike = |other: &EdgeKey| match (edge, other) {
            (EdgeKey::Callee { id, .. }, EdgeKey::Callee { id: of, .. }) => id == of,
            (EdgeKey::Callee { .. }, _) | (_, EdgeKey::Callee { .. }) => false,
            _ => edges.concerns(other) > 0,
        };
        let own = rank(edge, case.is_hard());
        let less = |hold: &Hold| match rank(&hold.edge, hold.hard).cmp(&own) {
            Ordering::Less => true,
            Ordering::Equal => !hold.hard && hold.weight * OUTWEIGHS < case.weight(),
            Ordering::Greater => false,
        };
        let others = self.holds.iter().filter(|(_, hold)| less(hold) && alike(&hold.edge));
        // Weights are not negative: their bits are in their order.
        let order = |hold: &Hold| (rank(&hold.edge, hold.hard), hold.weight.to_bits());
        let least = others.min_by_key(|(id, hold)| (order(hold), Reverse(**id)));
        least.map(|(id, _)| *id)
    }

    /// The newest action that breaks a cap, now that peers or instances have left, or the caps
    /// are lower.
    pub(super) fn broken(
        &self,
        caps: &Governor,
        edges: &Edges,
        now: Timestamp,
    ) -> Option<(ActionId, GovernorRefusal)> {
        let count = self.count(edges, None);
        let broken = |(id, hold): (&ActionId, &Hold)| {
            count.within(caps, edges, &hold.edge, now).err().map(|why| (*id, why))
        };
        self.holds.iter().rev().find_map(broken)
    }

    /// What is restricted, `extra` with it.
    fn count<'a>(&'a self, edges: &Edges, extra: Option<&'a EdgeKey>) -> Count<'a> {
        let held = self.holds.values().map(|hold| &hold.edge);
        let restricted: BTreeSet<&EdgeKey> = held.chain(extra).collect();
        let concerned = restricted.iter().map(|edge| edges.concerns(edge)).sum();
        Count { restricted, concerned, scored: edges.callers() }
    }
}

/// Which restriction comes first where there is no room for all: nobody who was never authenticated
/// takes the place of one who was, and a hard signal goes before a matter of chance.
const fn rank(edge: &EdgeKey, hard: bool) -> (bool, bool) {
    (!matches!(edge, EdgeKey::Address(_)), hard)
}

struct Count<'a> {
    restricted: BTreeSet<&'a EdgeKey>,
    /// How many callers that concerns.
    concerned: u64,
    /// How many are known because they were scored.
    scored: u64,
}

impl Count<'_> {
    /// Whether it keeps within the caps that concern `edge`.
    fn within(
        &self,
        caps: &Governor,
        edges: &Edges,
        edge: &EdgeKey,
        now: Timestamp,
    ) -> Result<(), GovernorRefusal> {
        match edge {
            EdgeKey::Callee { id, .. } => self.instances(caps, edges, id, now),
            EdgeKey::HopIn(_) | EdgeKey::HopOut(_) => Err(GovernorRefusal::Hop),
            // Behind it nobody was ever authenticated.
            EdgeKey::Address(_) if edges.concerns(edge) == 0 => Ok(()),
            EdgeKey::Caller(_) | EdgeKey::Address(_) => self.share(caps, edges),
        }
    }

    fn share(&self, caps: &Governor, edges: &Edges) -> Result<(), GovernorRefusal> {
        let (scored, needs) = (self.scored, u64::from(caps.min_peers));
        if scored < needs {
            return Err(GovernorRefusal::TooFewPeers { known: scored, needs });
        }
        // A caller that was never scored is known all the same once it is restricted: counted on
        // both sides, it leaves no more room for others.
        let caller = |edge: &EdgeKey| matches!(edge, EdgeKey::Caller(_));
        let unscored = self.restricted.iter().filter(|e| caller(e) && !edges.is_scored(e)).count();
        let known = scored + unscored as u64;
        if self.concerned as f64 > most(caps.max_share, known) {
            return Err(GovernorRefusal::Share { restricted: self.concerned, known });
        }
        Ok(())
    }

    fn instances(
        &self,
        caps: &Governor,
        edges: &Edges,
        id: &SpiffeId,
        now: Timestamp,
    ) -> Result<(), GovernorRefusal> {
        let free = |edge: &&EdgeKey| !self.restricted.contains(*edge);
        let left = edges.healthy(id, now).filter(free).count() as u64;
        // As with callers: restricted is known.
        let ours = |edge: &EdgeKey| matches!(edge, EdgeKey::Callee { id: of, .. } if of == id);
        let known = left + self.restricted.iter().filter(|edge| ours(edge)).count() as u64;
        if left == 0 {
            return Err(GovernorRefusal::LastInstance);
        }
        if left as f64 + 1e-6 * (known as f64) < f64::from(caps.min_healthy) * known as f64 {
            return Err(GovernorRefusal::TooFewInstances { left, known });
        }
        Ok(())
    }
}

/// A share of so many. 0.1 of 10 is 1, though 0.1 has no exact number.
fn most(share: f32, of: u64) -> f64 {
    f64::from(share) * of as f64 + 1e-6 * of as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_not_broken_by_how_numbers_are_written() {
        for known in 1..=1_000_u64 {
            assert!(known as f64 <= most(0.1, known * 10), "{known}");
            assert!((known + 1) as f64 > most(0.1, known * 10), "{known}");
            assert!(known as f64 <= most(1.0, known), "{known}");
        }
    }
}
