//! Numbers that were used: a proof is good once (RFC 9449 §11.1).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use super::proof::{Checked, Leeway};
use super::{ProofError, Thumbprint};
use crate::identity::SpiffeId;
use crate::time::Timestamp;

/// How many numbers that are not needed any more one claim forgets, at most: it has to be quick.
const FORGET: usize = 8;

/// The numbers of proofs that are not too old yet. It holds so many and no more: where it is
/// full, the next proof is refused, and none is forgotten before its time.
///
/// A proof says when it was made by the wall clock; how long its number is held is measured by a
/// clock that never steps. Where the wall clock is set back, a proof that was used could be good
/// again. So as many numbers again are remembered beyond their time, the latest ones; and a proof
/// is refused that was not made after all those whose numbers are forgotten. A wall clock that was
/// ahead for a while therefore locks nobody out whose own clock was right.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    leeway: Leeway,
    capacity: usize,
    used: HashSet<[u8; 16]>,
    /// In the order in which they were claimed, and so in that in which they may be forgotten.
    order: VecDeque<Used>,
    /// How many of each key.
    of_key: HashMap<Thumbprint, usize>,
    /// How many of each caller: it may have as many keys as its issuer gives it tokens for.
    of_caller: HashMap<SpiffeId, usize>,
    latest: Timestamp,
    past: Past,
}

/// Numbers beyond their time, the latest ones. They take nothing of anybody's share.
#[derive(Clone, Debug, Default)]
struct Past {
    used: HashSet<[u8; 16]>,
    /// Oldest first, with the time at which the proof was made.
    order: VecDeque<([u8; 16], Timestamp)>,
    /// When the last of the proofs was made whose numbers are forgotten.
    forgotten: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Used {
    number: [u8; 16],
    key: Thumbprint,
    caller: SpiffeId,
    issued: Timestamp,
    /// A proof with this number is too old from then on, unless the wall clock is set back.
    until: Timestamp,
}

impl ReplayWindow {
    /// A window of `capacity` numbers, for proofs that are held against `leeway`. One key
    /// has at most a quarter of it, and so has one caller.
    #[must_use]
    pub fn new(leeway: Leeway, capacity: usize) -> Self {
        Self {
            leeway,
            capacity,
            used: HashSet::new(),
            order: VecDeque::new(),
            of_key: HashMap::new(),
            of_caller: HashMap::new(),
            latest: Timestamp::EPOCH,
            past: Past::default(),
        }
    }

    /// Uses a proof's number up, which `caller` presents: who is authenticated, whatever the token
    /// says. `now` is of a clock that never steps; which one makes no difference.
    ///
    /// # Errors
    /// Where it was used before, there is no room, or it is no newer than a proof that was used and
    /// is forgotten.
    pub fn claim(
        &mut self,
        proof: &Checked,
        caller: &SpiffeId,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        self.latest = self.latest.max(now);
        self.forget();
        if self.used.contains(&proof.number) || self.past.used.contains(&proof.number) {
            return Err(ProofError::Replayed);
        }
        if self.past.forgotten.is_some_and(|forgotten| proof.issued <= forgotten) {
            return Err(ProofError::TooOld);
        }
        if self.used.len() >= self.capacity {
            return Err(ProofError::WindowFull);
        }
        let share = self.capacity.div_ceil(4);
        if self.of_caller.get(caller).is_some_and(|count| *count >= share) {
            return Err(ProofError::CallerShare);
        }
        if self.of_key.get(&proof.thumbprint).is_some_and(|count| *count >= share) {
            return Err(ProofError::KeyShare);
        }
        *self.of_key.entry(proof.thumbprint).or_default() += 1;
        *self.of_caller.entry(caller.clone()).or_default() += 1;
        // Its `iat` may be ahead of us; from then on it may still be `past` old.
        let until = self.latest + self.leeway.future + self.leeway.past;
        self.used.insert(proof.number);
        let (number, key, caller) = (proof.number, proof.thumbprint, caller.clone());
        self.order.push_back(Used { number, key, caller, issued: proof.issued, until });
        Ok(())
    }

