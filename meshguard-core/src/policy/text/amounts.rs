//! Numbers with a meaning: shares, durations, rates.

use std::time::Duration;

use super::fields::{At, Fields, Text, wrong_type};
use super::tree::Value;
use crate::policy::error::{Fault, PolicyErrorKind as Kind};
use crate::reflex::Rate;

const DAY: u64 = 86_400_000;
const HOUR: u64 = 3_600_000;
const MINUTE: u64 = 60_000;
/// Milliseconds of each unit; the first that a text ends with counts.
const UNITS: [(&str, u64); 9] = [
    ("days", DAY),
    ("day", DAY),
    ("hours", HOUR),
    ("hour", HOUR),
    ("h", HOUR),
    ("min", MINUTE),
    ("m", MINUTE),
    ("ms", 1),
    ("s", 1_000),
];
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);
const MAX_COUNT: u32 = 1_000_000;

/// A share: from 0 to 1.
pub(super) fn share(fields: &Fields<'_>, key: &str) -> Result<Option<f32>, Fault> {
    let Some(value) = fields.get(key) else { return Ok(None) };
    let number = match value.value {
        Value::Float(number) => Some(number as f32),
        Value::Integer { value, decimal: true } => Some(value as f32),
        Value::Integer { .. } => None,
        _ => return Err(wrong_type(key, value, "a number from 0 to 1")),
    };
    match number {
        Some(number) if (0.0..=1.0).contains(&number) => Ok(Some(number)),
        _ => Err(Fault::new(Kind::OutOfRange, value.at, format!("`{key}` is a share"))
            .hint("write a number from 0 to 1, as in `0.6`")),
    }
}

/// A duration that is not 0.
pub(super) fn duration(fields: &Fields<'_>, key: &str) -> Result<Option<At<Duration>>, Fault> {
    let read = |text: Text<'_>| match parse_duration(text.value) {
        Some(value) => Ok(At { at: text.at, value }),
        None => Err(bad_duration(key, text)
            .hint("write it as `250ms`, `2s`, `5m`, `1h` or `30 days`; at most 3650 days")),
    };
    fields.text(key)?.map(read).transpose()
}

/// `1 in 30 days`.
pub(super) fn one_in(fields: &Fields<'_>, key: &str) -> Result<Option<Duration>, Fault> {
    let Some(text) = fields.text(key)? else { return Ok(None) };
    let length = text.value.strip_prefix("1 in ").and_then(parse_duration);
    match length {
        Some(length) => Ok(Some(length)),
        None => Err(bad_duration(key, text).hint("write it as `1 in 30 days`")),
    }
}

/// `3 in 24h`: how many, at least 1, in how long.
pub(super) fn count_in(fields: &Fields<'_>, key: &str) -> Result<Option<(u64, Duration)>, Fault> {
    let Some(text) = fields.text(key)? else { return Ok(None) };
    let read = || {
        let (count, length) = text.value.split_once(" in ")?;
        Some((plain(count).filter(|count| *count > 0)?, parse_duration(length)?))
    };
    match read() {
        Some(found) => Ok(Some(found)),
        None => Err(bad_duration(key, text).hint("write it as `1 in 24h`, from 1")),
    }
}

/// `10/s`.
pub(super) fn rate(fields: &Fields<'_>, key: &str) -> Result<Option<Rate>, Fault> {
    let Some(text) = fields.text(key)? else { return Ok(None) };
    match parse_rate(text.value) {
        Some(rate) => Ok(Some(rate)),
        None => {
            let message = format!("`{key}` knows no rate `{}`", text.value.escape_debug());
            Err(Fault::new(Kind::BadRate, text.at, message)
                .hint("write it as `10/s`, `6/min` or `100/h`, from 1 to 1000000"))
        }
    }
}

fn bad_duration(key: &str, text: Text<'_>) -> Fault {
    let message = format!("`{key}` knows no `{}`", text.value.escape_debug());
    Fault::new(Kind::BadDuration, text.at, message)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let length = Duration::from_millis(plain(number)?.checked_mul(*millis)?);
    (!length.is_zero() && length <= LONGEST).then_some(length)
}

fn parse_rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let per = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let count = u32::try_from(plain(count)?).ok()?;
    let known = (1..=MAX_COUNT).contains(&count);
    known.then_some(Rate { count, per: Duration::from_secs(per) })
}

/// Digits alone: no sign, no leading zero.
fn plain(digits: &str) -> Option<u64> {
    let canonical = digits == "0" || !digits.starts_with('0');
    (canonical && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("2s", 2_000),
            ("5m", 300_000),
            ("24h", DAY),
            ("1 day", DAY),
            ("1 hour", HOUR),
            ("5 min", 5 * MINUTE),
            ("30 days", 30 * DAY),
            ("10 s", 10_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "0s",
            "-1s",
            "1.5s",
            "1 sec",
            "1  s",
            " 1s",
            "1s ",
            "1S",
            "01s",
            "3651 days",
            "99999999999999999999s",
            "18446744073709551615h",
            "5minutes",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn rates_have_a_count_and_a_time() {
        for (text, count, per) in
            [("10/s", 10, 1), ("6/min", 6, 60), ("1000000/h", 1_000_000, 3_600)]
        {
            let per = Duration::from_secs(per);
            assert_eq!(parse_rate(text), Some(Rate { count, per }), "{text}");
        }
        for text in
            ["", "10", "0/s", "-1/s", "1.5/s", "10/", "10/m", "10 /s", "/s", "1000001/s", "1/s/s"]
        {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }
}
