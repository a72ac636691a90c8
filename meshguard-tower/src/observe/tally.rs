//! The counters of one edge.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use meshguard_core::baseline::{EdgeKey, Latencies, Window};
use meshguard_core::{SpiffeId, Timestamp};

use super::histogram::Histogram;
use crate::clock::steady;

/// More cores than this share counters.
const MOST_SHARDS: usize = 4;
/// Peers that are remembered behind an address, at most, beside those that are connected.
pub(crate) const MAX_PEERS: usize = 256;
/// A peer counts as being behind an address for so long after its last connection.
const PEER_SEEN: Duration = Duration::from_secs(3600);

/// What has been counted of one edge since its last window was closed.
pub(crate) struct Tally {
    key: EdgeKey,
    shards: Box<[Shard]>,
    /// Of an instance: when its certificate first claimed its name.
    claimed: OnceLock<Timestamp>,
    /// Who was authenticated behind an address.
    peers: Mutex<HashMap<SpiffeId, Seen>>,
}

/// A peer behind an address.
struct Seen {
    /// When it was last known to be connected.
    last: Timestamp,
    /// Its connections.
    live: u32,
}

/// Somebody is behind an address, until this is dropped with their connection.
pub(crate) struct Behind {
    tally: Arc<Tally>,
    peer: SpiffeId,
}

/// A call that has ended, as its edge's tally counts it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// Until the answer's head, where there was one.
    pub(crate) latency: Option<Duration>,
    /// Whether the far end is to blame that it failed.
    pub(crate) failed: bool,
    /// Whether it has no answer, and the far end is not to blame.
    pub(crate) unanswered: bool,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// Whether a receipt is due.
    pub(crate) receipt: bool,
}

/// The counters of some of the threads, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    counts: [AtomicU64; COUNTS],
    latency: Histogram,
}

#[derive(Clone, Copy)]
enum Count {
    Calls,
    Errors,
    Unanswered,
    RequestBytes,
    ResponseBytes,
    Refused,
    Handshakes,
    HandshakeFailures,
    Receipts,
    MissingReceipts,
    Unconfirmed,
}

const COUNTS: usize = Count::Unconfirmed as usize + 1;

impl Tally {
    pub(crate) fn new(key: EdgeKey) -> Self {
        let shards = (0..shards()).map(|_| Shard::default()).collect();
        Self { key, shards, claimed: OnceLock::new(), peers: Mutex::default() }
    }

    pub(crate) fn key(&self) -> &EdgeKey {
        &self.key
    }

    /// When its certificate first claimed its name: now, unless it has before.
    pub(super) fn claim(&self, now: Timestamp) -> Timestamp {
        *self.claimed.get_or_init(|| now)
    }

    /// When its certificate first claimed its name, if it has.
    pub(super) fn claimed(&self) -> Option<Timestamp> {
        self.claimed.get().copied()
    }

    pub(crate) fn call(&self, call: &Measured) {
        let shard = self.shard();
        shard.add(Count::Calls, 1);
        if call.failed {
            shard.add(Count::Errors, 1);
        } else if call.unanswered {
            shard.add(Count::Unanswered, 1);
        }
        if call.request_bytes > 0 {
            shard.add(Count::RequestBytes, call.request_bytes);
        }
        if call.response_bytes > 0 {
            shard.add(Count::ResponseBytes, call.response_bytes);
        }
        if call.receipt {
            shard.add(Count::Receipts, 1);
        }
        if let Some(latency) = call.latency {
            shard.latency.add(latency);
        }
    }

    /// Policy has refused a call.
    pub(crate) fn refused(&self) {
        self.shard().add(Count::Refused, 1);
    }

    /// Receipts that were due are missing, short or bad.
    pub(crate) fn receipts_missing(&self, count: u64) {
        if count > 0 {
            self.shard().add(Count::MissingReceipts, count);
        }
    }

    /// Answers that nobody will confirm, because their caller has left.
    pub(crate) fn unconfirmed(&self, count: u64) {
        if count > 0 {
            self.shard().add(Count::Unconfirmed, count);
        }
    }

