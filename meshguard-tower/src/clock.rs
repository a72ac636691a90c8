//! The clocks.
//!
//! | what goes by it | clock |
//! |---|---|
//! | what lasts or elapses: windows, restrictions, rates, sessions' age, receipts, handshakes | [`steady`] |
//! | until when credentials are good: certificates, revocation lists, tokens | [`reached`] |
//! | what others read: the ledger, deadlines on the wire, `iat` of proofs, times that are shown | [`wall`] |
//!
//! The system may set the wall clock, to either side and by any amount. [`steady`] never notices.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use meshguard_core::Timestamp;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

const SECOND: i128 = 1_000_000_000;
/// The mark is moved in such steps, in nanoseconds: all threads read it.
const GRAIN: u64 = 10_000_000;
/// Readings within this are of the same time.
const TOGETHER: Duration = Duration::from_millis(100);

static MARK: Mark = Mark(AtomicU64::new(0));

/// Reads the wall clock.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Reads the clock that never steps: the wall clock's time when it was first read in this process,
/// and all that has elapsed since.
pub(crate) fn steady() -> Timestamp {
    static START: OnceLock<(Timestamp, Instant)> = OnceLock::new();
    let (start, began) = *START.get_or_init(|| (wall(), Instant::now()));
    start + began.elapsed()
}

/// Reads the clock by which credentials end: the wall clock; but where that was set back, not earlier
/// than what both clocks have shown before. So what has ended by both does not become good again. A
/// wall clock that was ahead for a while has shown that alone, and changes nothing once it is right.
pub(crate) fn reached() -> Timestamp {
    now().reached
}

/// Reads all clocks.
pub(crate) fn now() -> Now {
    let (wall, steady) = (wall(), steady());
    Now { wall, steady, reached: MARK.reached(wall, steady) }
}

/// Reads the wall clock and the steady one at the same time; `None` where something came between.
pub(crate) fn together() -> Option<(Timestamp, Timestamp)> {
    let (before, wall, after) = (steady(), wall(), steady());
    (after.since(before) < TOGETHER).then_some((wall, after))
}

/// What all clocks show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) wall: Timestamp,
    pub(crate) steady: Timestamp,
    pub(crate) reached: Timestamp,
}

#[cfg(test)]
impl std::ops::Add<Duration> for Now {
    type Output = Self;

    fn add(self, d: Duration) -> Self {
        Self { wall: self.wall + d, steady: self.steady + d, reached: self.reached + d }
    }
}

/// The latest time that both clocks have shown.
struct Mark(AtomicU64);

impl Mark {
    fn reached(&self, wall: Timestamp, steady: Timestamp) -> Timestamp {
        let (known, both) = (self.0.load(Relaxed), wall.min(steady).as_unix_nanos());
        if both > known.saturating_add(GRAIN) {
            self.0.fetch_max(both, Relaxed);
        }
        wall.max(Timestamp::from_unix_nanos(known))
    }
}

/// By how many seconds the wall clock is ahead of the steady one, as of when it was last noticed to
/// step; negative where it is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offset(i64);

impl Offset {
    /// Compares the clocks. Returns the number of seconds by which the wall clock has stepped since,
    /// where that is more than one.
    pub(crate) fn follow(&mut self, wall: Timestamp, steady: Timestamp) -> Option<i64> {
        let ahead = i128::from(wall.as_unix_nanos()) - i128::from(steady.as_unix_nanos());
        let before = self.0;
        if (ahead - i128::from(before) * SECOND).abs() <= SECOND {
            return None;
        }
        let half = SECOND / 2 * ahead.signum();
        self.0 = i64::try_from((ahead + half) / SECOND).unwrap_or_default();
        Some(self.0 - before)
    }

    pub(crate) fn seconds(self) -> i64 {
        self.0
    }

    /// What the wall clock shows, to a second, when the steady one shows `time`.
    pub(crate) fn to_wall(self, time: Timestamp) -> Timestamp {
        time.moved(self.0)
    }
}

/// [`reached`], for handshakes.
#[derive(Debug)]
pub(crate) struct Reached;

impl TimeProvider for Reached {
    fn current_time(&self) -> Option<UnixTime> {
        let secs = reached().as_unix_secs();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(secs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

    fn after(secs: u64) -> Timestamp {
        T + Duration::from_secs(secs)
    }

    #[test]
    fn what_has_ended_by_both_clocks_has_ended_for_good() {
        let mark = Mark(AtomicU64::new(0));
        assert_eq!(mark.reached(T, T), T);
        assert_eq!(mark.reached(after(60), after(60)), after(60));
        for back in [30, 7200] {
            let wall = after(61).moved(-back);
            assert_eq!(mark.reached(wall, after(61)), after(60), "{back} s back");
        }
        assert_eq!(mark.reached(after(120), after(7320)), after(120), "it has come there again");
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_while_ends_nothing_beyond_that() {
        let mark = Mark(AtomicU64::new(0));
        assert_eq!(mark.reached(after(7200), after(1)), after(7200), "while it is ahead");
        assert_eq!(mark.reached(after(3), after(3)), after(3));
    }

    #[test]
    fn a_step_is_noticed_once_and_what_drifts_is_not() {
        let mut offset = Offset::default();
        let mut at = |ahead: i64, secs| offset.follow(after(secs).moved(ahead), after(secs));
        assert_eq!((at(0, 1), at(1, 2), at(-1, 3)), (None, None, None));
        assert_eq!((at(30, 4), at(30, 5)), (Some(30), None));
        assert_eq!((at(0, 6), at(-7200, 7), at(-7200, 8)), (Some(-30), Some(-7200), None));
        assert_eq!(offset.to_wall(after(9)), after(9).moved(-7200));
    }

    #[test]
    fn part_of_a_second_is_rounded() {
        let nanos =
            |offset: i64| Timestamp::from_unix_nanos((T.as_unix_nanos() as i64 + offset) as u64);
        for (ahead, secs) in [(1_400_000_000, 1), (1_600_000_000, 2), (-1_600_000_000, -2)] {
            let mut offset = Offset::default();
            assert_eq!(offset.follow(nanos(ahead), T), Some(secs));
            assert_eq!(offset.follow(nanos(ahead), T), None);
        }
    }

    #[test]
    fn the_steady_clock_goes_on() {
        let (before, wall) = (steady(), wall());
        assert!(steady() >= before && now().reached >= wall);
    }
}
