//! Latencies, counted by size.

use std::time::Duration;

use super::window::Latency;

/// Steps within a doubling: a latency is known to within a quarter of its own doubling, and a
/// quantile better, as it is interpolated.
const STEPS: usize = 4;

/// How many calls took how long, from 1 µs to 2²⁷ µs (134 s); what is longer counts there.
///
/// ```
/// use std::time::Duration;
/// use meshguard_core::baseline::Latencies;
///
/// let mut latencies = Latencies::default();
/// latencies.add(Latencies::bucket(Duration::from_millis(80)), 100);
/// let p50 = latencies.latency().map(|latency| latency.p50.as_millis());
/// assert!(p50.is_some_and(|p50| (60..100).contains(&p50)));
/// ```
#[derive(Clone, Debug)]
pub struct Latencies([u64; Self::BUCKETS]);

impl Default for Latencies {
    fn default() -> Self {
        Self([0; Self::BUCKETS])
    }
}

impl Latencies {
    /// How many sizes are told apart.
    pub const BUCKETS: usize = 27 * STEPS;

    /// The size of a latency, below [`BUCKETS`](Self::BUCKETS).
    #[must_use]
    pub fn bucket(latency: Duration) -> usize {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        let doubling = micros.ilog2() as usize;
        // The two bits behind the highest one.
        let step = ((micros << 2) >> doubling) as usize & (STEPS - 1);
        (doubling * STEPS + step).min(Self::BUCKETS - 1)
    }

    /// The lower bound of a bucket, in microseconds; that of the one behind the last is its end.
    #[must_use]
    pub fn floor(bucket: usize) -> f64 {
        let step = 1.0 + (bucket % STEPS) as f64 / STEPS as f64;
        (1_u64 << (bucket / STEPS).min(63)) as f64 * step
    }

    /// Counts so many calls in a bucket; the last one takes what is beyond it.
    pub fn add(&mut self, bucket: usize, count: u64) {
        let sum = &mut self.0[bucket.min(Self::BUCKETS - 1)];
        *sum = sum.saturating_add(count);
    }

    /// How many calls there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Median and 99th percentile; `None` where there is nothing.
    #[must_use]
    pub fn latency(&self) -> Option<Latency> {
        let all = self.count();
        (all > 0).then(|| Latency { p50: self.quantile(all, 0.5), p99: self.quantile(all, 0.99) })
    }

    fn quantile(&self, all: u64, q: f64) -> Duration {
        let rank = q * all as f64;
        let mut below = 0.0;
        for (at, &count) in self.0.iter().enumerate() {
            let count = count as f64;
            if count > 0.0 && below + count >= rank {
                let (low, high) = (Self::floor(at), Self::floor(at + 1));
                let micros = low + (high - low) * ((rank - below) / count);
                return Duration::from_nanos((micros * 1000.0) as u64);
            }
            below += count;
        }
        Duration::ZERO // unreachable: the counts sum up to `all`
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_the_bucket_whose_bounds_hold_it() {
        let mut micros = 1_u64;
        while micros < 100_000_000 {
            let at = Latencies::bucket(Duration::from_micros(micros));
            let bounds = Latencies::floor(at)..Latencies::floor(at + 1);
            assert!(bounds.contains(&(micros as f64)), "{micros}");
            micros = micros * 9 / 8 + 1;
        }
        assert_eq!(Latencies::bucket(Duration::MAX), Latencies::BUCKETS - 1);
        assert_eq!(Latencies::bucket(Duration::ZERO), 0);
    }

    #[test]
    fn quantiles_are_near_the_true_ones() {
        let mut latencies = Latencies::default();
        assert!(latencies.latency().is_none());
        for ms in 1..=1000 {
            latencies.add(Latencies::bucket(Duration::from_millis(ms)), 1);
        }
        let latency = latencies.latency().unwrap();
        let ms = |d: Duration| d.as_secs_f64() * 1000.0;
        assert!((460.0..540.0).contains(&ms(latency.p50)), "{latency:?}");
        assert!((930.0..1049.0).contains(&ms(latency.p99)), "{latency:?}");
    }
}
