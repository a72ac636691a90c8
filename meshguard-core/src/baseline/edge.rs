//! What is measured by itself.

use std::fmt;
use std::net::IpAddr;

use crate::identity::SpiffeId;

/// What one service measures by itself, and acts on: one end of an edge, of which the service is
/// the other.
///
/// Only what is authenticated to a peer counts against that peer: a handshake that failed belongs
/// to an [`Address`](Self::Address), what anybody on the path may have done to a
/// [`HopIn`](Self::HopIn), a [`HopOut`](Self::HopOut), or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EdgeKey {
    /// A caller of this service, end to end.
    Caller(SpiffeId),
    /// An instance of a service that this one calls.
    Callee {
        /// The service.
        id: SpiffeId,
        /// Its instance: the name that it gives itself, which is not proved, and what its sessions
        /// prove, by which instances that give themselves the same name are told apart.
        instance: Box<str>,
    },
    /// A hop through which this service is called.
    HopIn(SpiffeId),
    /// A hop through which this service calls.
    HopOut(SpiffeId),
    /// A network address that connects to this service; of IPv6, the /64 network.
    Address(IpAddr),
}

impl EdgeKey {
    /// The name of the kind: `caller`, `callee`, `hop-in`, `hop-out`, `address`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Caller(_) => "caller",
            Self::Callee { .. } => "callee",
            Self::HopIn(_) => "hop-in",
            Self::HopOut(_) => "hop-out",
            Self::Address(_) => "address",
        }
    }

    /// The kind's number, below [`KINDS`](super::baselines::KINDS).
    pub(super) const fn place_of_kind(&self) -> usize {
        match self {
            Self::Caller(_) => 0,
            Self::Callee { .. } => 1,
            Self::HopIn(_) => 2,
            Self::HopOut(_) => 3,
            Self::Address(_) => 4,
        }
    }

    /// The workload at the other end, where there is one.
    #[must_use]
    pub const fn peer(&self) -> Option<&SpiffeId> {
        match self {
            Self::Caller(id) | Self::HopIn(id) | Self::HopOut(id) | Self::Callee { id, .. } => {
                Some(id)
            }
            Self::Address(_) => None,
        }
    }
}

impl fmt::Display for EdgeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller(id) => write!(f, "caller {id}"),
            Self::Callee { id, instance } => write!(f, "callee {id} ({instance})"),
            Self::HopIn(id) => write!(f, "calls through {id}"),
            Self::HopOut(id) => write!(f, "calls out through {id}"),
            Self::Address(addr) => write!(f, "address {addr}"),
        }
    }
}
