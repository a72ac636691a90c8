//! Why sessions have ended, for who asks.

use std::collections::VecDeque;
use std::fmt;

use meshguard_core::delivery::Sid;

/// Ended sessions that are remembered; of older ones nobody knows any more why.
const REMEMBERED: usize = 1024;

/// Why a session takes no new exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotLive {
    /// It was opened before this instance started, at another one, or never; or it has ended long
    /// ago.
    Unknown,
    /// Its time is over.
    Expired,
    /// Its caller has opened more than its share, or there is no room.
    Evicted,
    /// Its caller had left without receipts, and its principal owed too many.
    Departed,
    /// Its caller had no right to be here: revoked, expired, or cut off by the loop.
    Withdrawn,
    /// A proof or a tag in it did not hold.
    Doubtful,
    /// Policy reads headers that its proofs do not cover.
    Covers,
    /// It came through a hop, where policy has bodies sealed by now, and it is not.
    NotSealed,
}

impl fmt::Display for NotLive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "no such session is known to this instance",
            Self::Expired => "the session's time is over",
            Self::Evicted => "the session made room for newer ones",
            Self::Departed => "the session was ended: its caller had left without receipts",
            Self::Withdrawn => "the session was ended: its caller had no right to be here",
            Self::Doubtful => "the session was ended: a proof or a tag in it did not hold",
            Self::Covers => "the session's proofs do not cover what policy reads by now",
            Self::NotSealed => "the session is not sealed, and came through a hop",
        })
    }
}

/// The sessions that have ended last.
#[derive(Default)]
pub(super) struct Ended(VecDeque<(Sid, NotLive)>);

impl Ended {
    pub(super) fn add(&mut self, sid: Sid, why: NotLive) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((sid, why));
    }

    pub(super) fn why(&self, sid: &Sid) -> NotLive {
        let found = self.0.iter().rev().find(|(ended, _)| ended == sid);
        found.map_or(NotLive::Unknown, |(_, why)| *why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_ended_sessions_are_remembered_and_not_one_more() {
        let sid = |n: usize| Sid::from_random((n as u128).to_be_bytes());
        let mut ended = Ended::default();
        (0..=REMEMBERED).for_each(|n| ended.add(sid(n), NotLive::Evicted));
        assert_eq!(ended.why(&sid(0)), NotLive::Unknown);
        assert_eq!(ended.why(&sid(1)), NotLive::Evicted);
        assert_eq!(ended.0.len(), REMEMBERED);
    }
}
