//! Findings in the log: the first few of a name and edge in each second, and how many others
//! there were.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use meshguard_core::SpiffeId;
use tokio::time::Instant;

use crate::sink::{Direction, Edge};

/// Lines a second of one name about one edge.
pub(crate) const LINES: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// How long a number of lines that were left out waits to be logged, where room is needed.
const KEPT: Duration = Duration::from_secs(60);

/// Edges and names that are told apart; those beyond share the lines of their name.
const MAX_KEYS: usize = 1024;

#[derive(Default)]
pub(crate) struct FindingLog(Mutex<HashMap<About, Second>>);

/// Of what a line speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct About {
    pub(crate) direction: Direction,
    /// The far end of the edge: the near one is this service.
    pub(crate) peer: Box<str>,
    pub(crate) via: Box<str>,
    pub(crate) name: Box<str>,
}

/// What was logged since `began`, and what was not.
#[derive(Clone, Copy)]
struct Second {
    began: Instant,
    lines: u32,
    left_out: u64,
}

impl About {
    pub(crate) fn new(direction: Direction, edge: &Edge<'_>, name: &str) -> Self {
        let peer = match direction {
            Direction::Inbound => edge.from.map_or("", SpiffeId::as_str),
            Direction::Outbound => edge.to.as_str(),
        };
        let via = edge.via.map_or("", SpiffeId::as_str);
        Self { direction, peer: peer.into(), via: via.into(), name: name.into() }
    }
}

impl FindingLog {
    /// Whether this finding has a line, and how many before it had none.
    pub(crate) fn line(&self, about: &About) -> Option<u64> {
        let now = Instant::now();
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds.len() >= MAX_KEYS {
            let keep = |s: &Second| if s.left_out > 0 { KEPT } else { SECOND };
            seconds.retain(|_, second| now.duration_since(second.began) < keep(second));
        }
        let mut about = about.clone();
        if seconds.len() >= MAX_KEYS && !seconds.contains_key(&about) {
            (about.peer, about.via) = ("".into(), "".into());
        }
        let second = seconds.entry(about).or_insert(Second { began: now, lines: 0, left_out: 0 });
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

    /// What was left out in seconds that are over, and that no line has told since.
    pub(crate) fn left_out(&self) -> Vec<(About, u64)> {
        let now = Instant::now();
        let mut seconds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |second: &Second| now.duration_since(second.began) >= SECOND;
        let due = seconds.iter_mut().filter(|(_, second)| over(second) && second.left_out > 0);
        due.map(|(about, second)| (about.clone(), std::mem::take(&mut second.left_out))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(direction: Direction, peer: &str, via: &str, name: &str) -> About {
        About { direction, peer: peer.into(), via: via.into(), name: name.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_fills_no_log() {
        let log = FindingLog::default();
        let tell = || log.line(&about(Direction::Outbound, "a", "", "connect"));
        let lines = (0..5000).filter_map(|_| tell()).count();
        assert_eq!(lines, LINES as usize);
        let others = [
            about(Direction::Inbound, "a", "", "connect"),
            about(Direction::Outbound, "a", "", "session"),
            about(Direction::Outbound, "b", "", "connect"),
            about(Direction::Outbound, "a", "hop", "connect"),
        ];
        others.iter().for_each(|other| assert_eq!(log.line(other), Some(0), "{other:?}"));
        tokio::time::advance(SECOND).await;
        assert_eq!(tell(), Some(5000 - u64::from(LINES)), "how many had no line");
        assert_eq!(tell(), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_out_is_told_though_nothing_follows() {
        let log = FindingLog::default();
        let flood = about(Direction::Inbound, "a", "hop", "denied");
        (0..100).for_each(|_| _ = log.line(&flood));
        assert_eq!(log.left_out(), [], "its second is not over");
        tokio::time::advance(SECOND).await;
        assert_eq!(log.left_out(), [(flood, 100 - u64::from(LINES))]);
        assert_eq!(log.left_out(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn edges_without_number_share_the_lines_of_a_name() {
        let log = FindingLog::default();
        let tell = |n: usize| log.line(&about(Direction::Inbound, &n.to_string(), "", "bad-proof"));
        let lines = (0..10 * MAX_KEYS).filter_map(tell).count();
        assert!(lines <= MAX_KEYS + LINES as usize, "{lines}");
        assert!(log.0.lock().unwrap().len() <= MAX_KEYS + 1);
        tokio::time::advance(SECOND).await;
        assert!(tell(0).is_some());
    }
}
