//! Changes that an operator has planned: a release, a batch, a load test.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::Control;
use crate::baseline::{EdgeKey, Feature};
use crate::identity::SpiffeId;
use crate::time::Timestamp;

/// The longest time for which a change can be planned. It cannot be extended: another one counts as
/// one more.
pub const LONGEST_CHANGE: Duration = Duration::from_secs(30 * 60);
/// The most changes that can be planned within a day.
pub const MAX_CHANGES: usize = 6;
/// The most edges that one of them can name.
pub const MAX_CHANGED: usize = 64;

/// So many bits more make a departure that was planned an incident.
const ALLOWANCE: f32 = 6.0;
const DAY: Duration = Duration::from_secs(86_400);

/// A change of load, latency or sizes that is no alarm until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedChange {
    /// Which edges it concerns.
    pub of: Changed,
    /// Which features: rate, latencies, bytes.
    pub features: Vec<Feature>,
    /// How long it lasts, at most [`LONGEST_CHANGE`].
    pub lasts: Duration,
}

/// Which edges a planned change concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// All instances of a callee, also those that are not known yet.
    Callee(SpiffeId),
    /// These, at most [`MAX_CHANGED`].
    Edges(Vec<EdgeKey>),
}

impl fmt::Display for PlannedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for feature in &self.features {
            write!(f, "{}{feature}", std::mem::replace(&mut separator, ", "))?;
        }
        f.write_str(" of ")?;
        match &self.of {
            Changed::Callee(id) => write!(f, "all instances of {id}")?,
            Changed::Edges(edges) => {
                separator = "";
                for edge in edges {
                    write!(f, "{}{edge}", std::mem::replace(&mut separator, ", "))?;
                }
            }
        }
        write!(f, " for {:?}", self.lasts)
    }
}

/// Why a change cannot be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeError {
    /// It names no feature, or no edge.
    Empty,
    /// No change explains this feature: errors, failed handshakes, missing receipts, refusals.
    Feature(Feature),
    /// It lasts longer than [`LONGEST_CHANGE`], or no time at all.
    Lasts(Duration),
    /// It names more than [`MAX_CHANGED`] edges.
    TooManyEdges(usize),
    /// [`MAX_CHANGES`] were planned within a day.
    TooMany,
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a planned change names an edge and a feature at least"),
            Self::Feature(feature) => write!(f, "no planned change explains {feature}"),
            Self::Lasts(lasts) => {
                write!(f, "a planned change lasts up to {LONGEST_CHANGE:?}, and not {lasts:?}")
            }
            Self::TooManyEdges(count) => {
                write!(f, "a planned change names {MAX_CHANGED} edges at most, and not {count}")
            }
            Self::TooMany => write!(f, "{MAX_CHANGES} changes were planned within a day already"),
        }
    }
}

impl std::error::Error for ChangeError {}

impl PlannedChange {
    fn check(&self) -> Result<(), ChangeError> {
        let load = |feature: &Feature| {
            use Feature::{P50, P99, Rate, RequestBytes, ResponseBytes};
            matches!(feature, Rate | P50 | P99 | RequestBytes | ResponseBytes)
        };
        if let Some(feature) = self.features.iter().find(|feature| !load(feature)) {
            return Err(ChangeError::Feature(*feature));
        }
        let edges = match &self.of {
            Changed::Callee(_) => 1,
            Changed::Edges(edges) => edges.len(),
        };
        if edges > MAX_CHANGED {
            return Err(ChangeError::TooManyEdges(edges));
        }
        if self.lasts > LONGEST_CHANGE || self.lasts.is_zero() {
            return Err(ChangeError::Lasts(self.lasts));
        }
        if edges == 0 || self.features.is_empty() { Err(ChangeError::Empty) } else { Ok(()) }
    }

    fn concerns(&self, edge: &EdgeKey) -> bool {
        match (&self.of, edge) {
            (Changed::Callee(of), EdgeKey::Callee { id, .. }) => id == of,
            (Changed::Callee(_), _) => false,
            (Changed::Edges(edges), edge) => edges.contains(edge),
        }
    }
}

/// The changes of the last day.
#[derive(Debug, Default)]
pub(super) struct Changes(VecDeque<(Timestamp, PlannedChange)>);

impl Changes {
    fn now_of(&self, edge: &EdgeKey, now: Timestamp) -> impl Iterator<Item = &PlannedChange> {
        let on = move |(begun, change): &&(Timestamp, PlannedChange)| {
            now.since(*begun) < change.lasts && change.concerns(edge)
        };
        self.0.iter().filter(on).map(|(_, change)| change)
    }

    /// Whether a change of the edge is planned now.
    pub(super) fn concern(&self, edge: &EdgeKey, now: Timestamp) -> bool {
        self.now_of(edge, now).next().is_some()
    }

    /// Whether one is that explains this feature.
    pub(super) fn explain(&self, edge: &EdgeKey, feature: Option<Feature>, now: Timestamp) -> bool {
        let Some(feature) = feature else { return false };
        self.now_of(edge, now).any(|change| change.features.contains(&feature))
    }

    /// What a departure of this feature must have in bits beyond its threshold.
    pub(super) fn allowance(
        &self,
        edge: &EdgeKey,
        feature: Option<Feature>,
        now: Timestamp,
    ) -> f32 {
        if self.explain(edge, feature, now) { ALLOWANCE } else { 0.0 }
    }
}

impl Control {
    /// Expects a change of load, latency or sizes. Until it ends, it takes 6 bits more for an
    /// incident, which only tells; and nothing is learnt of its edges. What still departs then is
    /// judged as always, so what the change leaves behind is told at once.
    ///
    /// # Errors
    /// Where it is not one that can be expected, or [`MAX_CHANGES`] were within a day.
    pub fn expect_change(
        &mut self,
        change: PlannedChange,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        let now = self.tick(now);
        change.check()?;
        let changes = &mut self.changes.0;
        while changes.front().is_some_and(|(begun, _)| now.since(*begun) >= DAY) {
            changes.pop_front();
        }
        if changes.len() >= MAX_CHANGES {
            return Err(ChangeError::TooMany);
        }
        changes.push_back((now, change));
        Ok(())
    }
}
