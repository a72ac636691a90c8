//! Numbers with a meaning, as [`amounts`](super::super::amounts) reads them.

use std::time::Duration;

use super::Value;
use crate::reflex::Rate;

/// In the largest unit that leaves nothing over.
pub(super) fn duration(length: Duration) -> String {
    let millis = length.as_millis();
    match millis {
        0 => "0ms".to_owned(),
        _ if millis.is_multiple_of(86_400_000) => match millis / 86_400_000 {
            1 => "24h".to_owned(),
            days => format!("{days} days"),
        },
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

pub(super) fn rate(rate: Rate) -> String {
    let unit = match rate.per.as_secs() {
        60 => "min",
        3_600 => "h",
        _ => "s",
    };
    format!("{}/{unit}", rate.count)
}

/// The shortest number that is read as this one.
pub(super) fn float(value: f32) -> Value {
    Value::Float(value.to_string().parse().unwrap_or_default())
}
