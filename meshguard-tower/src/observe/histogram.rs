//! Latencies, counted by size.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use meshguard_core::baseline::Latency;

/// Steps within a doubling: a latency is known to within a quarter of its own doubling, and a
/// quantile better, as it is interpolated.
const STEPS: usize = 4;
/// From 1 µs to 2²⁷ µs (134 s); what is longer counts there.
const BUCKETS: usize = 27 * STEPS;

/// How many calls took how long.
pub(super) struct Histogram([AtomicU32; BUCKETS]);

/// The same, taken out.
pub(super) struct Taken([u64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl Histogram {
    pub(super) fn add(&self, latency: Duration) {
        self.0[bucket(latency)].fetch_add(1, Relaxed);
    }

    /// Moves all counts over to `taken`.
    pub(super) fn take(&self, taken: &mut Taken) {
        for (from, to) in self.0.iter().zip(&mut taken.0) {
            // Most are 0, and reading costs less than exchanging.
            if from.load(Relaxed) > 0 {
                *to += u64::from(from.swap(0, Relaxed));
            }
        }
    }
}

impl Default for Taken {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Taken {
    /// `None` where there is nothing.
    pub(super) fn latency(&self) -> Option<Latency> {
        let all: u64 = self.0.iter().sum();
        (all > 0).then(|| Latency { p50: self.quantile(all, 0.5), p99: self.quantile(all, 0.99) })
    }

    fn quantile(&self, all: u64, q: f64) -> Duration {
        let rank = q * all as f64;
        let mut below = 0.0;
        for (at, &count) in self.0.iter().enumerate() {
            let count = count as f64;
            if count > 0.0 && below + count >= rank {
                let (low, high) = (floor(at), floor(at + 1));
                let micros = low + (high - low) * ((rank - below) / count);
                return Duration::from_nanos((micros * 1000.0) as u64);
            }
            below += count;
        }
        Duration::ZERO // unreachable: the counts sum up to `all`
    }
}

fn bucket(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
    let doubling = micros.ilog2() as usize;
    // The two bits behind the highest one.
    let step = ((micros << 2) >> doubling) as usize & (STEPS - 1);
    (doubling * STEPS + step).min(BUCKETS - 1)
}

/// The lower bound of a bucket, in microseconds.
fn floor(bucket: usize) -> f64 {
    let step = 1.0 + (bucket % STEPS) as f64 / STEPS as f64;
    (1_u64 << (bucket / STEPS)) as f64 * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_the_bucket_whose_bounds_hold_it() {
        let mut micros = 1_u64;
        while micros < 100_000_000 {
            let at = bucket(Duration::from_micros(micros));
            assert!(floor(at) <= micros as f64 && (micros as f64) < floor(at + 1), "{micros}");
            micros = micros * 9 / 8 + 1;
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
        assert_eq!(bucket(Duration::ZERO), 0);
    }

    #[test]
    fn quantiles_are_near_the_true_ones() {
        let histogram = Histogram::default();
        assert!(Taken::default().latency().is_none());
        for ms in 1..=1000 {
            histogram.add(Duration::from_millis(ms));
        }
        let mut taken = Taken::default();
        histogram.take(&mut taken);
        let latency = taken.latency().unwrap();
        let ms = |d: Duration| d.as_secs_f64() * 1000.0;
        assert!((460.0..540.0).contains(&ms(latency.p50)), "{latency:?}");
        assert!((930.0..1049.0).contains(&ms(latency.p99)), "{latency:?}");
        let mut empty = Taken::default();
        histogram.take(&mut empty);
        assert!(empty.latency().is_none(), "taken once");
    }
}
