//! What a run has shown: all that the judge goes by.

use std::time::{Duration, Instant};

use crate::shape::{Callee, Lane, Shape, Side};

/// Everything that a run has shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// By side and shape.
    pub(crate) counts: [[Tally; Shape::COUNT]; 2],
    /// The calls that failed, as far as there was room for them.
    pub(crate) failed: Vec<Failed>,
    /// Failed calls beyond that room.
    pub(crate) failed_beyond: u64,
    pub(crate) restarts: Vec<Restart>,
    /// Calls that handlers saw more than once.
    pub(crate) repeated: Vec<Repeated>,
    pub(crate) findings: Vec<Found>,
    pub(crate) edges: Vec<Edge>,
    /// Incidents that did more than alert, in words.
    pub(crate) acted: Vec<String>,
    /// Incidents that alerted, in words.
    pub(crate) alerts: Vec<String>,
    /// Resident memory over time, in bytes.
    pub(crate) memory: Vec<(Duration, u64)>,
    pub(crate) books: Vec<Books>,
}

/// How the calls of one shape ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) whole: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
}

impl Tally {
    pub(crate) fn all(self) -> u64 {
        self.whole + self.failed + self.cancelled
    }
}

/// A call that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) lane: Lane,
    pub(crate) shape: Shape,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    /// No call of its channel that began after the callee's last restart had ended when it began.
    pub(crate) first: bool,
    pub(crate) why: String,
}

/// A callee was away: from its end, or the signal to drain, until its next instance listened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restart {
    pub(crate) side: Side,
    pub(crate) callee: Callee,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    /// When the instance that it replaced had ended, its last connection included.
    pub(crate) gone: Option<Instant>,
}

/// A call that handlers saw more than once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeated {
    pub(crate) side: Side,
    pub(crate) id: u64,
    pub(crate) times: u8,
}

/// Findings of one name.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) at: &'static str,
    pub(crate) inbound: bool,
    pub(crate) name: String,
    pub(crate) times: u64,
    /// The first one, in words.
    pub(crate) example: String,
}

/// An edge as a mesh had it at its end.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) at: &'static str,
    pub(crate) edge: String,
    pub(crate) trust: f32,
    /// What it began with.
    pub(crate) start: f32,
    pub(crate) restricted: bool,
}

/// Books, when their mesh was at its end.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) at: &'static str,
    pub(crate) text: String,
    pub(crate) balance: bool,
}
