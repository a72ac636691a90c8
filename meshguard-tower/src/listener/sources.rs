//! How many handshakes each source has under way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::observe::source;

/// Handshakes under way by source. A source without any has no entry, so that the bound on
/// handshakes bounds the map.
pub(crate) struct Sources {
    limit: usize,
    pending: Mutex<HashMap<IpAddr, usize>>,
}

/// One handshake's place; dropping it frees the place.
pub(crate) struct Place {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Sources {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, pending: Mutex::new(HashMap::new()) })
    }

    /// A place for one more handshake from `addr`, unless its source has all its places taken.
    pub(crate) fn enter(self: &Arc<Self>, addr: IpAddr) -> Option<Place> {
        let source = source(addr);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let count = pending.entry(source).or_insert(0); // at least 1 below: limits are never 0
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { sources: Arc::clone(self), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pending = self.sources.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pending.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                pending.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_has_its_limit_and_no_more_and_leaves_nothing_behind() {
        let sources = Sources::new(2);
        let one = sources.enter(ip("10.0.0.1"));
        let two = sources.enter(ip("::ffff:10.0.0.1"));
        assert!(one.is_some() && two.is_some());
        assert!(sources.enter(ip("10.0.0.1")).is_none());
        assert!(sources.enter(ip("10.0.0.2")).is_some());
        drop(one);
        let again = sources.enter(ip("10.0.0.1"));
        assert!(again.is_some());
        drop((two, again));
        assert!(sources.pending.lock().unwrap().is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let sources = Sources::new(1);
        let _one = sources.enter(ip("2001:db8::1"));
        assert!(sources.enter(ip("2001:db8::ffff:2")).is_none());
        assert!(sources.enter(ip("2001:db8:0:1::1")).is_some());
    }
}
