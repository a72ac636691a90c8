//! Wrong proofs and tags on direct connections: a bug more often than an attack, until they are
//! many.

use std::collections::HashMap;
use std::time::Duration;

use super::Sid;
use crate::identity::SpiffeId;
use crate::time::Timestamp;

/// In as many sessions of one principal something must be wrong until it counts as forged.
pub const SESSIONS: usize = 3;
/// Within this time.
pub const WITHIN: Duration = Duration::from_secs(600);
/// Principals that are remembered, at most: beyond, the one that was noticed least recently is
/// forgotten.
pub const MAX_PRINCIPALS: usize = 1024;

/// Which principals' sessions had something in them that no honest peer could have sent.
///
/// The peer of a direct connection has the session's keys, so it gains nothing by a wrong tag:
/// the first one ends its session. Three in three sessions within ten minutes are forged.
#[derive(Debug, Default)]
pub struct Forgeries(HashMap<SpiffeId, Vec<(Timestamp, Sid)>>);

impl Forgeries {
    /// Something was wrong in this session. Returns whether it counts as forged by now.
    pub fn notice(&mut self, principal: &SpiffeId, sid: Sid, now: Timestamp) -> bool {
        if !self.0.contains_key(principal) {
            self.make_room(now);
        }
        let sessions = self.0.entry(principal.clone()).or_default();
        sessions.retain(|(at, _)| now.since(*at) < WITHIN);
        if sessions.iter().any(|(_, known)| *known == sid) {
            return false;
        }
        if sessions.len() == SESSIONS {
            sessions.remove(0);
        }
        sessions.push((now, sid));
        sessions.len() == SESSIONS
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.0.len() < MAX_PRINCIPALS {
            return;
        }
        let last = |sessions: &Vec<(Timestamp, Sid)>| sessions.last().map(|(at, _)| *at);
        self.0.retain(|_, sessions| last(sessions).is_some_and(|at| now.since(at) < WITHIN));
        if self.0.len() >= MAX_PRINCIPALS {
            let oldest = self.0.iter().min_by_key(|(_, sessions)| last(sessions));
            if let Some(oldest) = oldest.map(|(principal, _)| principal.clone()) {
                self.0.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp::from_unix_secs(10_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn id(n: usize) -> SpiffeId {
        format!("spiffe://shop.example/{n}").parse().unwrap()
    }

    fn sid(n: u8) -> Sid {
        Sid::from_random([n; 16])
    }

    #[test]
    fn three_in_three_sessions_within_ten_minutes_are_forged() {
        let mut forgeries = Forgeries::default();
        assert!(!forgeries.notice(&id(1), sid(1), T));
        assert!(!forgeries.notice(&id(1), sid(2), T + MINUTE));
        // Of another principal; of a session that was noticed already.
        assert!(!forgeries.notice(&id(2), sid(3), T + MINUTE));
        assert!(!forgeries.notice(&id(1), sid(2), T + 2 * MINUTE));
        assert!(forgeries.notice(&id(1), sid(3), T + 9 * MINUTE));
        // And so is the next, while three are recent.
        assert!(forgeries.notice(&id(1), sid(4), T + 10 * MINUTE));
    }

    #[test]
    fn what_was_ten_minutes_ago_counts_no_longer() {
        let mut forgeries = Forgeries::default();
        for n in 0..20 {
            let at = T + 5 * MINUTE * u32::from(n);
            assert!(!forgeries.notice(&id(1), sid(n), at), "{n}: two within ten minutes");
        }
    }

    #[test]
    fn principals_are_bounded_and_the_one_noticed_least_recently_goes() {
        let mut forgeries = Forgeries::default();
        let second = |n: usize| T + Duration::from_millis(n as u64);
        (0..=MAX_PRINCIPALS).for_each(|n| {
            forgeries.notice(&id(n), sid(1), second(n));
        });
        assert_eq!(forgeries.0.len(), MAX_PRINCIPALS);
        assert!(!forgeries.0.contains_key(&id(0)) && forgeries.0.contains_key(&id(1)));
        forgeries.notice(&id(0), sid(1), T + 2 * WITHIN);
        assert_eq!(forgeries.0.len(), 1, "those of long ago go first");
    }
}
