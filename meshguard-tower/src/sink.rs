//! What the mesh tells its embedder as it happens.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use meshguard_core::control::Event;
use meshguard_core::delivery::Outcome;
use meshguard_core::{Evidence, SpiffeId};

/// Takes what the mesh tells. Called on the call's own path: be quick, never block.
pub trait Sink: Send + Sync + 'static {
    /// A call has been answered.
    fn call(&self, call: &Call<'_>);

    /// Something is wrong, or was refused.
    fn finding(&self, finding: &Finding<'_>);

    /// The loop has taken a step: an incident, an action, a measured effect.
    fn event(&self, event: &Event) {
        let _ = event;
    }
}

/// On which side of a call this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// This service was called.
    Inbound,
    /// This service called.
    Outbound,
}

/// Caller, callee, and the hop between them if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Edge<'a> {
    /// The caller, where it is known.
    pub from: Option<&'a SpiffeId>,
    /// The callee.
    pub to: &'a SpiffeId,
    /// The hop.
    pub via: Option<&'a SpiffeId>,
}

/// One call that has been answered.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// On which side this is.
    pub direction: Direction,
    /// Between whom.
    pub edge: Edge<'a>,
    /// The policy's template for it, inbound; never the raw path.
    pub route: Option<&'a str>,
    /// The answer's status.
    pub status: StatusCode,
    /// Until the answer's head.
    pub latency: Duration,
    /// How complete its delivery is proved to be.
    pub evidence: Evidence,
    /// How it ended, outbound, where that is known with the answer's head.
    pub outcome: Option<Outcome>,
}

/// Something that is wrong, or was refused.
#[derive(Clone, Copy)]
pub struct Finding<'a> {
    /// On which side this is.
    pub direction: Direction,
    /// Between whom.
    pub edge: Edge<'a>,
    /// A short, stable name.
    pub name: &'a str,
    /// In words, [escaped](meshguard_core::escape).
    pub detail: &'a dyn fmt::Display,
}

impl fmt::Debug for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finding")
            .field("direction", &self.direction)
            .field("edge", &self.edge)
            .field("name", &self.name)
            .field("detail", &format_args!("{}", self.detail))
            .finish()
    }
}
