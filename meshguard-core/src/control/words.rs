//! A cause in words.

use std::fmt::Write as _;

use crate::baseline::{Feature, Measure};
use crate::escape;
use crate::reflex::Signal;

const LONGEST: usize = 256;

/// Gives a departure and its rarity: `p99 310 ms, normally 80 ms, 4.1 spreads above: 31.2 bits`.
pub(super) fn surprise(signal: Signal, feature: Option<Feature>, measure: &Measure) -> Box<str> {
    let bits = measure.bits;
    let mut text = String::new();
    // INVARIANT: writing to a string does not fail.
    let _ = match feature {
        Some(feature) => write!(text, "{}", measure.explain(feature)),
        None if signal == Signal::Silence => write!(text, "it has fallen still"),
        None => write!(text, "{signal}"),
    };
    let _ = write!(text, ": {bits:.1} bits");
    text.into()
}

/// What somebody else says, fit for a log.
pub(super) fn detail(signal: Signal, detail: &str) -> Box<str> {
    let mut text = signal.as_str().to_owned();
    for (at, c) in detail.chars().enumerate() {
        if text.len() >= LONGEST {
            text.push('…');
            break;
        }
        if at == 0 {
            text.push_str(": ");
        }
        // Writing to a string does not fail.
        let _ = escape::put(c, &mut text);
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Departure;

    #[test]
    fn a_cause_says_what_it_was_and_what_is_normal() {
        let measure = Measure {
            observed: true,
            bits: 31.2,
            departure: Departure { value: 0.31, normal: 0.08, spreads: 4.12 },
            ..Measure::default()
        };
        assert_eq!(
            &*surprise(Signal::Any, Some(Feature::P99), &measure),
            "p99 310 ms, normally 80.0 ms, 4.1 spreads above: 31.2 bits"
        );
        assert_eq!(&*surprise(Signal::Silence, None, &measure), "it has fallen still: 31.2 bits");
    }

    #[test]
    fn a_detail_is_bounded_and_escaped() {
        assert_eq!(&*detail(Signal::Revoked, ""), "revoked");
        assert_eq!(&*detail(Signal::Forged, "a\nb\u{202e}"), r"forged: a\nb\u{202e}");
        let long = detail(Signal::Forged, &"é".repeat(10_000));
        assert!(long.len() < LONGEST + 8 && long.ends_with('…'));
    }
}
