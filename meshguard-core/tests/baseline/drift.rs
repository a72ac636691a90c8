//! What climbs too slowly to be rare.

use meshguard_core::baseline::{Baselines, Feature, Settings, Statistic};

use super::traffic::Traffic;
use super::{caller, seed};

const HOUR: f64 = 3_600.0;
const BITS: f32 = 20.0;

/// A service's day: five times as many calls at noon as at midnight.
fn of_day(hour: f64) -> f64 {
    5f64.powf(0.5 - 0.5 * (hour / 24.0 * std::f64::consts::TAU).cos()) / 5f64.sqrt()
}

/// Learns `hours` of ordinary days, and then a ramp to ×3 over `ramp` seconds: the factor by which
/// it is found, if it is. The share of ordinary windows of drift is not let pass.
fn ramp(
    settings: Settings,
    traffic: &mut Traffic,
    hours: f64,
    ramp: f64,
    days: bool,
) -> Option<f64> {
    let (edge, start) = (caller(0), traffic.now());
    let mut baselines = Baselines::new(settings);
    loop {
        let at = traffic.now().since(start).as_secs_f64();
        let day = if days { of_day(at / HOUR) } else { 1.0 };
        let into = ((at - hours * HOUR) / ramp).max(0.0);
        if into > 1.0 {
            return None;
        }
        let factor = 1.0 + 2.0 * into;
        traffic.factor = day * factor;
        let score = baselines.handle_window(&edge, &traffic.window(), true);
        let drift = score.measure(Feature::Rate).statistic == Statistic::Drift;
        if into > 0.0 && score.bits >= BITS && score.top == Some(Feature::Rate) {
            return Some(factor);
        }
        assert!(into > 0.0 || !drift, "drift on an ordinary day, after {} h", at / HOUR);
    }
}

#[test]
fn a_ramp_is_caught_before_two_and_a_half_times_however_slow() {
    let base = seed();
    for (seconds, days) in [(0.25, false), (2.0, false), (8.0, true), (24.0, true)] {
        let mut traffic = Traffic::quiet(base, 10.0);
        let caught = ramp(Settings::default(), &mut traffic, 48.0, seconds * HOUR, days);
        println!("{seconds} h: caught at {caught:?}");
        assert!(caught.is_some_and(|factor| factor < 2.5), "{seconds} h: {caught:?}");
    }
}

#[test]
fn without_the_guard_a_slow_ramp_is_never_rare() {
    // The defect: no bound on how far the normal may walk.
    let mut unguarded = Settings::default();
    unguarded.drift = f32::INFINITY;
    let mut traffic = Traffic::quiet(seed(), 10.0);
    assert_eq!(ramp(unguarded, &mut traffic, 48.0, 24.0 * HOUR, true), None);
}

/// Of ramps of 15 minutes, an hour, and a day, on windows of a second:
/// `cargo test --release -p meshguard-core --test baseline ramps_on -- --ignored --nocapture`
#[test]
#[ignore = "a minute in release"]
fn ramps_on_many_edges() {
    let base = seed();
    for hours in [0.25, 1.0, 4.0, 24.0] {
        let (mut caught, mut latest) = (0, 0f64);
        for i in 0..30 {
            let mut traffic = if i % 2 == 0 {
                Traffic::busy(base + i, 50.0 + 10.0 * i as f64)
            } else {
                Traffic::quiet(base + i, 4.0 + 0.4 * i as f64)
            };
            let factor = ramp(Settings::default(), &mut traffic, 48.0, hours * HOUR, true);
            caught += u32::from(factor.is_some_and(|f| f < 2.5));
            latest = latest.max(factor.unwrap_or(f64::INFINITY));
        }
        println!("over {hours} h: {caught} of 30 before x2.5, the latest at x{latest:.2}");
        assert_eq!(caught, 30);
    }
}
