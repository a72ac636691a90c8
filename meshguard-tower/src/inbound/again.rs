//! A request that was let in, judged again while it is open.

use std::sync::Arc;

use http::StatusCode;
use meshguard_core::Policy;
use meshguard_core::policy::DeliveryMode;

use super::claim::{NotCarried, may_carry};
use super::denied::{Asked, Denied};
use super::ending::{Part, Running};
use super::exchange::Exchange;
use crate::clock::reached;
use crate::error::{DeliveryError, DeliveryErrorKind};
use crate::mesh::Mesh;
use crate::rejudge::Change;

/// Why a request that was let in would not be now.
pub(crate) struct Lost {
    /// It is policy that denies it, and not the loop, nor its caller's certificate.
    pub(crate) by_policy: bool,
    reason: String,
}

impl Lost {
    fn by_policy(reason: impl Into<String>) -> Self {
        Self { by_policy: true, reason: reason.into() }
    }

    fn otherwise(reason: impl Into<String>) -> Self {
        Self { by_policy: false, reason: reason.into() }
    }
}

/// Lets a request in, for as long as it may be: it is open until the last of its parts is gone.
/// `epoch` was read before it was judged; what has changed since then may have missed it.
pub(super) fn open(exchange: &Arc<Exchange>, epoch: u64) -> Result<Running, Denied> {
    let (state, running) = (&exchange.mesh.0.rejudge, Running::new(exchange, Part::Call));
    #[cfg(test)]
    state.faults.meanwhile();
    // One place for one request, taken once.
    let _ = exchange.place.set(state.streams.insert(exchange));
    #[cfg(test)]
    {
        if state.faults.forgets() {
            exchange.gone();
        }
        if state.faults.looks_once() {
            return Ok(running);
        }
    }
    if state.epoch() == epoch {
        return Ok(running);
    }
    exchange.judge_again(&exchange.mesh).map(|()| running).map_err(|lost| {
        let denied = Denied::new(StatusCode::FORBIDDEN, "denied by policy", "denied");
        denied.because(&lost.reason)
    })
}

impl Exchange {
    /// Whether it would be let in now, by its head's facts.
    pub(crate) fn judge_again(&self, mesh: &Mesh) -> Result<(), Lost> {
        if self.proven.as_ref().is_some_and(|proven| proven.session.is_withdrawn()) {
            return Err(Lost::otherwise("its caller was cut off"));
        }
        let (overlay, caller) = (mesh.0.gate.overlay(), self.principal.id());
        let holds = overlay.holds_caller(caller, self.evidence, self.via.is_none());
        holds.map_err(|stopped| Lost::otherwise(stopped.to_string()))?;
        let policy = mesh.policy();
        let Some(access) = self.access(&policy, reached()) else {
            return Err(Lost::by_policy("policy reads headers of it that were not kept"));
        };
        let decision = policy.decide_served(&access.trust(overlay.trust(caller)));
        if !decision.is_allowed() {
            return Err(Lost::by_policy(decision.reason().to_string()));
        }
        self.delivers_as(&policy, decision.delivery().mode).map_err(Lost::by_policy)
    }

    /// What the edge's delivery demands of it.
    fn delivers_as(&self, policy: &Policy, mode: DeliveryMode) -> Result<(), &'static str> {
        match &self.proven {
            Some(proven) => may_carry(&self.connection, policy, &self.mesh, &proven.session)
                .map_err(NotCarried::as_str),
            None if mode == DeliveryMode::Off => Ok(()),
            None if policy.is_hop(self.connection.peer().id()) => {
                Err("a hop's request carries no proof of its caller")
            }
            None if mode == DeliveryMode::Require => Err("delivery is to be proved"),
            None => Ok(()),
        }
    }

    /// Ends it, where it would not be let in now.
    pub(crate) fn end_if_denied(self: &Arc<Self>, mesh: &Mesh, change: &Arc<Change>) {
        if let Err(lost) = self.judge_again(mesh) {
            self.end(mesh, change, lost);
        }
    }

    /// Ends it: both its bodies fail, and what became of it can be looked up.
    pub(crate) fn end(self: &Arc<Self>, mesh: &Mesh, change: &Arc<Change>, lost: Lost) {
        let id = mesh.decision_id();
        if !self.ending.end(change, id) {
            return;
        }
        change.has_ended_stream();
        // Its own end may have been quicker.
        let _ = self.failure.set(DeliveryError::new(DeliveryErrorKind::Withdrawn, 0, None));
        Asked::under_way(self, &mesh.policy()).ended(id, lost.reason);
    }

    /// Whether it is to be cut off.
    pub(crate) fn is_ended(&self) -> bool {
        let withdrawn = || self.proven.as_ref().is_some_and(|p| p.session.is_withdrawn());
        self.ending.is_ended() || withdrawn()
    }

    /// Its last part is gone.
    pub(super) fn gone(&self) {
        if let Some(place) = self.place.get() {
            self.mesh.0.rejudge.streams.remove(*place);
        }
    }
}
