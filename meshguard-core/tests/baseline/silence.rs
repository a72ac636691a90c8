//! An edge that falls still.

use std::time::Duration;

use meshguard_core::baseline::{Baselines, Settings, Window};

use super::random::Random;
use super::{caller, seed};
use meshguard_core::Timestamp;

const BITS: f32 = 20.0;

fn windows(gaps: impl Iterator<Item = f64>) -> impl Iterator<Item = Window> {
    let mut start = Timestamp::from_unix_secs(1_709_510_400);
    gaps.map(move |gap| {
        let end = start + Duration::from_secs(1);
        let longest_gap = Duration::from_secs_f64(gap);
        let window = Window { start, end, calls: 10, asked: 10, longest_gap, ..Window::default() };
        start = end;
        window
    })
}

#[test]
fn a_regular_edge_that_stops_is_found_within_seconds() {
    let (edge, mut random) = (caller(0), Random::new(seed()));
    let mut baselines = Baselines::new(Settings::default());
    for window in windows((0..1_100).map(|_| 0.1 + 0.02 * random.unit())) {
        baselines.handle_window(&edge, &window, true);
    }
    let bits = |secs: f64| {
        let score = baselines.silence(&edge, Duration::from_secs_f64(secs)).unwrap();
        assert_eq!((score.bits, score.top), (0.0, None));
        assert!((score.windows_per_day - 86_400.0).abs() < 1.0);
        assert_eq!(score.edges, 1);
        score.silence
    };
    assert!(bits(0.12) < 4.0, "{}", bits(0.12));
    assert!(bits(3.0) >= BITS, "{}", bits(3.0));
    assert!(bits(3.0) <= (1_024.0f32 * 1_100.0).log2());
    assert!((1..100).all(|i| bits(f64::from(i) / 10.0) <= bits(f64::from(i + 1) / 10.0)));
}

#[test]
fn an_edge_that_is_not_known_or_not_for_long_is_not_judged() {
    let mut baselines = Baselines::new(Settings::default());
    assert_eq!(baselines.silence(&caller(0), Duration::from_secs(60)), None);
    for window in windows((0..200).map(|_| 0.1)) {
        baselines.handle_window(&caller(0), &window, true);
    }
    assert_eq!(baselines.silence(&caller(0), Duration::from_secs(60)), None);
}

/// The stillest moment of each window of an edge whose gaps have no mean, in bits.
fn bursty(shape: f64, n: u32) -> (u64, u64) {
    let (edge, mut random) = (caller(0), Random::new(seed()));
    let mut baselines = Baselines::new(Settings::default());
    let (mut ten, mut alarms) = (0, 0);
    let gaps = (0..n).map(|_| 0.05 * random.unit().powf(-1.0 / shape));
    for window in windows(gaps) {
        let silence = baselines.silence(&edge, window.longest_gap).map_or(0.0, |s| s.silence);
        ten += u64::from(silence >= 10.0);
        alarms += u64::from(silence >= BITS);
        baselines.handle_window(&edge, &window, true);
    }
    println!("shape {shape}: {ten} of {n} over 10 bits, {alarms} over {BITS}");
    (ten, alarms)
}

#[test]
fn an_edge_that_is_bursty_by_nature_is_not_alarmed_about() {
    for shape in [0.8, 1.2, 2.0] {
        let (ten, alarms) = bursty(shape, 20_000);
        // Nominal are 20 and 0.02.
        assert!(ten <= 40, "{ten}");
        assert_eq!(alarms, 0);
    }
}
