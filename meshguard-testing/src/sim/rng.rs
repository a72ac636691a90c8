//! Seeded randomness: SplitMix64, so that a seed means the same on every machine; and exact
//! counts, so that a window need not be made call by call.

use std::f64::consts::TAU;

/// Counts are drawn in parts no larger than this: `0.5^512` is still a number.
const PART: u64 = 512;

/// A sequence of numbers that its seed determines.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// One of many independent sequences of one seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Of a standard normal variate (Box and Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }

    /// How many of independent arrivals come where so many are expected.
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
        let mut left = mean.max(0.0);
        let mut count = 0;
        while left > 0.0 {
            let part = left.min(PART as f64);
            left -= part;
            let mut p = (-part).exp();
            let (mut u, mut k) = (self.unit(), 0_u64);
            while u >= p && p > 0.0 {
                u -= p;
                k += 1;
                p *= part / k as f64;
            }
            count += k;
        }
        count
    }

    /// How many of `n` turn out so, each with probability `p`.
    pub(super) fn binomial(&mut self, n: u64, p: f64) -> u64 {
        if p <= 0.0 || n == 0 {
            return 0;
        }
        if p > 0.5 {
            return n - self.binomial(n, 1.0 - p);
        }
        let mut count = 0;
        for part in parts(n) {
            count += self.binomial_part(part, p);
        }
        count
    }

    /// How many of `drawn` taken out of `all` are of the `marked` ones.
    pub(super) fn among(&mut self, drawn: u64, marked: u64, all: u64) -> u64 {
        if drawn >= all {
            return marked.min(drawn);
        }
        let mut hits = 0;
        for taken in 0..drawn {
            let share = (marked - hits) as f64 / (all - taken) as f64;
            hits += u64::from(self.unit() < share);
        }
        hits
    }

    fn binomial_part(&mut self, n: u64, p: f64) -> u64 {
        let odds = p / (1.0 - p);
        let mut at = (n as f64 * (-p).ln_1p()).exp();
        let (mut u, mut k) = (self.unit(), 0_u64);
        while u >= at && k < n {
            u -= at;
            at *= odds * (n - k) as f64 / (k + 1) as f64;
            k += 1;
        }
        k
    }
}

fn parts(n: u64) -> impl Iterator<Item = u64> {
    let whole = std::iter::repeat_n(PART, usize::try_from(n / PART).unwrap_or(usize::MAX));
    whole.chain((!n.is_multiple_of(PART)).then_some(n % PART))
}

fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of so many draws.
    fn moments(draws: u32, mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let all: Vec<f64> = (0..draws).map(|_| draw()).collect();
        let mean = all.iter().sum::<f64>() / f64::from(draws);
        let var = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(draws);
        (mean, var)
    }

    fn near(got: f64, want: f64, by: f64) {
        assert!((got - want).abs() < by, "{got} is not {want}");
    }

    #[test]
    fn a_seed_gives_the_same_numbers_and_a_stream_others() {
        let numbers = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            [rng.next(), rng.next(), rng.next()]
        };
        assert_eq!(numbers(1, 2), numbers(1, 2));
        assert_ne!(numbers(1, 2), numbers(1, 3));
        assert_ne!(numbers(1, 2), numbers(2, 2));
    }

    #[test]
    fn counts_have_the_mean_and_the_variance_of_their_kind() {
        let mut rng = Rng::new(7, 0);
        for mean in [0.3, 20.0, 1_300.0] {
            let (m, v) = moments(20_000, || rng.poisson(mean) as f64);
            near(m, mean, 5.0 * (mean / 20_000.0).sqrt());
            near(v, mean, 0.06 * mean);
        }
        for (n, p) in [(10, 0.02), (200, 0.5), (2_000, 0.9), (700, 0.001)] {
            let (m, v) = moments(20_000, || rng.binomial(n, p) as f64);
            let (mean, var) = (n as f64 * p, n as f64 * p * (1.0 - p));
            near(m, mean, 5.0 * (var / 20_000.0).sqrt());
            near(v, var, 0.06 * var);
        }
        let (m, v) = moments(20_000, || rng.normal());
        near(m, 0.0, 0.04);
        near(v, 1.0, 0.05);
    }

    #[test]
    fn extremes_are_certain() {
        let mut rng = Rng::new(7, 1);
        assert_eq!((rng.poisson(0.0), rng.poisson(-1.0)), (0, 0));
        assert_eq!(
            (rng.binomial(99, 0.0), rng.binomial(99, 1.0), rng.binomial(0, 0.5)),
            (0, 99, 0)
        );
        assert_eq!((rng.among(5, 3, 5), rng.among(9, 3, 5), rng.among(0, 3, 5)), (3, 3, 0));
        for _ in 0..1_000 {
            let hits = rng.among(4, 3, 5);
            assert!((2..=3).contains(&hits), "{hits}");
        }
    }
}