    /// A handshake has failed.
    pub(crate) fn handshake_failed(&self) {
        let shard = self.shard();
        shard.add(Count::Handshakes, 1);
        shard.add(Count::HandshakeFailures, 1);
    }

    /// A handshake has made a peer known.
    pub(crate) fn handshake_completed(&self) {
        self.shard().add(Count::Handshakes, 1);
    }

    /// What there was to observe since the last window, refused calls included.
    pub(crate) fn events(&self) -> u64 {
        let of = |shard: &Shard| {
            [Count::Calls, Count::Refused, Count::Handshakes]
                .map(|c| shard.get(c))
                .into_iter()
                .fold(0, u64::saturating_add)
        };
        self.shards.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Closes a window: takes all that was counted.
    pub(crate) fn take(&self, start: Timestamp, end: Timestamp) -> Window {
        let mut sums = [0_u64; COUNTS];
        let mut latency = Latencies::default();
        for shard in &self.shards {
            for (sum, count) in sums.iter_mut().zip(&shard.counts) {
                *sum = sum.saturating_add(count.swap(0, Relaxed));
            }
            shard.latency.take(&mut latency);
        }
        let sum = |count: Count| sums[count as usize];
        // What is due and what is missing of it need not fall into one window.
        let missing = sum(Count::MissingReceipts);
        Window {
            start,
            end,
            calls: sum(Count::Calls),
            errors: sum(Count::Errors),
            unanswered: sum(Count::Unanswered),
            latency: latency.latency(),
            request_bytes: sum(Count::RequestBytes),
            response_bytes: sum(Count::ResponseBytes),
            asked: sum(Count::Calls).saturating_add(sum(Count::Refused)),
            refused: sum(Count::Refused),
            handshakes: sum(Count::Handshakes),
            handshake_failures: sum(Count::HandshakeFailures),
            receipts: sum(Count::Receipts).max(missing),
            missing_receipts: missing,
            unconfirmed: sum(Count::Unconfirmed),
            longest_gap: Duration::ZERO,
            peers: self.peers(end),
        }
    }

    /// Whether one of the peers behind an address is of this kind.
    pub(crate) fn has_peer(&self, kind: impl Fn(&SpiffeId) -> bool) -> bool {
        self.behind().keys().any(kind)
    }

    /// Whether a peer that was authenticated here is connected, or was within the hour.
    pub(crate) fn is_known(&self, now: Timestamp) -> bool {
        self.behind().values().any(|seen| seen.counts(now))
    }

    fn peers(&self, now: Timestamp) -> u32 {
        let recent = self.behind().values().filter(|seen| seen.counts(now)).count();
        u32::try_from(recent).unwrap_or(u32::MAX)
    }

    fn behind(&self) -> MutexGuard<'_, HashMap<SpiffeId, Seen>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(&self, peer: &SpiffeId, now: Timestamp) {
        let mut peers = self.behind();
        if let Some(seen) = peers.get_mut(peer) {
            (seen.last, seen.live) = (now, seen.live + 1);
            return;
        }
        if peers.len() >= MAX_PEERS {
            peers.retain(|_, seen| seen.counts(now));
        }
        // Those that are connected have a bound of their own, that of connections.
        if peers.len() >= MAX_PEERS {
            let gone = peers.iter().filter(|(_, seen)| seen.live == 0);
            let oldest = gone.min_by_key(|(_, seen)| seen.last).map(|(peer, _)| peer.clone());
            oldest.map(|peer| peers.remove(&peer));
        }
        peers.insert(peer.clone(), Seen { last: now, live: 1 });
    }

    fn disconnected(&self, peer: &SpiffeId, now: Timestamp) {
        if let Some(seen) = self.behind().get_mut(peer) {
            (seen.last, seen.live) = (now, seen.live.saturating_sub(1));
        }
    }

    fn shard(&self) -> &Shard {
        &self.shards[slot() % self.shards.len()]
    }
}

impl Seen {
    fn counts(&self, now: Timestamp) -> bool {
        self.live > 0 || now.since(self.last) < PEER_SEEN
    }
}

impl Behind {
    pub(crate) fn new(tally: Arc<Tally>, peer: SpiffeId, now: Timestamp) -> Self {
        tally.connected(&peer, now);
        Self { tally, peer }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.tally.disconnected(&self.peer, steady());
    }
}

