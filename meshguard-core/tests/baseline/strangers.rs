//! What nobody has proved who they are, and what it may teach: nothing about those who have.

use std::time::Duration;

use meshguard_core::Timestamp;
use meshguard_core::baseline::{Baselines, Score, Settings, Window};

use super::random::Random;
use super::{address, caller, seed};

const WINDOW: Duration = Duration::from_secs(300);
const WINDOWS_A_DAY: u64 = 288;
/// The season is learnt of edges that are known for a day, and holds from the next one on.
const DAYS: u64 = 6;

/// Some days of two callers, with the scores of the last one; between their windows those of
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
        for n in 0..2 {
            let calls = 30_000 + (random.unit() * 1_000.0) as u64;
            let score = baselines.handle_window(&caller(n), &window(calls, 0), true);
            if number >= (DAYS - 1) * WINDOWS_A_DAY {
                scores.push(score);
            }
        }
        if let Some(handshakes) = addresses(number / 12) {
            for n in 0..40 {
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
    let nightly = scores(base, |hour| Some(if hour % 24 < 6 { 300_000 } else { 7_500 }));
    let differing = alone.iter().zip(&nightly).filter(|(a, b)| a != b).count();
    assert_eq!((differing, alone.len()), (0, 2 * 288));
}
