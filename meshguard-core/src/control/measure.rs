//! What a score says of a signal, and what an action did to it.

use std::time::Duration;

use super::action::Effect;
use crate::baseline::{Feature, Measure, Score};
use crate::reflex::{Scope, Side, Signal, Trigger};

const DAY: f64 = 86_400.0;

/// The bits above which a signal is rarer than its trigger says: one false alarm in `one_in`, of all
/// edges together. Not below 1 bit; 0 for a hard signal.
pub(super) fn threshold(on: &Trigger, score: &Score) -> f32 {
    on.one_in.map_or(0.0, |one_in| score.bits_for(one_in))
}

/// The length of an edge's windows.
pub(super) fn window(windows_per_day: f32) -> Duration {
    let per_day = f64::from(windows_per_day).clamp(1.0, DAY * 1_000.0);
    Duration::from_secs_f64(DAY / if per_day.is_finite() { per_day } else { DAY })
}

/// What a score says of a signal; its `bits` are the signal's. Of all features together, the
/// rest is that of `feature`, or of the one that stands out most. `None`: it says nothing.
pub(super) fn reading(on: &Trigger, feature: Option<Feature>, score: &Score) -> Option<Measure> {
    let measure = match on.signal {
        Signal::Any => {
            if is_empty(score) {
                return None;
            }
            let feature = feature.or(score.top);
            let of = |f| Some(score.measure(f)).filter(|m| m.observed);
            let measure =
                feature.map_or(Some(Measure { observed: true, ..Measure::default() }), of)?;
            let refusals = score.measure(Feature::Refusals).harm;
            let refusals = if on.scope == Scope::Caller { refusals } else { 0.0 };
            Measure { bits: score.bits, harm: score.harm.max(refusals), ..measure }
        }
        Signal::Feature(feature) => Some(score.measure(feature)).filter(|m| m.observed)?,
        Signal::Silence => Measure {
            observed: true,
            bits: score.silence,
            harm: score.silence,
            ..Measure::default()
        },
        _ => return None,
    };
    let number = |bits: f32| if bits.is_nan() { 0.0 } else { bits };
    let (bits, harm) = (number(measure.bits), number(measure.harm));
    let harm = if on.side == Side::Both { bits } else { harm };
    Some(Measure { bits, harm, ..measure })
}

/// The feature that a signal is about: of all together the one that stands out most, to the
/// harmful side where that is what is acted on.
pub(super) fn about(on: &Trigger, score: &Score, threshold: f32) -> Option<Feature> {
    match on.signal {
        Signal::Feature(feature) => Some(feature),
        Signal::Any if on.side == Side::Harmful && score.harm >= threshold => score.worst,
        Signal::Any => score.top,
        _ => None,
    }
}

/// Whether a score shows that nothing came through.
pub(super) fn is_still(score: &Score) -> bool {
    let rate = score.measure(Feature::Rate);
    if rate.observed { rate.value <= 0.0 } else { is_empty(score) }
}

/// Whether nothing was observed: it is no window, but a silence that was measured.
fn is_empty(score: &Score) -> bool {
    score.bits <= 0.0 && score.measures.iter().all(|m| !m.observed)
}

/// What came of it between two readings of a feature; `bits` are what it is judged by of both.
pub(super) fn compare(
    feature: Option<Feature>,
    before: &Measure,
    after: &Measure,
    threshold: f32,
    bits: impl Fn(&Measure) -> f32,
) -> Effect {
    let [departed, departs] = [before, after].map(|measure| departure(feature, measure));
    let known = departed != 0.0 && departs.is_finite();
    let back = known && departs * departed.signum() <= departed.abs() / 2.0;
    // Of fewer calls the same share is less rare.
    let rare = bits(after) >= threshold / 2.0 || (known && feature.is_some_and(is_share));
    if back || !rare {
        return Effect::Effective;
    }
    let worse = if known {
        departs.abs() > departed.abs() * 1.25
    } else {
        bits(after) > bits(before) * 1.25
    };
    if worse { Effect::Worse } else { Effect::NoEffect }
}

/// How far a feature is from normal: of a share the share itself, whatever the number of calls; else
/// in spreads.
fn departure(feature: Option<Feature>, measure: &Measure) -> f32 {
    match feature {
        Some(feature) if is_share(feature) => measure.value - measure.normal,
        _ => measure.spreads,
    }
}