    /// How many numbers it holds that are not beyond their time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// Puts some of those away whose time is over.
    fn forget(&mut self) {
        for _ in 0..FORGET {
            if self.order.front().is_none_or(|used| used.until >= self.latest) {
                return;
            }
            let Some(oldest) = self.order.pop_front() else { return };
            self.used.remove(&oldest.number);
            leave(self.of_key.entry(oldest.key));
            leave(self.of_caller.entry(oldest.caller));
            self.past.add(oldest.number, oldest.issued, self.capacity);
        }
    }
}

impl Past {
    /// Remembers one number more, and of `most` the oldest one no longer.
    fn add(&mut self, number: [u8; 16], issued: Timestamp, most: usize) {
        self.used.insert(number);
        self.order.push_back((number, issued));
        if self.order.len() > most
            && let Some((oldest, issued)) = self.order.pop_front()
        {
            self.used.remove(&oldest);
            self.forgotten = self.forgotten.max(Some(issued));
        }
    }
}

/// One fewer.
fn leave<K>(share: Entry<'_, K, usize>) {
    if let Entry::Occupied(mut share) = share {
        *share.get_mut() -= 1;
        if *share.get() == 0 {
            share.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const A: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/a");
    const B: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/b");
    const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

    fn proof(key: u8, number: u8, issued: Timestamp) -> Checked {
        Checked { thumbprint: [key; 32].into(), number: [number; 16], issued }
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn window(capacity: usize) -> ReplayWindow {
        ReplayWindow::new(Leeway { past: secs(60), future: secs(5) }, capacity)
    }

    #[test]
    fn a_number_is_used_once_for_as_long_as_its_proof_could_be_good() {
        let mut window = window(8);
        // Its maker's clock is 5 s ahead: it is good for 65 s by ours.
        let early = proof(1, 1, NOW + secs(5));
        assert_eq!(window.claim(&early, A, NOW), Ok(()));
        for later in [0, 1, 60, 65] {
            assert_eq!(window.claim(&early, A, NOW + secs(later)), Err(ProofError::Replayed));
        }
        // Later it is too old by its time; and where the clock was set back, it was used.
        assert_eq!(window.claim(&early, A, NOW + secs(66)), Err(ProofError::Replayed));
        assert!(window.is_empty(), "it takes no place");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_old_proof_good_again() {
        // A hundred minutes, of which the wall clock shows the same one again and again.
        let mut window = window(16);
        let mut used = Vec::new();
        for minute in 0..100 {
            let now = NOW + secs(70 * minute);
            for n in 0..2 {
                let proof = proof(1, 2 * minute as u8 + n, NOW + secs(u64::from(n)));
                match window.claim(&proof, A, now) {
                    Ok(()) => used.push(proof),
                    refused => assert_eq!(refused, Err(ProofError::TooOld)),
                }
            }
            for again in &used {
                assert!(window.claim(again, A, now).is_err(), "{again:?} a second time");
            }
        }
        assert!(used.len() >= 16, "{}", used.len());
        assert!(window.past.order.len() <= 16 && window.past.used.len() <= 16, "it has a bound");
    }

    #[test]
    fn a_clock_that_steps_ahead_and_back_locks_nobody_out() {
        let (mut window, ahead) = (window(16), secs(7200));
        assert_eq!(window.claim(&proof(1, 1, NOW), A, NOW), Ok(()));
        // Both clocks are two hours ahead, and are set right.
        let early = proof(1, 2, NOW + ahead);
        assert_eq!(window.claim(&early, A, NOW + secs(1)), Ok(()));
        assert_eq!(window.claim(&proof(1, 3, NOW + secs(2)), A, NOW + secs(2)), Ok(()));
        // Two hours later, the time comes round at which the early one says that it was made.
        let later = NOW + ahead;
        assert_eq!(window.claim(&early, A, later), Err(ProofError::Replayed));
        assert_eq!(window.claim(&proof(1, 4, later), A, later), Ok(()));
    }

    #[test]
    fn a_full_window_refuses_and_forgets_none_before_its_time() {
        let mut window = window(4);
        for n in 0..4 {
            let caller = format!("spiffe://shop.example/{n}").parse().unwrap();
            assert_eq!(window.claim(&proof(n, n, NOW), &caller, NOW), Ok(()));
        }
        assert_eq!(window.claim(&proof(9, 9, NOW), A, NOW), Err(ProofError::WindowFull));
        assert_eq!(window.claim(&proof(0, 0, NOW), A, NOW), Err(ProofError::Replayed));
        let later = NOW + secs(66);
        assert_eq!(window.claim(&proof(9, 9, later), A, later), Ok(()));
        assert_eq!((window.len(), window.past.order.len()), (1, 4));
    }

    #[test]
    fn one_key_does_not_fill_it_for_the_others() {
        let mut window = window(16);
        for n in 0..4 {
            assert_eq!(window.claim(&proof(1, n, NOW), A, NOW), Ok(()));
        }
        assert_eq!(window.claim(&proof(1, 4, NOW), B, NOW), Err(ProofError::KeyShare));
        assert_eq!(window.claim(&proof(2, 5, NOW), B, NOW), Ok(()));
        let later = NOW + secs(66);
        assert_eq!(window.claim(&proof(1, 6, later), A, later), Ok(()), "its share is free again");
        assert_eq!((window.of_key.len(), window.of_caller.len()), (1, 1));
    }

    #[test]
    fn one_caller_does_not_fill_it_for_the_others_with_as_many_keys_as_it_likes() {
        let mut window = window(16);
        for n in 0..4 {
            assert_eq!(window.claim(&proof(n, n, NOW), A, NOW), Ok(()));
        }
        for n in 4..20 {
            let refused = window.claim(&proof(n, n, NOW), A, NOW);
            assert_eq!(refused, Err(ProofError::CallerShare));
        }
        assert_eq!(window.claim(&proof(30, 30, NOW), B, NOW), Ok(()));
        assert_eq!(
            (window.of_key.len(), window.of_caller.len()),
            (5, 2),
            "what is refused has none"
        );
        let later = NOW + secs(66);
        assert_eq!(window.claim(&proof(9, 9, later), A, later), Ok(()), "its share is free again");
        assert_eq!((window.of_key.len(), window.of_caller.len()), (1, 1));
    }

    #[test]
    fn one_claim_forgets_a_few_and_the_next_ones_the_rest() {
        let mut window = window(1024);
        for n in 0..100 {
            assert_eq!(window.claim(&proof(n, n, NOW), A, NOW), Ok(()));
        }
        let later = NOW + secs(66);
        for n in 100..120 {
            assert_eq!(window.claim(&proof(n, n, later), A, later), Ok(()));
        }
        assert_eq!(window.len(), 20);
        assert_eq!(window.order.len(), 20);
    }
}
