//! What an operator sees of the loop, and does to it.

use meshguard_core::SpiffeId;
use meshguard_core::baseline::{EdgeKey, Score, SnapshotError, Window};
use meshguard_core::control::{
    ChangeError, Incident, IncidentId, PlannedChange, Restriction, Unconfirmed,
};

use super::Mesh;
use crate::clock::steady;
use crate::control::shown;
use crate::decision::cut;
use crate::expect::ExpectationStatus;
use crate::shadow::ShadowStatus;

/// An edge of this service as the loop last saw it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EdgeStatus {
    /// Which.
    pub edge: EdgeKey,
    /// Its last window.
    pub window: Window,
    /// How far that was from normal.
    pub score: Score,
    /// Of its answers, the share that nobody confirmed because the callers had left.
    pub unconfirmed: Unconfirmed,
    /// How far the edge is trusted, 0 to 1.
    pub trust: f32,
    /// What is in force on it.
    pub restriction: Option<Restriction>,
}

impl Mesh {
    /// The edges that are measured, by their keys.
    #[must_use]
    pub fn edges(&self) -> Vec<EdgeStatus> {
        let turning = self.0.engine.lock();
        let (control, offset) = (turning.state.control(), turning.offset);
        let mut edges: Vec<_> = turning
            .state
            .readings()
            .map(|(edge, reading)| EdgeStatus {
                edge: edge.clone(),
                window: shown::window(reading.window, offset),
                score: reading.score.clone(),
                unconfirmed: reading.unconfirmed,
                trust: control.trust(edge),
                restriction: control
                    .restriction(edge)
                    .map(|asked| shown::restriction(*asked, offset)),
            })
            .collect();
        drop(turning);
        edges.sort_unstable_by(|a, b| a.edge.cmp(&b.edge));
        edges
    }

    /// What shadow rules would have decided, by their names: those that have matched anything.
    #[must_use]
    pub fn shadow(&self) -> Vec<ShadowStatus> {
        self.0.shadows.status()
    }

    /// What the policy expects and how far it has come, in the order of the document.
    #[must_use]
    pub fn expectations(&self) -> Vec<ExpectationStatus> {
        self.0.expectations.status(self.0.engine.lock().offset)
    }

    /// How far `caller` is trusted, 0 to 1, as policy reads it.
    #[must_use]
    pub fn trust(&self, caller: &SpiffeId) -> f32 {
        let edge = EdgeKey::Caller(caller.clone());
        self.0.engine.lock().state.control().trust(&edge)
    }

    /// Calls and handshakes that were measured nowhere, for want of places: see
    /// `docs/operations.md`.
    #[must_use]
    pub fn blind(&self) -> u64 {
        self.0.engine.blind()
    }

    /// The incidents: those that are open, then those that are over, the newest first.
    #[must_use]
    pub fn incidents(&self) -> Vec<Incident> {
        let turning = self.0.engine.lock();
        let all = turning.state.control().incidents().cloned();
        all.map(|incident| shown::incident(incident, turning.offset)).collect()
    }

    /// Says that an incident was a true one: what its edge showed during it is not taken for
    /// normal. `None`: no such incident is known any more.
    pub fn confirm(&self, id: IncidentId) -> Option<Incident> {
        let confirmed =
            self.operate("confirm", &id.to_string(), |state| state.confirm(id, steady()));
        confirmed.map(|incident| shown::incident(incident, self.0.engine.lock().offset))
    }

    /// Says that an incident was none: it ends, its actions are lifted, trust is given back, and
    /// what stood out does not stand out there again. `None`: no such incident is known any more.
    pub fn false_alarm(&self, id: IncidentId) -> Option<Incident> {
        let ended =
            self.operate("false-alarm", &id.to_string(), |state| state.false_alarm(id, steady()));
        ended.map(|incident| shown::incident(incident, self.0.engine.lock().offset))
    }

    /// Expects a change: a release, a batch, a load test. Until it ends, a departure of what it
    /// names needs 6 bits more for an incident, which only tells; nothing is learnt meanwhile; and
    /// what still departs at its end is judged at once. `by` says who expects it, and why; it goes to
    /// the ledger.
    ///
    /// # Errors
    /// Where it is not one that can be expected, or [`MAX_CHANGES`] were within a day.
    ///
    /// [`MAX_CHANGES`]: meshguard_core::control::MAX_CHANGES
    pub fn expect_change(&self, change: PlannedChange, by: &str) -> Result<(), ChangeError> {
        let told = cut(format!("{by}: {change}"));
        self.0.engine.lock().state.expect_change(change, steady())?;
        self.operate("expect-change", &told, |_| ());
        Ok(())
    }

    /// Lifts all that is in force on an edge.
    pub fn release(&self, edge: &EdgeKey) {
        self.operate("release", &edge.to_string(), |state| state.release(edge, steady()));
    }

    /// The kill switch: lifts all that the loop has put into force. It goes on measuring and
    /// telling; nothing takes effect until [`thaw`](Self::thaw).
    pub fn freeze(&self) {
        self.operate("freeze", self.id().as_str(), |state| state.freeze(steady()));
    }

    /// Actions take effect again.
    pub fn thaw(&self) {
        self.operate("thaw", self.id().as_str(), |state| state.thaw(steady()));
    }

    /// Whether the kill switch is on.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.0.engine.lock().state.control().is_frozen()
    }

    /// All that was learnt of what is normal, to be kept and given to
    /// [`restore_baselines`](Self::restore_baselines) after a restart.
    #[must_use]
    pub fn baselines(&self) -> Vec<u8> {
        self.0.engine.lock().state.baselines().snapshot()
    }

    /// Goes on from what was learnt before.
    ///
    /// # Errors
    /// Where the snapshot is damaged or of another version; then nothing changes.
    pub fn restore_baselines(&self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        self.0.engine.lock().state.baselines_mut().restore(snapshot)
    }
}
