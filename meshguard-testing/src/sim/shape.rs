//! How long calls take and how large they are.

use std::time::Duration;

use meshguard_core::baseline::Latencies;

use super::rng::Rng;

/// The spread of a body's size, in its logarithm.
const BODY_SIGMA: f64 = 0.5;
/// Sums of more than so many are drawn by their mean and their variance.
const MANY: u64 = 16;
/// What is rarer is not drawn.
const RAREST: f64 = 1e-12;

/// What calls of one sort are like.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) median: Duration,
    sigma: f64,
    request: f64,
    response: f64,
    /// The buckets in which latencies fall, and the probability of each, given none before it.
    buckets: Vec<(usize, f64)>,
}

impl Shape {
    /// Log-normal latencies; bodies of so many bytes in the mean.
    pub(super) fn new(median: Duration, sigma: f64, request: u64, response: u64) -> Self {
        let buckets = buckets(median.as_secs_f64() * 1e6, sigma.max(1e-3));
        Self { median, sigma, request: request as f64, response: response as f64, buckets }
    }

    /// The same calls with bodies so many times as large.
    pub(super) fn larger(&self, by: f64) -> Self {
        let (request, response) = (self.request * by, self.response * by);
        Self { request, response, ..self.clone() }
    }

    /// The same calls, so many times as long.
    pub(super) fn slower(&self, by: f64) -> Self {
        let median = self.median.mul_f64(by);
        let buckets = buckets(median.as_secs_f64() * 1e6, self.sigma.max(1e-3));
        Self { median, buckets, ..self.clone() }
    }

    /// Expected to be under way at a time at such a rate.
    pub(super) fn in_flight(&self, rate: f64) -> f64 {
        rate * self.median.as_secs_f64() * (self.sigma * self.sigma / 2.0).exp()
    }

    /// The bytes of so many requests and answers.
    pub(super) fn bytes(&self, calls: u64, rng: &mut Rng) -> (u64, u64) {
        (sum(self.request, calls, rng), sum(self.response, calls, rng))
    }
}

/// Draws the latencies of so many calls.
pub(super) fn draw(latencies: &mut Latencies, shape: &Shape, calls: u64, rng: &mut Rng) {
    let mut left = calls;
    for &(bucket, p) in &shape.buckets {
        let here = rng.binomial(left, p);
        latencies.add(bucket, here);
        left -= here;
        if left == 0 {
            return;
        }
    }
}

/// Where log-normal latencies fall: the likeliest buckets first, so that few are drawn.
fn buckets(median: f64, sigma: f64) -> Vec<(usize, f64)> {
    let below = |micros: f64| normal_cdf((micros / median).ln() / sigma);
    let share = |at: usize| {
        let low = if at == 0 { 0.0 } else { below(Latencies::floor(at)) };
        let high = if at + 1 == Latencies::BUCKETS { 1.0 } else { below(Latencies::floor(at + 1)) };
        high - low
    };
    let mut shares: Vec<_> = (0..Latencies::BUCKETS).map(|at| (at, share(at))).collect();
    shares.retain(|(_, share)| *share > RAREST);
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut left: f64 = shares.iter().map(|(_, share)| share).sum();
    for (_, share) in &mut shares {
        let given = (*share / left).min(1.0);
        left -= *share;
        *share = given;
    }
    if let Some(last) = shares.last_mut() {
        last.1 = 1.0;
    }
    shares
}

/// The sum of so many log-normal sizes.
fn sum(mean: f64, count: u64, rng: &mut Rng) -> u64 {
    if mean <= 0.0 {
        return 0;
    }
    if count > MANY {
        let spread = mean * ((BODY_SIGMA * BODY_SIGMA).exp_m1() * count as f64).sqrt();
        return (mean * count as f64 + spread * rng.normal()).max(0.0) as u64;
    }
    let log_mean = mean.ln() - BODY_SIGMA * BODY_SIGMA / 2.0;
    let sizes = (0..count).map(|_| (log_mean + BODY_SIGMA * rng.normal()).exp());
    sizes.sum::<f64>() as u64
}

/// By the complementary error function's Chebyshev fit of "Numerical Recipes": to 1.2e-7 of it.
fn normal_cdf(x: f64) -> f64 {
    const FIT: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let fit = FIT.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let upper = 0.5 * t * (fit - z * z).exp();
    if x > 0.0 { 1.0 - upper } else { upper }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_is_the_known_one() {
        for (x, p) in [(0.0, 0.5), (1.0, 0.841_344_7), (-2.0, 0.022_750_1), (3.0, 0.998_650_1)] {
            assert!((normal_cdf(x) - p).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_distribution() {
        let shape = Shape::new(Duration::from_millis(8), 0.5, 0, 0);
        let (mut rng, mut latencies) = (Rng::new(7, 0), Latencies::default());
        assert!(latencies.latency().is_none());
        draw(&mut latencies, &shape, 100_000, &mut rng);
        assert_eq!(latencies.count(), 100_000);
        let latency = latencies.latency().unwrap();
        let ms = |d: Duration| d.as_secs_f64() * 1_000.0;
        // exp(0.5 · 2.326) = 3.2 times the median.
        assert!((ms(latency.p50) - 8.0).abs() < 0.3, "{latency:?}");
        assert!((ms(latency.p99) - 25.6).abs() < 1.5, "{latency:?}");
    }

    #[test]
    fn a_latency_without_a_spread_and_an_extreme_one_are_counted() {
        let mut rng = Rng::new(7, 0);
        for shape in [(Duration::from_millis(8), 0.0), (Duration::from_secs(1_000_000), 0.3)] {
            let mut latencies = Latencies::default();
            draw(&mut latencies, &Shape::new(shape.0, shape.1, 0, 0), 1_000, &mut rng);
            assert_eq!(latencies.count(), 1_000);
        }
    }

    #[test]
    fn few_bodies_and_many_have_the_same_mean() {
        let mut rng = Rng::new(7, 0);
        let shape = Shape::new(Duration::from_millis(1), 0.1, 1_000, 0);
        for calls in [10, 100] {
            let sum: u64 = (0..2_000).map(|_| shape.bytes(calls, &mut rng).0).sum();
            let mean = sum as f64 / (2_000 * calls) as f64;
            assert!((mean - 1_000.0).abs() < 20.0, "{mean}");
        }
        assert_eq!(shape.larger(10.0).request as u64, 10_000);
        assert_eq!(shape.bytes(50, &mut rng).1, 0);
    }
}
