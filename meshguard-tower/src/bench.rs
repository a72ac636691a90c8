//! For the benches of this workspace: what a call pays to be measured, by itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use meshguard_core::baseline::{EdgeKey, Window};
use meshguard_core::{Evidence, SpiffeId, Timestamp};

use crate::control::Gate;
use crate::observe::{Measured, Tally};

/// The counters of one edge.
pub struct Observer(Arc<Tally>);

impl Observer {
    /// Of a caller.
    #[must_use]
    pub fn new(caller: SpiffeId) -> Self {
        Self(Arc::new(Tally::new(EdgeKey::Caller(caller))))
    }

    /// One call that was answered.
    pub fn call(&self, latency: Duration, request_bytes: u64, response_bytes: u64) {
        let latency = Some(latency);
        let call = Measured { latency, request_bytes, response_bytes, ..Measured::default() };
        self.0.call(&Measured { receipt: true, ..call });
    }

    /// Closes a window.
    #[must_use]
    pub fn take(&self, start: Timestamp, end: Timestamp) -> Window {
        self.0.take(start, end)
    }
}

/// What every call asks before policy, while nothing is in force.
#[derive(Default)]
pub struct Calm(Gate);

impl Calm {
    /// Whether a call is let in.
    #[must_use]
    pub fn admits(&self, caller: &SpiffeId) -> bool {
        self.0.overlay().admits_caller(caller, Evidence::Verified, true).is_ok()
    }

    /// Whether a connection is.
    #[must_use]
    pub fn admits_address(&self, source: IpAddr) -> bool {
        self.0.overlay().admits_address(source).is_ok()
    }
}
