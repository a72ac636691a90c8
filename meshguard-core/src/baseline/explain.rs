//! A score in words.

use std::fmt;

use super::feature::Feature;
use super::score::{Departure, Measure, Score, Statistic};

impl Score {
    /// Why it is what it is, in one line: what stands out most, and how rare the window is.
    ///
    /// ```text
    /// p99 310 ms, normally 80 ms, 4.1 spreads above, rarer than 1 in 260,000 windows
    /// ```
    pub fn explain(&self) -> impl fmt::Display {
        Explanation(self)
    }
}

impl Measure {
    /// What was compared by the statistic that judged, in words: with the units of `feature`.
    ///
    /// ```text
    /// p99 310 ms, normally 80 ms, 4.1 spreads above
    /// rate 95/s over the last windows, normally 65/s, 6.0 spreads above
    /// rate varies 3.1 times as much as usual
    /// ```
    pub fn explain(&self, feature: Feature) -> impl fmt::Display {
        Compared(feature, self.statistic, self.departure)
    }
}

struct Compared(Feature, Statistic, Departure);

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self(feature, statistic, Departure { value: found, normal, spreads }) = self;
        let (value, usual) = (Value(feature, found), Value(feature, normal));
        match statistic {
            Statistic::Spike => write!(f, "{feature} {value}, normally {usual}")?,
            Statistic::Shift => {
                write!(f, "{feature} {value} over the last windows, normally {usual}")?;
            }
            Statistic::Wander => write!(f, "{feature} now {value}, in the week {usual}")?,
            Statistic::Drift => {
                return write!(f, "{feature} has drifted to {value}, in the week {usual}");
            }
            Statistic::Swing => {
                return write!(f, "{feature} varies {found:.1} times as much as usual");
            }
        }
        let side = if spreads < 0.0 { "below" } else { "above" };
        write!(f, ", {:.1} spreads {side}", spreads.abs())
    }
}

struct Explanation<'a>(&'a Score);

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let score = self.0;
        if score.silence > 0.0 {
            let times = score.measure(Feature::Rate).distances[0];
            return write!(f, "still for {times:.1}x the usual gap, {}", Rarity(score.silence));
        }
        let Some(top) = score.top else {
            return f.write_str("nothing stands out");
        };
        write!(f, "{}, {}", score.measure(top).explain(top), Rarity(score.bits))
    }
}

/// A feature's value with its unit.
struct Value(Feature, f32);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.1;
        match self.0 {
            Feature::Rate if x >= 100.0 => write!(f, "{x:.0}/s"),
            Feature::Rate if x >= 1.0 => write!(f, "{x:.1}/s"),
            Feature::Rate => write!(f, "{x:.3}/s"),
            Feature::P50 | Feature::P99 if x < 1e-3 => write!(f, "{:.0} us", x * 1e6),
            Feature::P50 | Feature::P99 if x < 0.1 => write!(f, "{:.1} ms", x * 1e3),
            Feature::P50 | Feature::P99 if x < 1.0 => write!(f, "{:.0} ms", x * 1e3),
            Feature::P50 | Feature::P99 => write!(f, "{x:.1} s"),
            Feature::RequestBytes | Feature::ResponseBytes => write!(f, "{x:.0} B"),
            _ if x > 0.0 && x < 1e-3 => write!(f, "{:.3} %", x * 100.0),
            _ => write!(f, "{:.1} %", x * 100.0),
        }
    }
}

/// Bits as a number of windows, to two digits.
struct Rarity(f32);

impl fmt::Display for Rarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows = f64::from(self.0.clamp(0.0, 60.0)).exp2();
        let unit = 10f64.powf((windows.log10().floor() - 1.0).max(0.0));
        let rounded = ((windows / unit).floor() * unit) as u64;
        f.write_str("rarer than 1 in ")?;
        let digits = rounded.to_string();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        f.write_str(" windows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_out_is_named_with_its_size_and_rarity() {
        let mut score = Score::blank();
        assert_eq!(score.explain().to_string(), "nothing stands out");
        score.bits = 18.0;
        score.top = Some(Feature::P99);
        score.measures[Feature::P99.index()] = Measure {
            observed: true,
            bits: 18.0,
            harm: 18.0,
            value: 0.31,
            normal: 0.08,
            spreads: 4.1,
            statistic: Statistic::Spike,
            departure: Departure { value: 0.31, normal: 0.08, spreads: 4.1 },
            distances: [4.1, 1.0, 0.0],
            ..Measure::default()
        };
        assert_eq!(
            score.explain().to_string(),
            "p99 310 ms, normally 80.0 ms, 4.1 spreads above, rarer than 1 in 260,000 windows"
        );
    }

    #[test]
    fn the_numbers_are_those_of_the_statistic_that_judged() {
        let told = |feature, statistic, value, normal, spreads| {
            let departure = Departure { value, normal, spreads };
            let measure = Measure { statistic, departure, value: 64.8, ..Measure::default() };
            measure.explain(feature).to_string()
        };
        for (statistic, value, normal, spreads, text) in [
            (Statistic::Spike, 9.0, 64.7, -8.25, "rate 9.0/s, normally 64.7/s, 8.2 spreads below"),
            (
                Statistic::Shift,
                95.0,
                64.7,
                6.0,
                "rate 95.0/s over the last windows, normally 64.7/s, 6.0 spreads above",
            ),
            (Statistic::Swing, 3.12, 1.0, 2.1, "rate varies 3.1 times as much as usual"),
            (
                Statistic::Wander,
                130.0,
                64.7,
                9.0,
                "rate now 130/s, in the week 64.7/s, 9.0 spreads above",
            ),
            (Statistic::Drift, 170.0, 64.7, 0.0, "rate has drifted to 170/s, in the week 64.7/s"),
        ] {
            assert_eq!(told(Feature::Rate, statistic, value, normal, spreads), text);
        }
        let rare = told(Feature::Rate, Statistic::Spike, 0.1, 0.004, 3.0);
        assert_eq!(rare, "rate 0.100/s, normally 0.004/s, 3.0 spreads above");
        let few = told(Feature::Errors, Statistic::Spike, 0.3, 0.000_4, 3.0);
        assert_eq!(few, "errors 30.0 %, normally 0.040 %, 3.0 spreads above");
    }

    #[test]
    fn silence_is_told_as_silence() {
        let mut score = Score::blank();
        score.silence = 20.0;
        score.measures[Feature::Rate.index()].distances[0] = 15.0;
        assert_eq!(
            score.explain().to_string(),
            "still for 15.0x the usual gap, rarer than 1 in 1,000,000 windows"
        );
    }
}
