//! A window's features as numbers, and back.

use super::feature::Feature;
use super::window::Window;

/// Bodies are compared as so many bytes longer than they are: small ones are all alike.
const BYTES: f32 = 16.0;

/// Calls a second: so many more are looked at, so that rare calls are all alike.
const RATE: f32 = 0.1;

/// The level of a feature in the logarithm; `None` where it was not observed.
pub(super) fn level(window: &Window, feature: Feature) -> Option<f32> {
    let per_call = |bytes: u64| (BYTES + bytes as f32 / window.calls.max(1) as f32).ln();
    let called = window.calls > 0;
    match feature {
        Feature::Rate => Some((RATE + window.events() as f32 / seconds(window)).ln()),
        Feature::P50 => window.latency.map(|l| l.p50.as_secs_f32().max(1e-6).ln()),
        Feature::P99 => window.latency.map(|l| l.p99.as_secs_f32().max(1e-6).ln()),
        Feature::RequestBytes => called.then(|| per_call(window.request_bytes)),
        Feature::ResponseBytes => called.then(|| per_call(window.response_bytes)),
        _ => None,
    }
}

/// Failures and all of a share; `None` where it was not observed.
pub(super) fn share(window: &Window, feature: Feature) -> Option<(f32, f32)> {
    let (failed, all) = match feature {
        Feature::Errors => (window.errors, window.calls.saturating_sub(window.unanswered)),
        Feature::HandshakeFailures => (window.handshake_failures, window.handshakes),
        Feature::MissingReceipts => (window.missing_receipts, window.receipts),
        Feature::Refusals => (window.refused, window.asked),
        _ => return None,
    };
    (all > 0).then_some((failed.min(all) as f32, all as f32))
}

/// From the logarithm back to its unit.
pub(super) fn unscaled(feature: Feature, x: f32) -> f32 {
    match feature {
        Feature::Rate => (x.exp() - RATE).max(0.0),
        Feature::RequestBytes | Feature::ResponseBytes => (x.exp() - BYTES).max(0.0),
        _ => x.exp(),
    }
}

/// The length of a window in seconds, never 0.
pub(super) fn seconds(window: &Window) -> f32 {
    window.length().as_secs_f32().max(1e-3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_an_answer_is_no_error_and_no_success() {
        let left = Window { calls: 1, unanswered: 1, ..Window::default() };
        assert_eq!(share(&left, Feature::Errors), None);
        let failed = Window { calls: 3, errors: 2, unanswered: 1, ..Window::default() };
        assert_eq!(share(&failed, Feature::Errors), Some((2.0, 2.0)));
    }
}