impl Shard {
    fn add(&self, count: Count, n: u64) {
        let counter = &self.counts[count as usize];
        if counter.fetch_add(n, Relaxed).checked_add(n).is_none() {
            counter.store(u64::MAX, Relaxed);
        }
    }

    fn get(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Relaxed)
    }
}

fn shards() -> usize {
    static SHARDS: OnceLock<usize> = OnceLock::new();
    *SHARDS.get_or_init(|| available_parallelism().map_or(1, |n| n.get().min(MOST_SHARDS)))
}

/// This thread's number; threads are numbered as they come.
fn slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: usize = NEXT.fetch_add(1, Relaxed);
    }
    SLOT.with(|slot| *slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp::from_unix_secs(1_000);
    const PEER: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");

    #[test]
    fn a_window_holds_what_all_threads_counted_and_the_next_one_nothing_of_it() {
        let tally = Tally::new(EdgeKey::Caller(PEER.clone()));
        let ms = Some(Duration::from_millis(3));
        let ok =
            Measured { latency: ms, request_bytes: 7, response_bytes: 11, ..Measured::default() };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1000).for_each(|_| tally.call(&ok)));
            }
        });
        tally.call(&Measured { failed: true, receipt: true, ..ok });
        tally.refused();
        assert_eq!(tally.events(), 8_002);
        let window = tally.take(T, T + Duration::from_secs(1));
        assert_eq!((window.calls, window.errors, window.asked, window.refused), (8001, 1, 8002, 1));
        assert_eq!((window.request_bytes, window.response_bytes), (8001 * 7, 8001 * 11));
        assert_eq!((window.receipts, window.missing_receipts), (1, 0));
        assert!(window.latency.is_some());
        tally.call(&Measured { unanswered: true, ..Measured::default() });
        let left = tally.take(T, T);
        assert_eq!((left.calls, left.errors, left.unanswered), (1, 0, 1));
        let next = tally.take(T, T);
        assert_eq!((next.events(), next.latency, next.request_bytes), (0, None, 0));
    }

    #[test]
    fn a_sum_that_no_number_holds_is_the_largest_one() {
        let tally = Tally::new(EdgeKey::Caller(PEER.clone()));
        let most = Measured { request_bytes: u64::MAX - 1, ..Measured::default() };
        let measure = || (0..3).for_each(|_| tally.call(&most));
        measure();
        std::thread::scope(|scope| _ = scope.spawn(measure));
        let window = tally.take(T, T);
        assert_eq!((window.calls, window.request_bytes), (6, u64::MAX));
    }

    #[test]
    fn peers_behind_an_address_are_counted_while_they_were_seen_lately_and_bounded() {
        let tally = Tally::new(EdgeKey::Address([127, 0, 0, 1].into()));
        for _ in 0..2 {
            tally.handshake_completed();
            tally.connected(PEER, T);
        }
        tally.handshake_failed();
        let window = tally.take(T, T);
        assert_eq!((window.handshakes, window.handshake_failures, window.peers), (3, 1, 1));
        tally.disconnected(PEER, T);
        assert_eq!(tally.take(T, T + 2 * PEER_SEEN).peers, 1, "one of its connections lives");
        tally.disconnected(PEER, T + PEER_SEEN);
        let known = |after| tally.is_known(T + PEER_SEEN + after);
        assert!(known(PEER_SEEN - Duration::from_secs(1)) && !known(PEER_SEEN));
        assert_eq!(tally.take(T, T + 2 * PEER_SEEN).peers, 0);
        tally.connected(PEER, T);
        for n in 0..2 * MAX_PEERS {
            let peer = format!("spiffe://shop.example/{n}").parse().unwrap();
            tally.connected(&peer, T + PEER_SEEN);
            tally.disconnected(&peer, T + PEER_SEEN);
        }
        assert_eq!(tally.take(T, T + PEER_SEEN).peers as usize, MAX_PEERS);
        assert!(tally.has_peer(|peer| peer == PEER), "who is connected is not forgotten");
    }
}
