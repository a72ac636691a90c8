//! The edges that were measured of late: how many peers and instances there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::incident::IncidentId;
use super::measure::is_still;
use super::siblings::{Move, Shares, Waiting};
use super::told::Told;
use crate::baseline::{EdgeKey, Feature, Score};
use crate::identity::SpiffeId;
use crate::time::Timestamp;

/// The most edges of one kind that are known at a time. Beyond, the one that was scored longest
/// ago and has no open incident gives way.
pub const MAX_EDGES: usize = 4_096;
/// How long an edge is known after the last window in which something came through.
pub const KNOWN_FOR: Duration = Duration::from_secs(3_600);

/// What is known of one edge.
#[derive(Debug, Default)]
pub(super) struct Edge {
    /// When something last came through; `None`: it is not measured, or was never seen alive, and
    /// does not count as known.
    scored: Option<Timestamp>,
    pub(super) seen: u64,
    /// Whom an action on an address concerns: the most of the last hour.
    peers: u32,
    peers_at: Timestamp,
    /// Its open incidents.
    pub(super) cases: Vec<IncidentId>,
    /// For each reflex of the plan, since when its signal holds.
    pub(super) holding: Vec<Option<Timestamp>>,
    rests: Vec<Rest>,
    /// What was told of it.
    pub(super) told: Vec<Told>,
    /// Its last window.
    pub(super) moved: Option<Move>,
    /// A window that waits for those of its siblings.
    pub(super) waiting: Option<Waiting>,
    /// The shared incident that it was listed in last.
    pub(super) joined: Option<IncidentId>,
    /// What it departed in with its siblings.
    pub(super) shares: Option<Shares>,
    /// Whether most of what it answered in its last window were errors, or it was cut off since.
    pub(super) failing: bool,
}

/// A reflex that is not to act on an edge again so soon.
#[derive(Debug)]
struct Rest {
    reflex: Arc<str>,
    until: Timestamp,
    /// Not even on a hard signal: an operator wants it so.
    firm: bool,
}

impl Edge {
    /// Whether a reflex rests here.
    pub(super) fn rests(&self, reflex: &str, hard: bool, now: Timestamp) -> bool {
        self.rests.iter().any(|r| &*r.reflex == reflex && now < r.until && (r.firm || !hard))
    }

    pub(super) fn rest(&mut self, reflex: &Arc<str>, until: Timestamp, firm: bool) {
        self.rests.retain(|rest| rest.reflex != *reflex);
        self.rests.push(Rest { reflex: Arc::clone(reflex), until, firm });
    }
}

#[derive(Debug, Default)]
pub(super) struct Edges {
    known: BTreeMap<EdgeKey, Edge>,
    /// Scores and signals of edges that found no place.
    pub(super) unplaced: u64,
    /// Whether an instance gave way since this was last looked at.
    pub(super) evicted: bool,
}

impl Edges {
    /// Takes a score up; `false`: the edge found no place.
    pub(super) fn record(&mut self, edge: &EdgeKey, score: &Score, now: Timestamp) -> bool {
        let Some(known) = self.place(edge) else { return false };
        if !is_still(score) {
            known.scored = Some(now);
        }
        known.moves(score, now);
        let errors = score.measure(Feature::Errors);
        if errors.observed {
            known.failing = errors.value > 0.5;
        }
        known.seen = known.seen.max(score.seen);
        if score.peers >= known.peers || now.since(known.peers_at) > KNOWN_FOR {
            (known.peers, known.peers_at) = (score.peers, now);
        }
        true
    }

    /// The edge's place, made where there is none.
    pub(super) fn place(&mut self, edge: &EdgeKey) -> Option<&mut Edge> {
        if !self.known.contains_key(edge) && !self.make_room(edge) {
            self.unplaced += 1;
            return None;
        }
        Some(self.known.entry(edge.clone()).or_default())
    }

