//! What nobody has proved who they are, and what it may teach: nothing about those who have.

use std::time::Duration;

use meshguard_core::Timestamp;
use meshguard_core::baseline::{Baselines, Feature, Score, Settings, Statistic, Window};

use super::random::Random;
use super::{address, caller, seed};

const WINDOW: Duration = Duration::from_secs(30);
const WINDOWS_A_DAY: u64 = 2_880;
/// The season is learnt of edges that are known for a day, and holds from the next one on.
const DAYS: u64 = 6;

/// Some days of two callers that call four times as often at noon as at midnight, and one of which
/// climbs on the last, with the scores of that one; between their windows those of
/// addresses that do whatever `addresses` says at each hour.
fn scores(base: u64, addresses: impl Fn(u64) -> Option<u64>) -> Vec<Score> {
    let mut random = Random::new(base);
    let mut baselines = Baselines::new(Settings::default());
    let (mut start, mut scores) = (Timestamp::from_unix_secs(1_709_251_200), Vec::new());
    for number in 0..DAYS * WINDOWS_A_DAY {
        let end = start + WINDOW;
        let window = |calls, handshakes| Window {
            start,
            end,
            calls,
            asked: calls,
            handshakes,
            ..Window::default()
        };
        let days = number as f64 / WINDOWS_A_DAY as f64;
        let sun = -(days * std::f64::consts::TAU).cos();
        for n in 0..2 {
            let climb = if n == 0 { 1.0 + 3.0 * (days - (DAYS - 1) as f64).max(0.0) } else { 1.0 };
            let calls = 3_000.0 * 2f64.powf(sun) * climb * (1.0 + 0.03 * random.unit());
            let calls = calls as u64;
            let score = baselines.handle_window(&caller(n), &window(calls, 0), true);
            if number >= (DAYS - 1) * WINDOWS_A_DAY {
                scores.push(score);
            }
        }
        if let Some(handshakes) = addresses(number / 120) {
            for n in 0..8 {
                baselines.handle_window(&address(n), &window(0, handshakes), true);
            }
        }
        start = end;
    }
    scores
}

#[test]
fn what_addresses_do_changes_no_score_of_a_caller() {
    let base = seed();
    let alone = scores(base, |_| None);
    // Each night forty times as much as by day, for the callers to be judged by.
    let nightly = scores(base, |hour| Some(if hour % 24 < 6 { 30_000 } else { 750 }));
    let differing = alone.iter().zip(&nightly).filter(|(a, b)| a != b).count();
    assert_eq!((differing, alone.len()), (0, 2 * 2_880));
    let drift = |score: &Score| score.measure(Feature::Rate).statistic == Statistic::Drift;
    assert!(alone.iter().any(drift), "the season was not used");
}
