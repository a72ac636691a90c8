//! Random entries of every kind.

#![allow(unreachable_pub, clippy::unwrap_used)] // shared by tests

use std::time::Duration;

use meshguard_core::delivery::{Counts, Failure, Outcome, Sid, Unknown};
use meshguard_core::ledger::{
    Action, Adopted, Change, Decision, Dropped, Effect, End, Entry, Exchange, Gap, GapCause,
    Incident, KINDS, Operator, PolicyChange, Received, Refusals, Rewritten, Sent, Stamp, Start,
    Stop, Unconfirmed,
};
use meshguard_core::{Evidence, Timestamp};

use super::Rng;

/// Texts that the entries borrow.
pub struct Texts(Vec<String>);

impl Texts {
    pub fn random(rng: &mut Rng) -> Self {
        let alphabet = ['a', 'Z', '/', '{', 'é', '…', '\\', '🦀', '世', ' '];
        let texts = (0..16).map(|_| {
            let len = match rng.below(20) {
                0 => 0,
                1 => 600,
                _ => rng.below(40),
            };
            (0..len).map(|_| alphabet[rng.below(alphabet.len())]).collect()
        });
        Self(texts.collect())
    }

    fn one(&self, rng: &mut Rng) -> &str {
        &self.0[rng.below(self.0.len())]
    }

    fn maybe(&self, rng: &mut Rng) -> Option<&str> {
        (rng.below(2) == 0).then(|| self.one(rng))
    }
}

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.below(of.len())]
}

fn maybe<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    (rng.below(2) == 0).then(|| make(rng))
}

/// Small and large numbers alike.
fn number(rng: &mut Rng) -> u64 {
    let shift = rng.below(64);
    rng.next() >> shift
}

fn time(rng: &mut Rng) -> Timestamp {
    Timestamp::from_unix_nanos(number(rng))
}

fn digest(rng: &mut Rng) -> [u8; 32] {
    rng.bytes(32).try_into().unwrap()
}

fn exchange(rng: &mut Rng) -> Exchange {
    let sid = Sid::from_random(rng.bytes(16).try_into().unwrap());
    Exchange { sid, seq: number(rng), attempt: rng.next() as u8 }
}

fn evidence(rng: &mut Rng) -> Evidence {
    pick(rng, &[Evidence::None, Evidence::Length, Evidence::Digest, Evidence::Verified])
}

pub const OUTCOMES: [Outcome; 14] = [
    Outcome::Delivered,
    Outcome::Rejected,
    Outcome::Failed(Failure::Aborted),
    Outcome::Failed(Failure::ShortReceipt),
    Outcome::Failed(Failure::WrongReceipt),
    Outcome::Failed(Failure::BadReceipt),
    Outcome::NotDelivered,
    Outcome::Indeterminate(Unknown::NoAnswer),
    Outcome::Indeterminate(Unknown::Unproven),
    Outcome::Indeterminate(Unknown::BadProof),
    Outcome::Indeterminate(Unknown::NoReceipt),
    Outcome::Indeterminate(Unknown::Duplicate),
    Outcome::Indeterminate(Unknown::Dropped),
    Outcome::AnsweredEarly,
];
const ENDS: [End; 6] =
    [End::Consumed, End::Received, End::Partial, End::Bad, End::Unread, End::Plain];
const CAUSES: [GapCause; 4] =
    [GapCause::QueueFull, GapCause::TornTail, GapCause::WriteFailed, GapCause::Unsigned];
const CHANGES: [Change; 6] = [
    Change::Applied,
    Change::Shadowed,
    Change::Refused,
    Change::Undone,
    Change::Expired,
    Change::Lifted,
];

pub fn stamp(rng: &mut Rng) -> Stamp {
    Stamp { seq: number(rng), at: time(rng), elapsed: Duration::from_nanos(number(rng)) }
}

fn counts(rng: &mut Rng) -> Counts {
    Counts {
        begun: number(rng),
        delivered: number(rng),
        answered_early: number(rng),
        rejected: number(rng),
        failed: number(rng),
        not_delivered: number(rng),
        indeterminate: number(rng),
        open: number(rng),
    }
}

fn sent<'a>(rng: &mut Rng, texts: &'a Texts) -> Sent<'a> {
    Sent {
        to: texts.one(rng),
        via: texts.maybe(rng),
        instance: texts.maybe(rng),
        method: texts.maybe(rng),
        route: texts.maybe(rng),
        exchange: maybe(rng, exchange),
        outcome: pick(rng, &OUTCOMES),
        status: maybe(rng, |rng| rng.next() as u16),
        evidence: evidence(rng),
        request_bytes: number(rng),
        response_bytes: number(rng),
        latency: Duration::from_nanos(number(rng)),
        digest: maybe(rng, digest),
    }
}

