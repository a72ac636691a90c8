//! All edges that are measured.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use meshguard_core::baseline::EdgeKey;
use meshguard_core::{Peer, SpiffeId, Timestamp};

use super::Tally;
use crate::clock::steady;
use crate::session::HANDSHAKE_TIME;

/// Edges that are measured at a time, at most.
pub(crate) const MAX_EDGES: usize = 4096;
/// Of them, addresses: anybody who can connect makes one.
const MAX_ADDRESSES: usize = MAX_EDGES / 2;
/// Instances of one callee: it names them itself.
pub(crate) const MAX_INSTANCES: usize = 64;

/// The tallies of all edges. Whoever finds no place is measured nowhere, which is counted.
pub(crate) struct Edges {
    known: RwLock<Known>,
    /// Edges of instances that have another certificate, and those that they had before: for the
    /// next turn of the loop.
    successions: Mutex<Vec<(EdgeKey, EdgeKey)>>,
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
        let (known, successions) = Default::default();
        Self { known, successions, blind: Arc::new(Tally::new(nowhere)) }
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
            known.sweep(steady());
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

    /// The edge of an instance that gives itself this name, by the certificate with which its
    /// session is opened; and whether another certificate has claimed the name since this one did.
    pub(crate) fn instance(&self, peer: &Peer, name: &str, now: Timestamp) -> (Arc<Tally>, bool) {
        let key = EdgeKey::Callee { id: peer.id().clone(), instance: named(name, peer) };
        let others = self.read(|known| known.of_name(&key, name));
        let latest = others.into_iter().max_by_key(|(_, claimed)| *claimed);
        let is_new = !self.contains(&key);
        let tally = self.get(&key);
        let (true, Some((before, claimed))) = (*tally.key() == key, latest) else {
            tally.claim(now);
            return (tally, false);
        };
        let since = tally.claim(now);
        if is_new {
            let mut successions = self.successions.lock().unwrap_or_else(PoisonError::into_inner);
            if successions.len() < MAX_EDGES {
                successions.push((key, before));
            }
        }
        // Handshakes that began before a rotation end a little after it.
        let contested = claimed > since && now.since(claimed) > 2 * HANDSHAKE_TIME;
        (tally, contested)
    }

    /// The edges that go on where another one is, and that one, since this was last asked.
    pub(crate) fn take_successions(&self) -> Vec<(EdgeKey, EdgeKey)> {
        std::mem::take(&mut self.successions.lock().unwrap_or_else(PoisonError::into_inner))
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

/// An instance as its edge has it: its name and a part of its certificate's fingerprint. No name has
/// a space in it, so no instance names itself as another one's edge.
fn named(name: &str, peer: &Peer) -> Box<str> {
    let mut text = format!("{name} ");
    for byte in &peer.fingerprint()[..8] {
        text.push_str(&format!("{byte:02x}"));
    }
    text.into()
}

/// The name that an instance gives itself, of what its edge has.
pub(crate) fn name_of(instance: &str) -> &str {
    instance.split(' ').next().unwrap_or_default()
}

impl Known {
    /// The other edges of a callee whose instances give themselves this name, and since when.
    fn of_name(&self, edge: &EdgeKey, name: &str) -> Vec<(EdgeKey, Timestamp)> {
        let same = |key: &EdgeKey| match key {
            EdgeKey::Callee { id, instance } => {
                key != edge && Some(id) == edge.peer() && name_of(instance) == name
            }
            _ => false,
        };
        let same = self.tallies.iter().filter(|(key, _)| same(key));
        same.filter_map(|(key, tally)| Some((key.clone(), tally.claimed()?))).collect()
    }

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
    use std::time::Duration;

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

    /// An instance of `orders`, by its certificate.
    fn certificate(n: u8) -> Peer {
        let id = SpiffeId::from_static("spiffe://shop.example/orders");
        Peer::new(id, [n; 32], Timestamp::MAX)
    }

    #[test]
    fn two_certificates_that_claim_one_name_have_an_edge_each() {
        let (edges, at) = (Edges::default(), Timestamp::from_unix_secs(1_000));
        let (honest, wicked) = (certificate(1), certificate(2));
        let (first, contested) = edges.instance(&honest, "a", at);
        assert!(!contested && edges.take_successions().is_empty());
        let (second, contested) = edges.instance(&wicked, "a", at + Duration::from_secs(1));
        assert!(!contested, "as a new certificate does");
        assert_ne!(first.key(), second.key());
        let text = |tally: &Tally| match tally.key() {
            EdgeKey::Callee { instance, .. } => name_of(instance).to_owned(),
            _ => String::new(),
        };
        assert_eq!((text(&first), text(&second)), ("a".to_owned(), "a".to_owned()));
        // The first one has not gone: two instances have one name.
        let soon = at + HANDSHAKE_TIME;
        assert!(!edges.instance(&honest, "a", soon).1, "it had begun before");
        let later = at + 4 * HANDSHAKE_TIME;
        let (again, contested) = edges.instance(&honest, "a", later);
        assert!(contested && Arc::ptr_eq(&again, &first));
        assert!(!edges.instance(&honest, "b", later).1, "another name is another instance");
    }

    #[test]
    fn an_instance_with_a_new_certificate_goes_on_where_it_was_and_nobody_is_told() {
        let (edges, at) = (Edges::default(), Timestamp::from_unix_secs(1_000));
        let mut before = edges.instance(&certificate(0), "a", at).0;
        for n in 1..5 {
            let at = at + Duration::from_secs(1_800) * u32::from(n);
            let (rotated, contested) = edges.instance(&certificate(n), "a", at);
            assert!(!contested);
            let expected = [(rotated.key().clone(), before.key().clone())];
            assert_eq!(edges.take_successions(), expected);
            assert!(!edges.instance(&certificate(n), "a", at + 3 * HANDSHAKE_TIME).1);
            assert!(edges.take_successions().is_empty(), "it is known by now");
            before = rotated;
        }
    }

    #[test]
    fn however_many_addresses_strangers_have_one_with_a_peer_behind_it_is_not_forgotten() {
        let edges = Edges::default();
        let peer = SpiffeId::from_static("spiffe://shop.example/checkout");
        drop(Behind::new(edges.get(&address(1)), peer, steady()));
        for n in 2..2 * MAX_ADDRESSES as u32 {
            edges.get(&address(n));
        }
        assert!(edges.find(&address(1)).is_some_and(|tally| tally.is_known(steady())));
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
