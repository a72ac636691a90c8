//! What attackers do, and what fails.

use std::net::IpAddr;

use super::{Caller, Hop, Service};

/// Something that departs from normal, until [`Sim::end`](super::Sim::end) ends it. Shares are
/// from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Attack(pub(super) Deed);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    Errors { caller: Caller, share: f64 },
    Rate { caller: Caller, factor: f64 },
    Silence { caller: Caller },
    Unconfirmed { caller: Caller, share: f64 },
    Forges { caller: Caller, share: f64 },
    Calls { caller: Caller, operation: String, rate: f64 },
    Stolen { caller: Caller, from: IpAddr },
    Handshakes { service: Service, from: IpAddr, rate: f64 },
    Sick { service: Service, share: f64 },
    Slow { service: Service, factor: f64 },
    Truncates { hop: Hop, share: f64 },
}

impl Attack {
    /// A share of the caller's calls fails by its own fault.
    #[must_use]
    pub const fn errors(caller: Caller, share: f64) -> Self {
        Self(Deed::Errors { caller, share })
    }

    /// The caller calls so many times as often.
    #[must_use]
    pub const fn rate(caller: Caller, factor: f64) -> Self {
        Self(Deed::Rate { caller, factor })
    }

    /// The caller stops calling.
    #[must_use]
    pub const fn silence(caller: Caller) -> Self {
        Self(Deed::Silence { caller })
    }

    /// The caller does not confirm a share of the answers. Their receipts are missed when they
    /// are overdue, ten seconds later.
    #[must_use]
    pub const fn unconfirmed(caller: Caller, share: f64) -> Self {
        Self(Deed::Unconfirmed { caller, share })
    }

    /// A share of the caller's requests is not what it proved: on a direct connection a hard
    /// signal; through a hop it may have been the hop.
    #[must_use]
    pub const fn forges(caller: Caller, share: f64) -> Self {
        Self(Deed::Forges { caller, share })
    }

    /// The caller also calls another operation, so many times a second: one outside of intent.
    #[must_use]
    pub fn calls(caller: Caller, operation: &str, rate: f64) -> Self {
        Self(Deed::Calls { caller, operation: operation.to_owned(), rate })
    }

    /// Somebody has the caller's credential, and calls in its name from another address: in all
    /// there are three times as many calls, and the stolen ones have ten times the bytes.
    #[must_use]
    pub fn stolen(caller: Caller, from: impl Into<IpAddr>) -> Self {
        Self(Deed::Stolen { caller, from: from.into() })
    }

    /// So many handshakes a second from an address, all of which fail.
    #[must_use]
    pub fn handshakes(service: Service, from: impl Into<IpAddr>, rate: f64) -> Self {
        Self(Deed::Handshakes { service, from: from.into(), rate })
    }

    /// The service fails a share of the calls that it lets in (500).
    #[must_use]
    pub const fn sick(service: Service, share: f64) -> Self {
        Self(Deed::Sick { service, share })
    }

    /// The service takes so many times as long for each call.
    #[must_use]
    pub const fn slow(service: Service, factor: f64) -> Self {
        Self(Deed::Slow { service, factor })
    }

    /// The hop cuts a share of the calls through it short: half of them on the way there, half
    /// on the way back.
    #[must_use]
    pub const fn truncates(hop: Hop, share: f64) -> Self {
        Self(Deed::Truncates { hop, share })
    }

    /// By whom it is, where that is a caller.
    pub(super) const fn caller(&self) -> Option<Caller> {
        match self.0 {
            Deed::Errors { caller, .. }
            | Deed::Rate { caller, .. }
            | Deed::Silence { caller }
            | Deed::Unconfirmed { caller, .. }
            | Deed::Forges { caller, .. }
            | Deed::Calls { caller, .. }
            | Deed::Stolen { caller, .. } => Some(caller),
            Deed::Handshakes { .. }
            | Deed::Sick { .. }
            | Deed::Slow { .. }
            | Deed::Truncates { .. } => None,
        }
    }
}