/// Whether a feature is a share of calls, of receipts or of handshakes.
pub(super) const fn is_share(feature: Feature) -> bool {
    matches!(
        feature,
        Feature::Errors | Feature::HandshakeFailures | Feature::MissingReceipts | Feature::Refusals
    )
}

/// Whether the metric is on its way back: a tenth of the departure is gone.
pub(super) fn is_falling(
    feature: Option<Feature>,
    before: &Measure,
    after: &Measure,
    bits: impl Fn(&Measure) -> f32,
) -> bool {
    match departure(feature, before) {
        0.0 => bits(after) < bits(before) * 0.9,
        departed => departure(feature, after) * departed.signum() < departed.abs() * 0.9,
    }
}

/// Whether the signal is that something is missing, so that nothing at all is no relief.
pub(super) fn is_absence(signal: Signal, feature: Option<Feature>, before: &Measure) -> bool {
    let less = feature == Some(Feature::Rate) && before.spreads < 0.0;
    signal == Signal::Silence || less
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(measure: &Measure) -> f32 {
        measure.bits
    }

    fn measure(bits: f32, spreads: f32) -> Measure {
        Measure { observed: true, bits, spreads, ..Measure::default() }
    }

    #[test]
    fn the_threshold_is_one_window_in_so_long_a_time() {
        let on = |days: u64| Trigger::new(Signal::Any, Some(Duration::from_secs(days * 86_400)));
        let of = |windows_per_day, edges| Score { windows_per_day, edges, ..Score::default() };
        assert_eq!(threshold(&on(1), &of(65_536.0, 0)), 16.0);
        assert_eq!(threshold(&on(4), &of(65_536.0, 1)), 18.0);
        assert_eq!(threshold(&on(4), &of(65_536.0, 64)), 24.0);
        assert_eq!(threshold(&on(1), &of(0.0, 0)), 1.0);
        assert_eq!(threshold(&on(1), &of(f32::NAN, 1)), 1.0);
        assert_eq!(threshold(&on(1), &of(f32::INFINITY, 1)), 1.0);
    }

    #[test]
    fn a_window_is_a_share_of_the_day() {
        assert_eq!(window(86_400.0), Duration::from_secs(1));
        assert_eq!(window(8_640.0), Duration::from_secs(10));
        assert_eq!(window(f32::NAN), Duration::from_secs(1));
        assert_eq!(window(0.0), Duration::from_secs(86_400));
    }

    #[test]
    fn an_effect_is_half_of_the_way_back_or_half_of_the_bits() {
        let before = measure(30.0, 12.0);
        for (after, effect) in [
            (measure(9.9, 12.0), Effect::Effective),
            (measure(30.0, 6.0), Effect::Effective),
            (measure(30.0, -40.0), Effect::Effective),
            (measure(30.0, 7.0), Effect::NoEffect),
            (measure(60.0, 15.0), Effect::NoEffect),
            (measure(30.0, 15.5), Effect::Worse),
        ] {
            assert_eq!(compare(None, &before, &after, 20.0, bits), effect, "{after:?}");
        }
        let below = measure(30.0, -12.0);
        assert_eq!(compare(None, &below, &measure(30.0, 3.0), 20.0, bits), Effect::Effective);
        assert_eq!(compare(None, &below, &measure(30.0, -11.0), 20.0, bits), Effect::NoEffect);
    }

    #[test]
    fn a_share_is_as_high_of_few_calls_as_of_many() {
        let share =
            |value, bits, spreads| Measure { value, normal: 0.01, ..measure(bits, spreads) };
        let before = share(0.3, 30.0, 12.0);
        let effect = |after| compare(Some(Feature::Errors), &before, &after, 24.0, bits);
        assert_eq!(effect(share(0.3, 5.0, 3.0)), Effect::NoEffect);
        assert_eq!(effect(share(0.15, 30.0, 12.0)), Effect::Effective);
        assert_eq!(effect(share(0.4, 5.0, 3.0)), Effect::Worse);
        assert!(!is_falling(Some(Feature::Errors), &before, &share(0.29, 5.0, 3.0), bits));
    }

    #[test]
    fn without_a_departure_bits_alone_are_compared() {
        let before = measure(30.0, 0.0);
        assert_eq!(compare(None, &before, &measure(20.0, 0.0), 20.0, bits), Effect::NoEffect);
        assert_eq!(compare(None, &before, &measure(40.0, 0.0), 20.0, bits), Effect::Worse);
        assert!(is_falling(None, &before, &measure(26.0, 0.0), bits));
        assert!(!is_falling(None, &before, &measure(28.0, 0.0), bits));
    }
}
