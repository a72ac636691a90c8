//! Whatever an honest sender gives up, and whatever becomes of its requests on their way, its
//! receiver finds nothing missing; and what a hop withholds that was not given up, it does find.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::BTreeSet;

use meshguard_core::Timestamp;
use meshguard_core::delivery::field::{Body, RequestField, put_proof};
use meshguard_core::delivery::{
    Finding, Outcome, Proof, Receiver, Sender, SessionKeys, Sid, Suite, Ticket, Unknown,
};
use support::Rng;

const RUNS: usize = 300;
const STEPS: usize = 400;
const T: Timestamp = Timestamp::from_unix_secs(1_000);

/// An exchange: the head on its way, and what its sender still waits for.
struct Call {
    head: Vec<u8>,
    ticket: Option<Ticket>,
    /// Whether the receiver has seen it; whether it admitted it.
    arrived: Option<bool>,
    lost: bool,
}

struct Run {
    rng: Rng,
    hop: bool,
    keys: SessionKeys,
    sender: Sender,
    receiver: Receiver,
    calls: Vec<Call>,
    withheld: BTreeSet<u64>,
    missed: BTreeSet<u64>,
}

impl Run {
    fn new(mut rng: Rng, hop: bool) -> Self {
        let window = [4, 16, 300, 4096][rng.below(4)];
        let sender = Sender::new(window);
        Self {
            hop,
            keys: SessionKeys::derive(Suite::Mac, &mut [7; 32]),
            sender: if hop { sender.through_hop() } else { sender },
            receiver: Receiver::new(window),
            calls: Vec::new(),
            withheld: BTreeSet::new(),
            missed: BTreeSet::new(),
            rng,
        }
    }

    fn begin(&mut self) -> bool {
        let Ok((ticket, admission)) = self.sender.begin(T) else { return false };
        let numbers = (admission.seq, admission.att, admission.low);
        let mut head = Vec::new();
        let sid = Sid::from_random([1; 16]);
        RequestField::write(&mut head, &sid, numbers, ticket.void(), &Body::None, None, None);
        put_proof(&mut head, &Proof([0; 16]));
        self.calls.push(Call { head, ticket: Some(ticket), arrived: None, lost: false });
        true
    }

    /// The head arrives; perhaps not for the first time.
    fn arrive(&mut self, at: usize) {
        let call = &mut self.calls[at];
        if call.lost {
            return;
        }
        let field = RequestField::parse(&call.head).unwrap();
        let claimed = self.receiver.claim(&field, &self.keys.receipt, T, T);
        call.arrived = call.arrived.or(Some(claimed.is_ok()));
        if let Ok(claim) = claimed {
            self.receiver.settled(claim);
        }
        while let Some(finding) = self.receiver.poll_finding() {
            if let Finding::Divergence { first, last } = finding {
                self.missed.extend(first..=last);
            }
        }
    }

    /// The answer of what has arrived comes back.
    fn answer(&mut self, at: usize) {
        let call = &mut self.calls[at];
        let Some(admitted) = call.arrived else { return };
        let Some(mut ticket) = call.ticket.take() else { return };
        if admitted {
            self.sender.head_proven(&mut ticket);
        }
        let outcome = if admitted { Outcome::Delivered } else { Outcome::Rejected };
        self.sender.end(ticket, outcome, T);
    }

    fn end(&mut self, at: usize, outcome: Outcome) {
        if let Some(ticket) = self.calls[at].ticket.take() {
            self.sender.end(ticket, outcome, T);
        }
    }

    fn step(&mut self) {
        let any = |run: &mut Self| {
            let recent = run.calls.len().min(40);
            run.calls.len() - 1 - run.rng.below(recent)
        };
        if self.calls.is_empty() {
            self.begin();
            return;
        }
        let at = any(self);
        match self.rng.below(12) {
            0..=3 => drop(self.begin()),
            4..=6 => self.arrive(at),
            7 | 8 => self.answer(at),
            9 => self.end(at, Outcome::Indeterminate(Unknown::Dropped)),
            10 => match self.rng.below(4) {
                0 => {
                    self.calls[at].lost |= self.calls[at].arrived.is_none();
                    self.end(at, Outcome::NotDelivered);
                }
                1 => {
                    if let Some(ticket) = self.calls[at].ticket.take() {
                        self.sender.taken_back(ticket, T);
                    }
                }
                2 => self.cut(),
                _ => self.arrive(at),
            },
            _ if self.hop => self.withhold(at),
            _ => self.answer(at),
        }
    }

    /// The connection is lost, with some of what was on its way.
    fn cut(&mut self) {
        for at in 0..self.calls.len() {
            self.calls[at].lost |= self.rng.below(2) == 0;
            self.end(at, Outcome::Indeterminate(Unknown::NoAnswer));
        }
    }

    /// The hop answers by itself, and has the request vanish.
    fn withhold(&mut self, at: usize) {
        let call = &mut self.calls[at];
        if call.arrived.is_none() && !call.lost {
            let Some(ticket) = &call.ticket else { return };
            self.withheld.insert(ticket.seq());
            call.lost = true;
            self.end(at, Outcome::Indeterminate(Unknown::Unproven));
        }
    }

    /// All that is under way ends, and calls follow that are answered: until the receiver has
    /// been told of all. `false` where the session has ended before.
    fn settle(&mut self) -> bool {
        for at in 0..self.calls.len() {
            self.end(at, Outcome::Indeterminate(Unknown::Dropped));
        }
        for _ in 0..8 {
            if !self.begin() {
                return false;
            }
            let last = self.calls.len() - 1;
            self.arrive(last);
            self.answer(last);
        }
        assert!(!self.sender.has_void(), "nothing is left to tell");
        true
    }
}

#[test]
fn an_honest_sender_is_never_missed_whatever_it_gives_up() {
    let mut seeds = Rng::seeded("an_honest_sender_is_never_missed_whatever_it_gives_up");
    let mut settled = 0;
    for _ in 0..RUNS {
        let seed = seeds.next();
        let mut run = Run::new(Rng::from_seed(seed), false);
        (0..STEPS).for_each(|_| run.step());
        settled += usize::from(run.settle());
        assert!(run.missed.is_empty(), "seed {seed}: {:?}", run.missed);
    }
    assert!(settled > RUNS / 4, "{settled}");
}

#[test]
fn what_a_hop_withholds_is_missed_and_nothing_else() {
    let mut seeds = Rng::seeded("what_a_hop_withholds_is_missed_and_nothing_else");
    let mut withheld = 0;
    for _ in 0..RUNS {
        let seed = seeds.next();
        let mut run = Run::new(Rng::from_seed(seed), true);
        (0..STEPS).for_each(|_| run.step());
        if run.settle() {
            assert_eq!(run.missed, run.withheld, "seed {seed}");
            withheld += run.withheld.len();
        } else {
            assert!(run.missed.is_subset(&run.withheld), "seed {seed}");
        }
    }
    assert!(withheld > RUNS, "{withheld}");
}
