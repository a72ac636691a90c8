//! What a caller does when nobody attacks.

use std::net::IpAddr;
use std::time::Duration;

use meshguard_core::{Access, Evidence, SpiffeId, Timestamp};

use super::error::SimError;
use super::{Hop, Service};

/// A caller's calls: how many, of what sort, and on which way.
///
/// Without anything else said: 100 calls a second that arrive independently of each other, of
/// 5 ms in the median, with 200 bytes there and 1,000 bytes back, none of which fails; direct,
/// from an address of the caller's own, with a new connection every minute.
#[derive(Clone, Debug)]
pub struct Load {
    pub(super) targets: Vec<Service>,
    pub(super) operation: String,
    pub(super) rate: f64,
    pub(super) daily: f64,
    pub(super) weekend: f64,
    pub(super) regular: bool,
    pub(super) latency: (Duration, f64),
    pub(super) bytes: (u64, u64),
    pub(super) errors: f64,
    pub(super) via: Option<Hop>,
    pub(super) from: Option<IpAddr>,
    pub(super) evidence: Evidence,
    pub(super) streams: u64,
    pub(super) reconnect: Duration,
    pub(super) retries: f64,
}

impl Load {
    /// Calls of `operation`, `GET /orders/7` or `/shop.v1.Orders/Get` (gRPC), to a service.
    #[must_use]
    pub fn new(to: Service, operation: &str) -> Self {
        Self {
            targets: vec![to],
            operation: operation.to_owned(),
            rate: 100.0,
            daily: 1.0,
            weekend: 1.0,
            regular: false,
            latency: (Duration::from_millis(5), 0.5),
            bytes: (200, 1_000),
            errors: 0.0,
            via: None,
            from: None,
            evidence: Evidence::Verified,
            streams: 0,
            reconnect: Duration::from_secs(60),
            retries: 0.0,
        }
    }

    /// Another instance of the callee: each call goes to one of them at random.
    #[must_use]
    pub fn and(mut self, instance: Service) -> Self {
        self.targets.push(instance);
        self
    }

    /// Calls a second.
    #[must_use]
    pub fn rate(mut self, rate: f64) -> Self {
        self.rate = rate.max(0.0);
        self
    }

    /// So many times as often at noon (UTC) as in the mean of the day, and as seldom at midnight.
    #[must_use]
    pub fn daily(mut self, factor: f64) -> Self {
        self.daily = factor.max(f64::MIN_POSITIVE);
        self
    }

    /// So many times as often on Saturdays and Sundays (UTC).
    #[must_use]
    pub fn weekend(mut self, factor: f64) -> Self {
        self.weekend = factor.max(0.0);
        self
    }

    /// Calls arrive at even intervals, and not independently of each other (Poisson).
    #[must_use]
    pub fn regular(mut self) -> Self {
        self.regular = true;
        self
    }

    /// Latencies are log-normal: their median, and the standard deviation of their logarithm.
    #[must_use]
    pub fn latency(mut self, median: Duration, spread: f64) -> Self {
        self.latency = (median, spread);
        self
    }

    /// Mean bytes of a request's body and of an answer's; sizes are log-normal.
    #[must_use]
    pub fn bytes(mut self, request: u64, response: u64) -> Self {
        self.bytes = (request, response);
        self
    }

    /// The share of calls, 0 to 1, that fail by the caller's own fault (404, say).
    #[must_use]
    pub fn errors(mut self, share: f64) -> Self {
        self.errors = share;
        self
    }

    /// The calls come through a hop.
    #[must_use]
    pub fn via(mut self, hop: Hop) -> Self {
        self.via = Some(hop);
        self
    }

    /// The address that the caller connects from. Several may share one.
    #[must_use]
    pub fn from(mut self, address: impl Into<IpAddr>) -> Self {
        self.from = Some(address.into());
        self
    }

    /// How completely a request's delivery is proved. Else [`Evidence::Verified`].
    #[must_use]
    pub fn evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }

    /// So many streams are held open beside the calls.
    #[must_use]
    pub fn streams(mut self, count: u64) -> Self {
        self.streams = count;
        self
    }

    /// A call that the callee fails is made again with this probability, each time it fails.
    #[must_use]
    pub fn retries(mut self, probability: f64) -> Self {
        self.retries = probability.clamp(0.0, 0.99);
        self
    }

    /// How long a connection lasts.
    #[must_use]
    pub fn reconnect(mut self, every: Duration) -> Self {
        self.reconnect = every;
        self
    }
}

impl Load {
    /// What multiplies the rate at this time of the day, on this day of the week.
    pub(super) fn of_day(&self, now: Timestamp) -> f64 {
        let days = now.as_unix_secs() / 86_400;
        // The first of January 1970 was a Thursday.
        let of_week = if (days + 3) % 7 >= 5 { self.weekend } else { 1.0 };
        if self.daily == 1.0 {
            return of_week;
        }
        let day = now.as_unix_secs() as f64 / 86_400.0;
        of_week * self.daily.powf(-(day * std::f64::consts::TAU).cos())
    }
}

/// What is asked for, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Http { method: String, path: String },
    Grpc { path: String },
}

impl Operation {
    pub(super) fn parse(text: &str) -> Result<Self, SimError> {
        match text.split_once(' ') {
            Some((method, path)) if !method.is_empty() && path.starts_with('/') => {
                Ok(Self::Http { method: method.to_owned(), path: path.to_owned() })
            }
            None if text.starts_with('/') => Ok(Self::Grpc { path: text.to_owned() }),
            _ => Err(SimError::Operation(text.to_owned())),
        }
    }

    /// What is asked of policy, as the layer asks it.
    pub(super) fn access<'a>(
        &'a self,
        caller: &'a SpiffeId,
        callee: &'a SpiffeId,
        via: Option<&'a SpiffeId>,
        evidence: Evidence,
    ) -> Access<'a> {
        let access = match self {
            Self::Http { method, path } => Access::http(method, path),
            Self::Grpc { path } => Access::grpc(path),
        };
        let access = access.to(callee).by(caller).evidence(evidence);
        match via {
            Some(hop) => access.via(hop),
            None => access.direct(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_a_method_with_a_path_or_a_grpc_path() {
        let (method, path) = ("GET".to_owned(), "/orders/7".to_owned());
        assert_eq!(Operation::parse("GET /orders/7"), Ok(Operation::Http { method, path }));
        let path = "/shop.v1.Orders/Get".to_owned();
        assert_eq!(Operation::parse("/shop.v1.Orders/Get"), Ok(Operation::Grpc { path }));
        for text in ["", "GET", " /orders", "GET orders", "shop.v1.Orders/Get"] {
            assert_eq!(Operation::parse(text), Err(SimError::Operation(text.to_owned())));
        }
    }
}
