//! A score in words.

use std::fmt;

use super::feature::Feature;
use super::score::{Measure, Score, Statistic};

impl Score {
    /// Why it is what it is, in one line: what stands out most, and how rare the window is.
    ///
    /// ```text
    /// p99 4.1x its usual spread (310 ms, normally 80 ms), rarer than 1 in 260,000 windows
    /// ```
    pub fn explain(&self) -> impl fmt::Display {
        Explanation(self)
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
        let measure = score.measure(top);
        write!(f, "{top} ")?;
        departure(f, &measure)?;
        let (value, normal) = (Value(top, measure.value), Value(top, measure.normal));
        write!(f, " ({value}, normally {normal}), {}", Rarity(score.bits))
    }
}

fn departure(f: &mut fmt::Formatter<'_>, measure: &Measure) -> fmt::Result {
    let [spike, shift, swing] = measure.distances;
    match measure.statistic {
        Statistic::Spike => write!(f, "{spike:.1}x its usual spread"),
        Statistic::Shift => write!(f, "shifted by {shift:.1}x its usual spread"),
        Statistic::Swing => write!(f, "varies {:.1}x otherwise than usual", swing + 1.0),
        Statistic::Drift => f.write_str("has drifted from the week's normal"),
    }
}

/// A feature's value with its unit.
struct Value(Feature, f32);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.1;
        match self.0 {
            Feature::Rate => write!(f, "{x:.1}/s"),
            Feature::P50 | Feature::P99 if x < 1e-3 => write!(f, "{:.0} us", x * 1e6),
            Feature::P50 | Feature::P99 if x < 1.0 => write!(f, "{:.0} ms", x * 1e3),
            Feature::P50 | Feature::P99 => write!(f, "{x:.1} s"),
            Feature::RequestBytes | Feature::ResponseBytes => write!(f, "{x:.0} B"),
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
            value: 0.31,
            normal: 0.08,
            spreads: 4.1,
            statistic: Statistic::Spike,
            distances: [4.1, 1.0, 0.0],
        };
        assert_eq!(
            score.explain().to_string(),
            "p99 4.1x its usual spread (310 ms, normally 80 ms), rarer than 1 in 260,000 windows"
        );
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
