//! All edges that are measured.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock};

use meshguard_core::baseline::EdgeKey;
use meshguard_core::{SpiffeId, Timestamp};

use super::Tally;
use crate::tls::now;

/// Edges that are measured at a time, at most.
pub(crate) const MAX_EDGES: usize = 4096;
/// Of them, addresses: anybody who can connect makes one.
const MAX_ADDRESSES: usize = MAX_EDGES / 2;
/// Instances of one callee: it names them itself.
pub(crate) const MAX_INSTANCES: usize = 64;

/// The tallies of all edges. Whoever finds no place is measured nowhere, which is counted.
pub(crate) struct Edges {
    known: RwLock<Known>,
    blind: Arc<Tally>,
}

#[derive(Default)]
struct Known {
    tallies: HashMap<EdgeKey, Arc<Tally>>,
    addresses: usize,
    instances: HashMap<SpiffeId, usize>,
}

impl Default for Edges {
    fn default() -> Self {
        let nowhere = EdgeKey::Address(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        Self { known: RwLock::default(), blind: Arc::new(Tally::new(nowhere)) }
    }
}

impl Edges {
    /// The tally of an edge; made where there is none, and where there is a place for it.
    pub(crate) fn get(&self, key: &EdgeKey) -> Arc<Tally> {
        if let Some(tally) = self.find(key) {
            return tally;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = known.tallies.get(key) {
            return Arc::clone(tally); // somebody was faster
        }
        if !known.has_place(key) {
            known.sweep(now());
            if !known.has_place(key) {
                return Arc::clone(&self.blind);
            }
        }
        known.insert(key)
    }

    /// The tally of an edge that has one.
    pub(crate) fn find(&self, key: &EdgeKey) -> Option<Arc<Tally>> {
        self.read(|known| known.tallies.get(key).cloned())
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Tally>> {
        self.read(|known| known.tallies.values().cloned().collect())
    }

    /// What happened on edges that found no place, since this was last asked.
    pub(crate) fn take_blind(&self) -> u64 {
        let start = Timestamp::EPOCH;
        let window = self.blind.take(start, start);
        window.events()
    }

    /// Stops to measure an edge, unless somebody still counts on it.
    pub(crate) fn remove(&self, key: &EdgeKey) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.tallies.get(key).is_some_and(|tally| Arc::strong_count(tally) == 1) {
            known.remove(key);
        }
    }

    /// Whether an edge has a place.
    pub(crate) fn contains(&self, key: &EdgeKey) -> bool {
        self.read(|known| known.tallies.contains_key(key))
    }

    fn read<T>(&self, of: impl FnOnce(&Known) -> T) -> T {
        of(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn has_place(&self, key: &EdgeKey) -> bool {
        let within_quota = match key {
            EdgeKey::Address(_) => self.addresses < MAX_ADDRESSES,
            EdgeKey::Callee { id, .. } => {
                self.instances.get(id).is_none_or(|count| *count < MAX_INSTANCES)
            }
            _ => true,
        };
        within_quota && self.tallies.len() < MAX_EDGES
    }

    fn insert(&mut self, key: &EdgeKey) -> Arc<Tally> {
        match key {
            EdgeKey::Address(_) => self.addresses += 1,
            EdgeKey::Callee { id, .. } => *self.instances.entry(id.clone()).or_default() += 1,
            _ => {}
        }
        let tally = Arc::new(Tally::new(key.clone()));
        self.tallies.insert(key.clone(), Arc::clone(&tally));
        tally
    }

    fn remove(&mut self, key: &EdgeKey) {
        if self.tallies.remove(key).is_none() {
            return;
        }
        match key {
            EdgeKey::Address(_) => self.addresses -= 1,
            EdgeKey::Callee { id, .. } => {
                if let Some(count) = self.instances.get_mut(id) {
                    *count -= 1;
                    if *count == 0 {
                        self.instances.remove(id);
                    }
                }
            }
            _ => {}
        }
    }

    /// Makes room: drops those that nobody counts on, and that have counted nothing. Not an address
    /// from which a peer was authenticated: strangers, who have many, would have it forgotten.
    fn sweep(&mut self, now: Timestamp) {
        let idle = |(_, tally): &(&EdgeKey, &Arc<Tally>)| {
            Arc::strong_count(tally) == 1 && tally.events() == 0 && !tally.is_known(now)
        };
        let idle: Vec<EdgeKey> =
            self.tallies.iter().filter(idle).map(|(key, _)| key.clone()).collect();
        idle.iter().for_each(|key| self.remove(key));
    }
}

/// What an address is measured as: who has one IPv6 address has its /64.
pub(crate) fn source(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Behind;
    use super::*;

    fn address(n: u32) -> EdgeKey {
        EdgeKey::Address(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn one_edge_has_one_tally() {
        let edges = Edges::default();
        edges.get(&address(1)).handshake_failed();
        edges.get(&address(1)).handshake_failed();
        assert_eq!(edges.get(&address(1)).events(), 2);
        assert_eq!((edges.all().len(), edges.take_blind()), (1, 0));
    }

    #[test]
    fn addresses_cannot_take_all_places_and_what_finds_none_is_counted() {
        let edges = Edges::default();
        let held: Vec<_> = (0..MAX_EDGES as u32).map(|n| edges.get(&address(n))).collect();
        assert_eq!(edges.all().len(), MAX_ADDRESSES);
        held.iter().for_each(|tally| tally.handshake_failed());
        assert_eq!(edges.take_blind(), (MAX_EDGES - MAX_ADDRESSES) as u64);
        assert_eq!(edges.take_blind(), 0);
        let caller = SpiffeId::from_static("spiffe://shop.example/checkout");
        let caller = edges.get(&EdgeKey::Caller(caller));
        caller.refused();
        assert_eq!(edges.take_blind(), 0, "a caller has its place");
    }

    #[test]
    fn a_callee_cannot_take_all_places_by_naming_instances() {
        let edges = Edges::default();
        let id = SpiffeId::from_static("spiffe://shop.example/orders");
        let instance =
            |n: usize| EdgeKey::Callee { id: id.clone(), instance: n.to_string().into() };
        let held: Vec<_> = (0..2 * MAX_INSTANCES).map(|n| edges.get(&instance(n))).collect();
        assert_eq!(edges.all().len(), MAX_INSTANCES);
        drop(held);
        edges.get(&instance(1000)).refused();
        assert_eq!((edges.all().len(), edges.take_blind()), (1, 0), "idle ones made room");
    }

    #[test]
    fn however_many_addresses_strangers_have_one_with_a_peer_behind_it_is_not_forgotten() {
        let edges = Edges::default();
        let peer = SpiffeId::from_static("spiffe://shop.example/checkout");
        drop(Behind::new(edges.get(&address(1)), peer, now()));
        for n in 2..2 * MAX_ADDRESSES as u32 {
            edges.get(&address(n));
        }
        assert!(edges.find(&address(1)).is_some_and(|tally| tally.is_known(now())));
        assert!(edges.find(&address(2)).is_none());
    }

    #[test]
    fn an_edge_that_somebody_counts_on_is_not_removed() {
        let edges = Edges::default();
        let held = edges.get(&address(1));
        edges.remove(&address(1));
        assert!(edges.contains(&address(1)));
        drop(held);
        edges.remove(&address(1));
        assert!(edges.all().is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let ip = |text: &str| source(text.parse().unwrap());
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:2"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:10.0.0.1"), ip("10.0.0.1"));
    }
}
