//! Places of connections that have not said who they are. Where all are taken, one that holds a
//! place for long makes room: of the network that has most.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::observe::source;

/// The places of one kind.
pub(crate) struct Doors {
    most: usize,
    most_of_source: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// By their numbers, so oldest first.
    held: BTreeMap<u64, Held>,
    /// How many each source and each network has. One without any has no entry.
    sources: HashMap<IpAddr, usize>,
    networks: HashMap<IpAddr, usize>,
}

struct Held {
    source: IpAddr,
    evict: CancellationToken,
}

/// One connection's place; dropping it frees the place.
pub(crate) struct Place {
    doors: Arc<Doors>,
    number: u64,
    evicted: CancellationToken,
}

impl Doors {
    pub(crate) fn new(most: usize, most_of_source: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_source, state: Mutex::default() })
    }

    /// A place for a connection from `addr`. Where its source has all that it may have, the oldest of
    /// the source loses its place; where all are taken, the oldest of the network that has most.
    pub(crate) fn enter(self: &Arc<Self>, addr: IpAddr) -> Place {
        let (source, evicted) = (source(addr), CancellationToken::new());
        let mut state = self.state();
        if state.sources.get(&source).copied().unwrap_or(0) >= self.most_of_source {
            state.evict(|held| held.source == source);
        } else if state.held.len() >= self.most {
            let most = state.networks.iter().max_by_key(|(_, n)| **n).map(|(net, _)| *net);
            state.evict(|held| Some(network(held.source)) == most);
        }
        let number = state.next;
        state.next += 1;
        *state.sources.entry(source).or_default() += 1;
        *state.networks.entry(network(source)).or_default() += 1;
        state.held.insert(number, Held { source, evict: evicted.clone() });
        drop(state);
        Place { doors: Arc::clone(self), number, evicted }
    }

    /// Whether half of the places are taken.
    pub(crate) fn is_half_full(&self) -> bool {
        self.state().held.len() >= self.most / 2
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the place of the oldest of these.
    fn evict(&mut self, which: impl Fn(&Held) -> bool) {
        let oldest = self.held.iter().find(|(_, held)| which(held)).map(|(number, _)| *number);
        if let Some(held) = oldest.and_then(|number| self.leave(number)) {
            held.evict.cancel();
        }
    }

    fn leave(&mut self, number: u64) -> Option<Held> {
        let held = self.held.remove(&number)?;
        let networks =
            [(&mut self.sources, held.source), (&mut self.networks, network(held.source))];
        for (counts, of) in networks {
            if let Some(count) = counts.get_mut(&of) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&of);
                }
            }
        }
        Some(held)
    }
}

impl Place {
    /// Waits until the place is another one's.
    pub(crate) fn evicted(&self) -> WaitForCancellationFuture<'_> {
        self.evicted.cancelled()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.doors.state().leave(self.number);
    }
}

/// Whose places are counted together where all are taken: one who has an IPv6 /48 has 65,536
/// sources.
fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_out(place: &Place) -> bool {
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
        assert!(state.held.is_empty() && state.sources.is_empty() && state.networks.is_empty());
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
        assert_eq!(doors.state().networks.len(), 2);
    }
}
