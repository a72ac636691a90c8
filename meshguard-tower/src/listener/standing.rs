//! What policy has for a connection's peer, and how often one comes that it has nothing for.

use std::sync::Arc;
use std::time::Duration;

use meshguard_core::policy::{Limit, Per};
use meshguard_core::reflex::Rate;
use meshguard_core::{Policy, SpiffeId};

use super::HandshakeStats;
use crate::connection::Connection;
use crate::mesh::{About, FindingLog};
use crate::quota::Quotas;
use crate::sink::Direction;

/// Connections at once of a peer that policy allows nothing, each of which is told so with a
/// decision's number.
pub(crate) const TURNS_AT_ONCE: u32 = 8;
/// Such connections a second from then on.
pub(crate) const TURNS_PER_SECOND: u32 = 1;

/// What policy has for a peer. Judged when its connection is made and again with every policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may call something here.
    Caller,
    /// It carries others' calls.
    Hop,
    /// Policy allows it nothing here, whatever it asks.
    Nothing,
}

impl Standing {
    pub(crate) fn of(peer: &SpiffeId, here: &SpiffeId, policy: &Policy) -> Self {
        match () {
            () if policy.is_hop(peer) => Self::Hop,
            () if policy.admits(peer, here) => Self::Caller,
            () => Self::Nothing,
        }
    }

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Caller,
            1 => Self::Hop,
            _ => Self::Nothing,
        }
    }
}

/// Judges a peer by the policy of now.
pub(crate) type Judge = Arc<dyn Fn(&SpiffeId) -> Standing + Send + Sync>;

/// Counts the connections of peers that policy allows nothing.
pub(super) struct Turns {
    rates: Quotas,
    log: FindingLog,
    stats: HandshakeStats,
}

impl Turns {
    pub(super) fn new(stats: HandshakeStats) -> Self {
        Self { rates: Quotas::default(), log: FindingLog::default(), stats }
    }

    /// Whether a connection of such a peer is one of those whose request is decided on.
    pub(super) fn take(&self, connection: &Connection) -> bool {
        let rate = Rate { count: TURNS_PER_SECOND, per: Duration::from_secs(1) };
        let limit = Limit { rate, burst: TURNS_AT_ONCE, per: Per::Caller };
        let peer = connection.peer().id();
        if self.rates.take("turned away", limit, peer).is_ok() {
            return true;
        }
        self.stats.count_turned_away();
        let about = About {
            direction: Direction::Inbound,
            peer: peer.as_str().into(),
            via: "".into(),
            name: "turned-away".into(),
        };
        if let Some(others) = self.log.line(&about) {
            tracing::warn!(
                target: "meshguard::handshake",
                { peer.id = peer.as_str(), peer.addr = %connection.remote_addr(), others },
                "policy allows this peer nothing, and it connects again and again"
            );
        }
        false
    }
}