    fn make_room(&mut self, edge: &EdgeKey) -> bool {
        if self.known.len() < MAX_EDGES {
            return true; // not even all kinds together
        }
        let of_kind = || self.known.iter().filter(|(key, _)| key.kind() == edge.kind());
        if of_kind().count() < MAX_EDGES {
            return true;
        }
        let idle = of_kind().filter(|(_, known)| known.cases.is_empty());
        let Some(oldest) = idle.min_by_key(|(_, known)| known.scored).map(|(key, _)| key.clone())
        else {
            return false;
        };
        self.known.remove(&oldest);
        self.evicted |= matches!(oldest, EdgeKey::Callee { .. });
        true
    }

    pub(super) fn get(&self, edge: &EdgeKey) -> Option<&Edge> {
        self.known.get(edge)
    }

    pub(super) fn get_mut(&mut self, edge: &EdgeKey) -> Option<&mut Edge> {
        self.known.get_mut(edge)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// It is not measured any more.
    pub(super) fn forget(&mut self, edge: &EdgeKey) {
        let Some(known) = self.known.get_mut(edge) else { return };
        known.scored = None;
        if known.cases.is_empty() && known.rests.is_empty() {
            self.known.remove(edge);
        }
    }

    /// Drops what was not scored for long. What has an open incident stays.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.known.retain(|_, known| {
            known.rests.retain(|rest| now < rest.until);
            known.told.retain(|told| told.is_remembered(now));
            let fresh = known.scored.is_some_and(|at| now.since(at) <= KNOWN_FOR);
            let concerns = known.peers > 0 && now.since(known.peers_at) <= KNOWN_FOR;
            fresh || concerns || !known.cases.is_empty() || !known.rests.is_empty()
        });
        for known in self.known.values_mut() {
            let stale = known.scored.is_some_and(|at| now.since(at) > KNOWN_FOR);
            if stale && known.cases.is_empty() {
                known.scored = None;
            }
        }
    }

    /// Forgets since when signals hold: the plan's reflexes are others.
    pub(super) fn forget_signals(&mut self) {
        for known in self.known.values_mut() {
            known.holding.clear();
            known.told.clear();
            known.waiting = None;
        }
    }

    /// How many callers are known.
    pub(super) fn callers(&self) -> u64 {
        // Callers are the first kind in the order of keys.
        let callers = self.known.iter().take_while(|(key, _)| matches!(key, EdgeKey::Caller(_)));
        callers.filter(|(_, known)| known.scored.is_some()).count() as u64
    }

    pub(super) fn is_scored(&self, edge: &EdgeKey) -> bool {
        self.known.get(edge).is_some_and(|known| known.scored.is_some())
    }

    /// The instances of a callee that answer, and not with errors for the most part: those that
    /// stay when others are cut off.
    pub(super) fn healthy(&self, of: &SpiffeId, now: Timestamp) -> impl Iterator<Item = &EdgeKey> {
        let answers = move |known: &Edge| {
            known.scored.is_some()
                && !known.failing
                && known.moved.as_ref().is_some_and(|moved| moved.is_alive(now))
        };
        self.instances(of).filter(move |(_, known)| answers(known)).map(|(key, _)| key)
    }

    /// When the first of them counts as gone, if it does not answer before.
    pub(super) fn first_gone(&self, of: &SpiffeId, now: Timestamp) -> Option<Timestamp> {
        let healthy = self.healthy(of, now).filter_map(|edge| self.get(edge)?.moved.as_ref());
        healthy.map(Move::alive_until).min()
    }

    fn instances<'e>(&'e self, of: &SpiffeId) -> impl Iterator<Item = (&'e EdgeKey, &'e Edge)> {
        let first = EdgeKey::Callee { id: of.clone(), instance: Box::default() };
        let of = of.clone();
        let ours = move |key: &EdgeKey| matches!(key, EdgeKey::Callee { id, .. } if *id == of);
        self.known.range(first..).take_while(move |(key, _)| ours(key))
    }

    /// The other edges that share with this one what may fail them all: the callers of this
    /// service, or the instances of a callee.
    pub(super) fn siblings<'e>(
        &'e self,
        edge: &'e EdgeKey,
    ) -> Box<dyn Iterator<Item = (&'e EdgeKey, &'e Edge)> + 'e> {
        let others = move |(key, _): &(&EdgeKey, &Edge)| *key != edge;
        match edge {
            EdgeKey::Caller(_) => {
                let caller = |key: &EdgeKey| matches!(key, EdgeKey::Caller(_));
                Box::new(self.known.iter().take_while(move |(key, _)| caller(key)).filter(others))
            }
            EdgeKey::Callee { id, .. } => Box::new(self.instances(id).filter(others)),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// How many callers an action on this edge concerns, of those that `max_share` counts.
    pub(super) fn concerns(&self, edge: &EdgeKey) -> u64 {
        match edge {
            EdgeKey::Caller(_) => 1,
            EdgeKey::Address(_) => match self.known.get(edge).map_or(0, |known| known.peers) {
                // A hop: nobody knows how many stand behind it.
                u32::MAX => self.callers(),
                peers => peers.into(),
            },
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_000_000);

    fn score(peers: u32) -> Score {
        let score = Score { bits: 1.0, windows_per_day: 86_400.0, ..Score::default() };
        Score { seen: 1, peers, ..score }
    }

    fn address(n: u32) -> EdgeKey {
        EdgeKey::Address(std::net::Ipv4Addr::from(n).into())
    }

    #[test]
    fn addresses_crowd_out_addresses_and_nobody_else() {
        let caller = EdgeKey::Caller(SpiffeId::from_static("spiffe://a/c"));
        let mut edges = Edges::default();
        assert!(edges.record(&caller, &score(0), NOW));
        edges.place(&address(0)).unwrap().cases.push(IncidentId(1));
        for n in 1..MAX_EDGES as u32 + 50 {
            assert!(edges.record(&address(n), &score(0), NOW + Duration::from_secs(n.into())));
        }
        assert_eq!(edges.known.len(), MAX_EDGES + 1);
        assert!(edges.get(&caller).is_some() && edges.get(&address(0)).is_some());
        assert!(edges.get(&address(1)).is_none());
        assert_eq!((edges.callers(), edges.unplaced), (1, 0));
    }

    #[test]
    fn where_every_place_has_an_incident_the_rest_is_counted() {
        let mut edges = Edges::default();
        for n in 0..MAX_EDGES as u32 {
            edges.place(&address(n)).unwrap().cases.push(IncidentId(n.into()));
        }
        assert!(!edges.record(&address(u32::MAX), &score(0), NOW));
        assert_eq!((edges.known.len(), edges.unplaced), (MAX_EDGES, 1));
    }

    #[test]
    fn an_edge_is_known_for_an_hour_after_its_last_score() {
        let caller = EdgeKey::Caller(SpiffeId::from_static("spiffe://a/c"));
        let mut edges = Edges::default();
        edges.record(&caller, &score(0), NOW);
        edges.sweep(NOW + KNOWN_FOR);
        assert_eq!(edges.callers(), 1);
        edges.sweep(NOW + KNOWN_FOR + Duration::from_secs(1));
        assert!(edges.is_empty());
    }

    #[test]
    fn windows_without_a_call_do_not_keep_an_edge_known() {
        let instance =
            EdgeKey::Callee { id: SpiffeId::from_static("spiffe://a/x"), instance: "1".into() };
        let mut edges = Edges::default();
        edges.record(&instance, &score(0), NOW);
        let still = Score { bits: 0.0, silence: 40.0, ..score(0) };
        edges.record(&instance, &still, NOW + KNOWN_FOR);
        assert!(edges.is_scored(&instance));
        edges.sweep(NOW + KNOWN_FOR + Duration::from_secs(1));
        assert!(!edges.is_scored(&instance));
    }

    #[test]
    fn an_address_concerns_the_most_callers_of_the_last_hour() {
        let mut edges = Edges::default();
        edges.record(&address(1), &score(7), NOW);
        edges.record(&address(1), &score(0), NOW + KNOWN_FOR);
        assert_eq!(edges.concerns(&address(1)), 7);
        edges.record(&address(1), &score(0), NOW + KNOWN_FOR + Duration::from_secs(1));
        assert_eq!(edges.concerns(&address(1)), 0);
    }
}
