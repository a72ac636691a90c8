//! How many edges share the false alarms that an operator allows the service.

use std::time::Duration;

use super::edge::EdgeKey;
use super::places::Places;
use crate::time::Timestamp;

/// An edge has its share for so long after its last traffic.
const BUSY: Duration = Duration::from_secs(3_600);
/// They are counted this often.
const EVERY: Duration = Duration::from_secs(10);

/// How many edges had traffic of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sharing {
    peers: u32,
    addresses: u32,
    /// Until when the count holds.
    until: Timestamp,
}

impl Sharing {
    /// Counts them, if the last count is old. An edge that is new, or known from a snapshot, counts.
    pub(super) fn count(&mut self, places: &mut Places, now: Timestamp) {
        if now < self.until {
            return;
        }
        let (mut peers, mut addresses) = (0, 0);
        for place in places.iter_mut() {
            if now.since(*place.busy.get_or_insert(now)) <= BUSY {
                *(if is_address(&place.key) { &mut addresses } else { &mut peers }) += 1;
            }
        }
        *self = Self { peers, addresses, until: now + EVERY };
    }

    /// By how many edges the service's false alarms are divided for this one: addresses apart, so that
    /// whoever has many takes nothing from the peers.
    pub(super) fn edges(&self, edge: &EdgeKey) -> u32 {
        if is_address(edge) { self.addresses } else { self.peers }.max(1)
    }
}

const fn is_address(edge: &EdgeKey) -> bool {
    matches!(edge, EdgeKey::Address(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{Baselines, Settings, Window};
    use crate::identity::SpiffeId;

    const BEGIN: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

    /// The edges that share, by the score of a window at `secs`.
    fn edges(baselines: &mut Baselines, edge: &EdgeKey, secs: u64) -> u32 {
        let start = BEGIN + Duration::from_secs(secs);
        let end = start + Duration::from_secs(1);
        let window = Window { start, end, calls: 9, asked: 9, ..Window::default() };
        baselines.handle_window(edge, &window, true).edges
    }

    #[test]
    fn false_alarms_are_shared_by_the_edges_of_the_last_hour_addresses_apart() {
        let mut baselines = Baselines::new(Settings::default());
        let caller =
            |n: u32| EdgeKey::Caller(format!("spiffe://a/{n}").parse::<SpiffeId>().unwrap());
        let address = |n: u32| EdgeKey::Address(std::net::Ipv4Addr::from(n).into());
        assert_eq!(edges(&mut baselines, &caller(0), 0), 1);
        (1..10).for_each(|n| _ = edges(&mut baselines, &caller(n), 1));
        (0..40).for_each(|n| _ = edges(&mut baselines, &address(n), 1));
        assert_eq!(edges(&mut baselines, &caller(0), 20), 10);
        assert_eq!(edges(&mut baselines, &address(0), 20), 40);
        assert_eq!(edges(&mut baselines, &caller(0), 3_700), 1);
    }
}
