//! A bounded number of edges, in the order of their last use.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::edge::EdgeKey;
use super::model::Model;
use super::settings::Settings;
use crate::identity::SpiffeId;
use crate::time::Timestamp;

const NONE: usize = usize::MAX;

/// The edges that are known, each in a place of its own, reused when it is evicted.
#[derive(Clone, Debug)]
pub(super) struct Places {
    places: Vec<Place>,
    index: BTreeMap<EdgeKey, usize>,
    quotas: BTreeMap<Owner, usize>,
    oldest: usize,
    newest: usize,
    max: usize,
    max_of_one: usize,
}

/// One edge.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) key: EdgeKey,
    pub(super) model: Box<Model>,
    /// The model as it was when an episode began, while one is open.
    pub(super) before: Option<Box<Model>>,
    /// The end of its last window with traffic; `None` where it has had none here yet.
    pub(super) busy: Option<Timestamp>,
    older: usize,
    newer: usize,
}

/// Who has a quota of places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// The instances of a callee.
    Peer(SpiffeId),
    /// An IPv4 /24 or an IPv6 /48.
    Network([u8; 6]),
    /// All addresses together.
    Addresses,
}

impl Places {
    pub(super) const fn new(settings: &Settings) -> Self {
        Self {
            places: Vec::new(),
            index: BTreeMap::new(),
            quotas: BTreeMap::new(),
            oldest: NONE,
            newest: NONE,
            max: settings.max_edges,
            max_of_one: settings.max_of_one,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn find(&self, edge: &EdgeKey) -> Option<usize> {
        self.index.get(edge).copied()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Place> {
        self.places.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Place> {
        self.places.get_mut(at)
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.places.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Place> {
        self.places.iter_mut()
    }

    /// The places from the one unused longest to the one used last.
    pub(super) fn by_age(&self) -> impl Iterator<Item = &Place> {
        let first = self.places.get(self.oldest);
        std::iter::successors(first, |place| self.places.get(place.newer))
    }

    /// The edge's place, taken for it if it has none; `None` where none can be had.
    pub(super) fn take(&mut self, edge: &EdgeKey) -> Option<usize> {
        if let Some(at) = self.find(edge) {
            self.unlink(at);
            self.link(at);
            return Some(at);
        }
        let full = owners(edge).into_iter().flatten().find(|o| self.quota(o) >= self.limit(o));
        let at = if let Some(owner) = full {
            self.evict(Some(&owner))?
        } else if self.places.len() >= self.max {
            self.evict(None)?
        } else {
            self.places.len()
        };
        self.settle(at, edge);
        Some(at)
    }

    fn settle(&mut self, at: usize, edge: &EdgeKey) {
        if let Some(place) = self.places.get_mut(at) {
            place.key = edge.clone();
            place.busy = None;
            *place.model = Model::new();
        } else {
            let (model, key) = (Box::new(Model::new()), edge.clone());
            self.places.push(Place {
                key,
                model,
                before: None,
                busy: None,
                older: NONE,
                newer: NONE,
            });
        }
        self.index.insert(edge.clone(), at);
        for owner in owners(edge).into_iter().flatten() {
            *self.quotas.entry(owner).or_default() += 1;
        }
        self.link(at);
    }

    /// Frees the place unused longest that has no open episode (and is the owner's).
    fn evict(&mut self, owner: Option<&Owner>) -> Option<usize> {
        let mut at = self.oldest;
        while let Some(place) = self.places.get(at) {
            let owned = owner.is_none_or(|o| owners(&place.key).iter().flatten().any(|x| x == o));
            if owned && place.before.is_none() {
                self.forget(at);
                return Some(at);
            }
            at = place.newer;
        }
        None
    }

    fn forget(&mut self, at: usize) {
        let key = self.places[at].key.clone();
        self.index.remove(&key);
        for owner in owners(&key).into_iter().flatten() {
            let left = self.quota(&owner).saturating_sub(1);
            if left == 0 {
                self.quotas.remove(&owner);
            } else {
                self.quotas.insert(owner, left);
            }
        }
        self.unlink(at);
    }

    fn quota(&self, owner: &Owner) -> usize {
        self.quotas.get(owner).copied().unwrap_or(0)
    }

    fn limit(&self, owner: &Owner) -> usize {
        match owner {
            Owner::Addresses => self.max / 2,
            Owner::Peer(_) | Owner::Network(_) => self.max_of_one,
        }
    }

    fn link(&mut self, at: usize) {
        let last = self.newest;
        self.places[at].older = last;
        self.places[at].newer = NONE;
        match self.places.get_mut(last) {
            Some(place) => place.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }

    fn unlink(&mut self, at: usize) {
        let (older, newer) = (self.places[at].older, self.places[at].newer);
        match self.places.get_mut(older) {
            Some(place) => place.newer = newer,
            None => self.oldest = newer,
        }
        match self.places.get_mut(newer) {
            Some(place) => place.older = older,
            None => self.newest = older,
        }
    }
}

/// Whose quotas an edge counts against, the narrowest first.
fn owners(edge: &EdgeKey) -> [Option<Owner>; 2] {
    match edge {
        EdgeKey::Callee { id, .. } => [Some(Owner::Peer(id.clone())), None],
        EdgeKey::Address(addr) => [Some(Owner::Network(network(*addr))), Some(Owner::Addresses)],
        EdgeKey::Caller(_) | EdgeKey::HopIn(_) | EdgeKey::HopOut(_) => [None, None],
    }
}

/// The /24 of an IPv4 address (as an IPv4-mapped one), the /48 of an IPv6 one.
fn network(addr: IpAddr) -> [u8; 6] {
    match addr.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            [0, 0, 0, a, b, c]
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, ..] = v6.octets();
            [a, b, c, d, e, f]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> EdgeKey {
        EdgeKey::Address(text.parse().unwrap())
    }

    fn caller(i: usize) -> EdgeKey {
        EdgeKey::Caller(format!("spiffe://shop.example/c{i}").parse().unwrap())
    }

    fn places(max: usize, max_of_one: usize) -> Places {
        Places::new(&Settings { max_edges: max, max_of_one, ..Settings::default() })
    }

    #[test]
    fn the_edge_unused_longest_goes_first() {
        let mut places = places(3, 3);
        for i in [0, 1, 2, 0, 3] {
            places.take(&caller(i)).unwrap();
        }
        assert_eq!(places.len(), 3);
        assert!(places.find(&caller(1)).is_none());
        let ages: Vec<_> = places.by_age().map(|p| p.key.clone()).collect();
        assert_eq!(ages, [caller(2), caller(0), caller(3)]);
    }

    #[test]
    fn an_edge_with_an_open_episode_stays_and_a_further_one_finds_no_place() {
        let mut places = places(1, 1);
        let at = places.take(&caller(0)).unwrap();
        places.get_mut(at).unwrap().before = Some(Box::new(Model::new()));
        assert_eq!(places.take(&caller(1)), None);
        assert!(places.find(&caller(0)).is_some());
        places.get_mut(at).unwrap().before = None;
        assert!(places.take(&caller(1)).is_some());
    }

    #[test]
    fn one_network_evicts_only_itself() {
        let mut places = places(100, 4);
        places.take(&caller(0)).unwrap();
        places.take(&address("192.0.2.7")).unwrap();
        for i in 0..50 {
            places.take(&address(&format!("198.51.100.{i}"))).unwrap();
            places.take(&address(&format!("2001:db8:1:{i}::"))).unwrap();
        }
        assert_eq!(places.len(), 2 + 4 + 4);
        assert!(places.find(&address("192.0.2.7")).is_some());
        assert!(places.find(&address("198.51.100.49")).is_some());
        assert!(places.find(&address("198.51.100.45")).is_none());
    }

    #[test]
    fn addresses_together_leave_half_of_all_places_to_others() {
        let mut places = places(20, 4);
        (0..10).for_each(|i| assert!(places.take(&caller(i)).is_some()));
        for i in 0..200 {
            places.take(&address(&format!("10.{i}.0.1"))).unwrap();
        }
        assert!((0..10).all(|i| places.find(&caller(i)).is_some()));
        assert_eq!(places.len(), 20);
        assert_eq!(places.quotas.len(), 11);
    }

    #[test]
    fn the_instances_of_one_callee_have_a_quota() {
        let mut places = places(20, 4);
        let id: SpiffeId = "spiffe://shop.example/orders".parse().unwrap();
        for i in 0..10 {
            let instance = format!("i{i}").into();
            places.take(&EdgeKey::Callee { id: id.clone(), instance }).unwrap();
        }
        assert_eq!(places.len(), 4);
    }
}
