//! Latencies, counted by size and by many threads.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use meshguard_core::baseline::Latencies;

/// How many calls took how long.
pub(super) struct Histogram([AtomicU32; Latencies::BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl Histogram {
    pub(super) fn add(&self, latency: Duration) {
        self.0[Latencies::bucket(latency)].fetch_add(1, Relaxed);
    }

    /// Moves all counts over to `taken`.
    pub(super) fn take(&self, taken: &mut Latencies) {
        for (at, count) in self.0.iter().enumerate() {
            // Most are 0, and reading costs less than exchanging.
            if count.load(Relaxed) > 0 {
                taken.add(at, u64::from(count.swap(0, Relaxed)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_taken_once() {
        let histogram = Histogram::default();
        let slow = Duration::from_millis(7);
        histogram.add(slow);
        let mut taken = Latencies::default();
        histogram.take(&mut taken);
        let latency = taken.latency().unwrap();
        assert_eq!(Latencies::bucket(latency.p50), Latencies::bucket(slow));
        let mut empty = Latencies::default();
        histogram.take(&mut empty);
        assert!(empty.latency().is_none());
    }
}
