//! Points in time, passed in as arguments: nothing in this crate reads a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time: nanoseconds since the Unix epoch, UTC.
///
/// Wide enough until the year 2554. Arithmetic saturates, so a hostile number can never
/// wrap around into the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// Later than anything this type can otherwise express.
    pub const MAX: Self = Self(u64::MAX);

    /// A point `secs` seconds after the Unix epoch.
    #[must_use]
    pub const fn from_unix_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// A point `nanos` nanoseconds after the Unix epoch.
    #[must_use]
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix_nanos(self) -> u64 {
        self.0
    }

    /// This point moved by whole seconds, either way.
    #[must_use]
    pub const fn moved(self, secs: i64) -> Self {
        let by = secs.unsigned_abs().saturating_mul(1_000_000_000);
        Self(if secs < 0 { self.0.saturating_sub(by) } else { self.0.saturating_add(by) })
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::EPOCH - Duration::from_secs(1), Timestamp::EPOCH);
        assert_eq!(Timestamp::from_unix_secs(u64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::from_unix_secs(7).moved(-9), Timestamp::EPOCH);
        assert_eq!(Timestamp::from_unix_secs(7).moved(i64::MAX), Timestamp::MAX);
    }

    #[test]
    fn a_point_moves_by_seconds_either_way() {
        let t = Timestamp::from_unix_nanos(7_500_000_000);
        assert_eq!(t.moved(2), Timestamp::from_unix_nanos(9_500_000_000));
        assert_eq!(t.moved(-2), Timestamp::from_unix_nanos(5_500_000_000));
    }

    #[test]
    fn since_is_zero_for_a_later_start() {
        let t = Timestamp::from_unix_secs(7);
        assert_eq!((t + Duration::from_millis(3)).since(t), Duration::from_millis(3));
        assert_eq!(t.since(t + Duration::from_secs(1)), Duration::ZERO);
    }
}
