//! Traffic as services have it: calls that come at random, levels that wander, latencies and
//! bodies with tails, a few failures. Each edge differs; all is drawn from one seed.

use std::time::Duration;

use meshguard_core::Timestamp;
use meshguard_core::baseline::{Feature, Latency, Window};

use super::random::Random;

/// The nine steps that must be found, with what they are known by.
pub const STEPS: [(Step, Feature); 9] = [
    (Step::RateUp, Feature::Rate),
    (Step::RateDown, Feature::Rate),
    (Step::Errors, Feature::Errors),
    (Step::P50, Feature::P50),
    (Step::P99, Feature::P99),
    (Step::RequestBytes, Feature::RequestBytes),
    (Step::ResponseBytes, Feature::ResponseBytes),
    (Step::Handshakes, Feature::HandshakeFailures),
    (Step::Receipts, Feature::MissingReceipts),
];

/// What an attack, or a fault, changes from one window to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// ×3.
    RateUp,
    /// ÷3.
    RateDown,
    /// 0 to 10 %.
    Errors,
    /// ×1.5, all latencies.
    P50,
    /// ×3, of the slowest alone.
    P99,
    /// ×3.
    RequestBytes,
    /// ÷3.
    ResponseBytes,
    /// 0 to 10 %.
    Handshakes,
    /// 0 to 5 %.
    Receipts,
}

/// One edge's traffic.
pub struct Traffic {
    pub random: Random,
    now: Timestamp,
    /// Calls a second.
    rate: f64,
    /// Seconds; a shorter window ends at 50 calls.
    longest: f64,
    wander: f64,
    wandering: f64,
    latency: f64,
    sigma: f64,
    bytes: [f64; 2],
    spread_of_bytes: f64,
    errors: f64,
    /// What multiplies the rate, beside what wanders.
    pub factor: f64,
    handshakes: bool,
}

impl Traffic {
    /// An edge of `rate` calls a second, with windows of one second.
    pub fn busy(seed: u64, rate: f64) -> Self {
        let mut random = Random::new(seed);
        let errors = [0.0, 0.0, 0.0005, 0.002][random.below(4)];
        Self {
            now: Timestamp::from_unix_secs(1_709_510_400),
            rate,
            longest: 1.0,
            wander: 0.02 + 0.06 * random.unit(),
            wandering: 0.0,
            latency: (random.unit() * 4.0 - 7.0).exp(),
            sigma: 0.3 + 0.3 * random.unit(),
            bytes: [random.unit(), random.unit()].map(|u| 100.0 * (5.0 * u).exp()),
            spread_of_bytes: 0.3 + 0.7 * random.unit(),
            errors,
            factor: 1.0,
            handshakes: false,
            random,
        }
    }

    /// An edge of few calls: windows of 50 calls or ten seconds.
    pub fn quiet(seed: u64, rate: f64) -> Self {
        Self { longest: 10.0, ..Self::busy(seed, rate) }
    }

    /// An address of so many handshakes a second.
    pub fn address(seed: u64, rate: f64) -> Self {
        Self { handshakes: true, ..Self::busy(seed, rate) }
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// One window as any other.
    pub fn window(&mut self) -> Window {
        self.step(None)
    }

    /// One window under an attack.
    pub fn step(&mut self, step: Option<Step>) -> Window {
        self.wandering = 0.97 * self.wandering + 0.24 * self.random.normal();
        let mut rate = self.rate * self.factor * (self.wander * self.wandering).exp();
        match step {
            Some(Step::RateUp) => rate *= 3.0,
            Some(Step::RateDown) => rate /= 3.0,
            _ => {}
        }
        let (length, calls) = self.length(rate);
        let start = self.now;
        self.now = start + Duration::from_secs_f64(length);
        let window = Window { start, end: self.now, ..Window::default() };
        if self.handshakes {
            let failing = if step == Some(Step::Handshakes) { 0.1 } else { 0.001 };
            let failed = self.random.binomial(calls, failing);
            return Window { handshakes: calls, handshake_failures: failed, ..window };
        }
        self.calls(window, calls, rate, step)
    }

    /// Seconds, and calls in them.
    fn length(&mut self, rate: f64) -> (f64, u64) {
        if self.longest <= 1.0 {
            return (1.0, self.random.poisson(rate));
        }
        let fifty = self.random.gamma(50.0) / rate;
        if fifty < self.longest {
            return (fifty, 50);
        }
        (self.longest, self.random.poisson(rate * self.longest).min(49))
    }

    fn calls(&mut self, window: Window, calls: u64, rate: f64, step: Option<Step>) -> Window {
        let is = |s: Step| step == Some(s);
        let bytes = self.bytes;
        let request = if is(Step::RequestBytes) { 3.0 } else { 1.0 } * bytes[0];
        let response = if is(Step::ResponseBytes) { 1.0 / 3.0 } else { 1.0 } * bytes[1];
        let gap = if calls == 0 { 0.0 } else { self.random.longest_gap(calls) / rate };
        let errors = if is(Step::Errors) { 0.1 } else { self.errors };
        Window {
            calls,
            errors: self.random.binomial(calls, errors),
            latency: self.latency(calls, step),
            request_bytes: self.body(calls, request),
            response_bytes: self.body(calls, response),
            asked: calls,
            refused: self.random.binomial(calls, 0.001),
            receipts: calls,
            missing_receipts: self
                .random
                .binomial(calls, if is(Step::Receipts) { 0.05 } else { 0.0 }),
            longest_gap: Duration::from_secs_f64(gap),
            ..window
        }
    }

    /// Of `calls` lognormal latencies.
    fn latency(&mut self, calls: u64, step: Option<Step>) -> Option<Latency> {
        if calls == 0 {
            return None;
        }
        let all = if step == Some(Step::P50) { 1.5 } else { 1.0 };
        let slowest = if step == Some(Step::P99) { 3.0 } else { all };
        let mut quantile = |q: f64| {
            let x = self.random.order_statistic(calls, q);
            self.latency * (self.sigma * x).exp()
        };
        let (p50, p99) = (all * quantile(0.5), slowest * quantile(0.99));
        let duration = |secs: f64| Duration::from_nanos((secs * 1e9) as u64);
        Some(Latency { p50: duration(p50), p99: duration(p99.max(p50)) })
    }

    /// The bytes of `calls` bodies.
    fn body(&mut self, calls: u64, mean: f64) -> u64 {
        if calls == 0 {
            return 0;
        }
        let cv = self.spread_of_bytes * self.spread_of_bytes;
        let shape = calls as f64 / cv;
        (mean * cv * self.random.gamma(shape)) as u64
    }
}
