//! Findings in the log: the first few of a kind in each second, and how many others there were.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::sink::Direction;

/// Lines a second of one kind about one peer.
pub(crate) const LINES: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// How long a number of lines that were left out waits to be logged, where room is needed.
const KEPT: Duration = Duration::from_secs(60);

/// Peers and kinds that are told apart; those beyond share the lines of their kind.
const MAX_KEYS: usize = 1024;

#[derive(Default)]
pub(crate) struct FindingLog(Mutex<HashMap<Key, Second>>);

type Key = (bool, Box<str>, Box<str>);

/// What was logged since `began`, and what was not.
#[derive(Clone, Copy)]
struct Second {
    began: Instant,
    lines: u32,
    left_out: u64,
}

impl FindingLog {
    /// Whether this finding has a line, and how many before it had none.
    pub(crate) fn line(&self, direction: Direction, peer: &str, kind: &str) -> Option<u64> {
        let now = Instant::now();
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds.len() >= MAX_KEYS {
            let keep = |s: &Second| if s.left_out > 0 { KEPT } else { SECOND };
            seconds.retain(|_, second| now.duration_since(second.began) < keep(second));
        }
        let peer = if seconds.len() < MAX_KEYS { peer } else { "" };
        let key = (direction == Direction::Inbound, peer.into(), kind.into());
        let second = seconds.entry(key).or_insert(Second { began: now, lines: 0, left_out: 0 });
        if now.duration_since(second.began) >= SECOND {
            (second.began, second.lines) = (now, 0);
        }
        if second.lines >= LINES {
            second.left_out += 1;
            return None;
        }
        second.lines += 1;
        Some(std::mem::take(&mut second.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_fills_no_log() {
        let log = FindingLog::default();
        let tell = || log.line(Direction::Outbound, "a", "connect");
        let lines = (0..5000).filter_map(|_| tell()).count();
        assert_eq!(lines, LINES as usize);
        assert_eq!(log.line(Direction::Inbound, "a", "connect"), Some(0));
        assert_eq!(log.line(Direction::Outbound, "a", "session"), Some(0));
        assert_eq!(log.line(Direction::Outbound, "b", "connect"), Some(0));
        tokio::time::advance(SECOND).await;
        assert_eq!(tell(), Some(5000 - u64::from(LINES)), "how many had no line");
        assert_eq!(tell(), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn peers_without_number_share_the_lines_of_a_kind() {
        let log = FindingLog::default();
        let tell = |n: usize| log.line(Direction::Inbound, &n.to_string(), "bad-proof");
        let lines = (0..10 * MAX_KEYS).filter_map(tell).count();
        assert!(lines <= MAX_KEYS + LINES as usize, "{lines}");
        assert!(log.0.lock().unwrap().len() <= MAX_KEYS + 1);
        tokio::time::advance(SECOND).await;
        assert!(tell(0).is_some());
    }
}
