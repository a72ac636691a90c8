//! Places that anybody takes while there are some: of connections that have not said who they are,
//! and of streams whose peers take nothing. Where all are taken, the oldest makes room of the group
//! that has most.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshguard_core::SpiffeId;
use tokio_util::sync::{
    CancellationToken, WaitForCancellationFuture, WaitForCancellationFutureOwned,
};

use crate::observe::source;

/// The places of one kind, each held by one of `K`, a source.
pub(crate) struct Doors<K: Key> {
    most: usize,
    most_of_source: usize,
    state: Mutex<State<K>>,
}

/// Who holds places.
pub(crate) trait Key: Clone + Eq + Hash {
    /// With whom it is counted together where all places are taken.
    fn group(&self) -> Self {
        self.clone()
    }
}

impl Key for SpiffeId {}

impl Key for IpAddr {
    /// One who has an IPv6 /48 has 65,536 sources.
    fn group(&self) -> Self {
        match self {
            Self::V4(_) => *self,
            Self::V6(v6) => Self::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80))),
        }
    }
}

struct State<K> {
    next: u64,
    /// By their numbers, so oldest first.
    held: BTreeMap<u64, Held<K>>,
    /// How many each source and each group has. One without any has no entry.
    sources: HashMap<K, usize>,
    groups: HashMap<K, usize>,
}

struct Held<K> {
    source: K,
    evict: CancellationToken,
}

/// One holder's place; dropping it frees the place.
pub(crate) struct Place<K: Key> {
    doors: Arc<Doors<K>>,
    number: u64,
    evicted: CancellationToken,
}

impl Doors<IpAddr> {
    /// As [`take`](Self::take), for a connection from `addr`.
    pub(crate) fn enter(self: &Arc<Self>, addr: IpAddr) -> Place<IpAddr> {
        self.take(source(addr), 1)
    }
}

impl<K: Key> Doors<K> {
    pub(crate) fn new(most: usize, most_of_source: usize) -> Arc<Self> {
        let (held, sources, groups) = Default::default();
        let state = Mutex::new(State { next: 0, held, sources, groups });
        Arc::new(Self { most, most_of_source, state })
    }

    /// A place for one of `source`. Where it has all that it may have, `weight` times the usual
    /// number, its oldest loses its place; where all are taken, the oldest of the group that has
    /// most.
    pub(crate) fn take(self: &Arc<Self>, source: K, weight: usize) -> Place<K> {
        let evicted = CancellationToken::new();
        let mut state = self.state();
        if state.of(&source) >= self.most_of_source * weight {
            state.evict(|held| held.source == source);
        } else if state.held.len() >= self.most {
            let most = state.groups.iter().max_by_key(|(_, n)| **n).map(|(group, _)| group.clone());
            state.evict(|held| Some(held.source.group()) == most);
        }
        let number = state.next;
        state.next += 1;
        *state.sources.entry(source.clone()).or_default() += 1;
        *state.groups.entry(source.group()).or_default() += 1;
        state.held.insert(number, Held { source, evict: evicted.clone() });
        drop(state);
        Place { doors: Arc::clone(self), number, evicted }
    }

    /// Whether half of the places are taken.
    pub(crate) fn is_half_full(&self) -> bool {
        self.state().held.len() >= self.most / 2
    }

    /// How many places `source` has.
    pub(crate) fn of(&self, source: &K) -> usize {
        self.state().of(source)
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Key> State<K> {
    fn of(&self, source: &K) -> usize {
        self.sources.get(source).copied().unwrap_or(0)
    }

    /// Takes the place of the oldest of these.
    fn evict(&mut self, which: impl Fn(&Held<K>) -> bool) {
        let oldest = self.held.iter().find(|(_, held)| which(held)).map(|(number, _)| *number);
        if let Some(held) = oldest.and_then(|number| self.leave(number)) {
            held.evict.cancel();
        }
    }

    fn leave(&mut self, number: u64) -> Option<Held<K>> {
        let held = self.held.remove(&number)?;
        let group = held.source.group();
        for (counts, of) in [(&mut self.sources, &held.source), (&mut self.groups, &group)] {
            if let Some(count) = counts.get_mut(of) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(of);
                }
            }
        }
        Some(held)
    }
}

impl<K: Key> Place<K> {
    /// Waits until the place is another one's.
    pub(crate) fn evicted(&self) -> WaitForCancellationFuture<'_> {
        self.evicted.cancelled()
    }

    /// Whether half of the places are taken.
    pub(crate) fn is_pressed(&self) -> bool {
        self.doors.is_half_full()
    }

    /// As [`evicted`](Self::evicted), without borrowing it.
    pub(crate) fn evicted_owned(&self) -> WaitForCancellationFutureOwned {
        self.evicted.clone().cancelled_owned()
    }
}

impl<K: Key> Drop for Place<K> {
    fn drop(&mut self) {
        self.doors.state().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_out(place: &Place<IpAddr>) -> bool {
        place.evicted.is_cancelled()
    }

    #[test]
    fn a_source_at_its_bound_loses_its_oldest_and_nobody_elses() {
        let doors = Doors::new(10, 2);
        let other = doors.enter(ip("10.0.0.2"));
        let one = doors.enter(ip("10.0.0.1"));
        let two = doors.enter(ip("::ffff:10.0.0.1"));
        let three = doors.enter(ip("10.0.0.1"));
        assert!(is_out(&one) && !is_out(&two) && !is_out(&three) && !is_out(&other));
        drop((one, two, three, other));
        let state = doors.state();
        assert!(state.held.is_empty() && state.sources.is_empty() && state.groups.is_empty());
    }

    #[test]
    fn anybody_takes_what_is_free_and_who_has_most_gives_where_nothing_is() {
        let doors = Doors::new(8, 8);
        let small = doors.enter(ip("10.0.0.2"));
        let flood: Vec<_> = (0..7).map(|_| doors.enter(ip("10.0.0.1"))).collect();
        assert!(!flood.iter().any(is_out) && doors.is_half_full());
        let late: Vec<_> = (3..6).map(|n| doors.enter(ip(&format!("10.0.0.{n}")))).collect();
        assert_eq!(
            flood.iter().map(is_out).collect::<Vec<_>>(),
            [[true; 3].as_slice(), &[false; 4]].concat()
        );
        assert!(!is_out(&small) && !late.iter().any(is_out));
        drop((small, flood, late));
        assert!(!doors.is_half_full());
    }

    /// Every connection comes from another /64.
    #[test]
    fn an_ipv6_network_gives_for_all_its_sources() {
        let doors = Doors::new(8, 8);
        let honest = doors.enter(ip("2001:db8:1::1"));
        let from = |n: u32| doors.enter(ip(&format!("2001:db8:bad:{n:x}::1")));
        let flood: Vec<_> = (0..100).map(from).collect();
        assert!(!is_out(&honest));
        assert_eq!(flood.iter().filter(|place| !is_out(place)).count(), 7);
        assert_eq!(doors.state().groups.len(), 2);
    }
}