fn received<'a>(rng: &mut Rng, texts: &'a Texts) -> Received<'a> {
    Received {
        from: texts.maybe(rng),
        via: texts.maybe(rng),
        route: texts.maybe(rng),
        rule: texts.maybe(rng),
        exchange: maybe(rng, exchange),
        status: maybe(rng, |rng| rng.next() as u16),
        evidence: evidence(rng),
        end: pick(rng, &ENDS),
        request_bytes: number(rng),
        response_bytes: number(rng),
        latency: Duration::from_nanos(number(rng)),
        digest: maybe(rng, digest),
        failure: texts.maybe(rng),
    }
}

fn decision<'a>(rng: &mut Rng, texts: &'a Texts) -> Decision<'a> {
    Decision {
        id: u128::from(rng.next()) << 64 | u128::from(rng.next()),
        from: texts.maybe(rng),
        via: texts.maybe(rng),
        allowed: rng.below(2) == 0,
        reason: texts.one(rng),
        route: texts.maybe(rng),
        policy_version: number(rng),
    }
}

fn incident<'a>(rng: &mut Rng, texts: &'a Texts) -> Incident<'a> {
    Incident {
        id: number(rng),
        edge: texts.one(rng),
        reflex: texts.one(rng),
        signal: texts.one(rng),
        bits: number(rng) as f32 / 7.0,
        state: texts.one(rng),
        text: texts.one(rng),
    }
}

fn action<'a>(rng: &mut Rng, texts: &'a Texts) -> Action<'a> {
    Action {
        id: number(rng),
        incident: maybe(rng, number),
        kind: texts.one(rng),
        edge: texts.one(rng),
        change: pick(rng, &CHANGES),
        why: texts.one(rng),
        expires: maybe(rng, time),
    }
}

fn effect<'a>(rng: &mut Rng, texts: &'a Texts) -> Effect<'a> {
    Effect {
        action: number(rng),
        incident: maybe(rng, number),
        effect: texts.one(rng),
        before: number(rng) as f32 / 3.0,
        after: -(number(rng) as f32),
    }
}

fn gap(rng: &mut Rng) -> Gap {
    Gap {
        cause: pick(rng, &CAUSES),
        count: maybe(rng, number),
        first_seq: maybe(rng, number),
        since: maybe(rng, time),
        until: maybe(rng, time),
    }
}

fn unconfirmed<'a>(rng: &mut Rng, texts: &'a Texts) -> Unconfirmed<'a> {
    Unconfirmed {
        from: texts.one(rng),
        via: texts.maybe(rng),
        sid: Sid::from_random(rng.bytes(16).try_into().unwrap()),
        first: number(rng),
        last: number(rng),
    }
}

fn refusals<'a>(rng: &mut Rng, texts: &'a Texts) -> Refusals<'a> {
    Refusals {
        from: texts.maybe(rng),
        via: texts.maybe(rng),
        route: texts.maybe(rng),
        code: rng.next() as u16,
        reason: texts.one(rng),
        policy_version: number(rng),
        count: number(rng),
        accepted: number(rng),
        first: maybe(rng, exchange),
        last: maybe(rng, exchange),
        since: time(rng),
        until: time(rng),
    }
}

/// An entry of the kind with this number.
pub fn entry<'a>(rng: &mut Rng, texts: &'a Texts, kind: usize) -> Entry<'a> {
    match kind {
        1 => Entry::Start(Start {
            service: texts.one(rng),
            instance: texts.one(rng),
            version: texts.one(rng),
            policy_version: number(rng),
        }),
        2 => {
            let (sent, accepted, settled) = (counts(rng), number(rng), number(rng));
            Entry::Stop(Stop { sent, accepted, settled })
        }
        3 => Entry::Policy(PolicyChange { version: number(rng), replaced: maybe(rng, number) }),
        4 => Entry::Sent(sent(rng, texts)),
        5 => Entry::Received(received(rng, texts)),
        6 => Entry::Decision(decision(rng, texts)),
        7 => Entry::Incident(incident(rng, texts)),
        8 => Entry::Action(action(rng, texts)),
        9 => Entry::Effect(effect(rng, texts)),
        10 => Entry::Operator(Operator { verb: texts.one(rng), target: texts.one(rng) }),
        11 => Entry::Gap(gap(rng)),
        12 => Entry::Unconfirmed(unconfirmed(rng, texts)),
        13 => Entry::Refusals(refusals(rng, texts)),
        14 => Entry::Adopted(Adopted { first_seq: number(rng), count: number(rng) }),
        15 => Entry::Dropped(Dropped { first_kept: number(rng), archived: rng.below(2) == 0 }),
        _ => {
            let [before, after] = [(); 2].map(|()| [rng.next() as u8; 32]);
            Entry::Rewritten(Rewritten { version: number(rng), before, after })
        }
    }
}

/// An entry of any kind.
pub fn any<'a>(rng: &mut Rng, texts: &'a Texts) -> Entry<'a> {
    let kind = 1 + rng.below(KINDS);
    entry(rng, texts, kind)
}
