//! Nonces that a server hands out, so that a proof was not made long before (RFC 9449 §8, §9).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::time::Timestamp;

/// The nonce that proofs are to carry, and the one before it. The same for all callers: it says
/// when a proof was made, not by whom.
#[derive(Clone, Debug)]
pub struct Nonces {
    period: Duration,
    current: String,
    previous: Option<String>,
    since: Timestamp,
}

impl Nonces {
    /// A nonce is handed out for `period`, and good for as long again.
    #[must_use]
    pub fn new(period: Duration, random: [u8; 16], now: Timestamp) -> Self {
        Self { period, current: text(random), previous: None, since: now }
    }

    /// Whether [`turn`](Self::turn) is due. A clock that was set back is a reason too.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        now < self.since || now.since(self.since) >= self.period
    }

    /// The next nonce, where it is due: random bytes that nobody can guess.
    pub fn turn(&mut self, random: [u8; 16], now: Timestamp) {
        if !self.is_due(now) {
            return;
        }
        // After a pause, the one before is too old as well.
        let late = now < self.since || now.since(self.since) >= self.period * 2;
        let ended = std::mem::replace(&mut self.current, text(random));
        self.previous = (!late).then_some(ended);
        self.since = now;
    }

    /// The one to hand out.
    #[must_use]
    pub fn current(&self) -> &str {
        &self.current
    }

    /// Those that are good.
    #[must_use]
    pub fn good(&self) -> Vec<&str> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().map(|n| &**n).collect()
    }
}

fn text(random: [u8; 16]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_two_periods_and_no_longer() {
        let at = |secs: u64| Timestamp::from_unix_secs(1_700_000_000 + secs);
        let mut nonces = Nonces::new(Duration::from_secs(60), [1; 16], at(0));
        let first = nonces.current().to_owned();
        nonces.turn([2; 16], at(59));
        assert_eq!(nonces.good(), [&*first]);
        nonces.turn([2; 16], at(60));
        assert_ne!(nonces.current(), first);
        assert!(nonces.good().contains(&&*first));
        nonces.turn([3; 16], at(120));
        assert!(!nonces.good().contains(&&*first));
        nonces.turn([4; 16], at(400));
        assert_eq!(nonces.good().len(), 1, "nobody asked for two periods");
        assert!(nonces.is_due(at(1)), "the clock was set back");
    }
}
