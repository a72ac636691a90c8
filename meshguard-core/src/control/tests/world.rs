//! A service with its edges, on a clock that is set by hand.

use std::time::Duration;

use super::super::{Action, Control, Event};
use crate::baseline::{Departure, EdgeKey, FEATURES, Feature, Measure, Score};
use crate::identity::SpiffeId;
use crate::policy::Policy;
use crate::reflex::{ActionKind, Plan};
use crate::time::Timestamp;

pub(super) const T0: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
/// Above the threshold of one false alarm in 30 days at windows of 1 s, which is 21.3 bits.
pub(super) const BITS: f32 = 30.0;
/// Below half of it.
pub(super) const FEW: f32 = 5.0;

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

pub(super) struct World {
    pub(super) control: Control,
    pub(super) now: Timestamp,
}

pub(super) fn plan(text: &str) -> Plan {
    let text = format!("mesh='a'\nversion=1\n{text}");
    let policy: Policy = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    policy.plan().clone()
}

/// A reflex on errors with these steps, and a governor that permits all.
pub(super) fn reflex(steps: &str) -> Plan {
    plan(&format!(
        "[[reflex]]\nname='r'\non={{signal='errors', false_alarms='1 in 30 days'}}\n{steps}\n{FREE}"
    ))
}

pub(super) const FREE: &str =
    "[governor]\nmax_share=1\nmin_healthy=0\nmin_peers=0\nmin_calls=0\nmax_actions='10000/s'";

pub(super) fn caller(n: usize) -> EdgeKey {
    EdgeKey::Caller(SpiffeId::try_from(format!("spiffe://a/c{n}")).unwrap())
}

pub(super) fn callee(id: &str, instance: &str) -> EdgeKey {
    let id = SpiffeId::try_from(format!("spiffe://a/{id}")).unwrap();
    EdgeKey::Callee { id, instance: instance.into() }
}

pub(super) fn address(n: u8) -> EdgeKey {
    EdgeKey::Address([10, 0, 0, n].into())
}

pub(super) fn hop() -> EdgeKey {
    EdgeKey::HopIn(SpiffeId::from_static("spiffe://a/hop"))
}

/// A window of 1 s in which all is normal but the errors.
pub(super) fn errors(bits: f32) -> Score {
    let normal = |value| Measure { observed: true, value, normal: value, ..Measure::default() };
    let mut measures = [Measure::default(); FEATURES];
    measures[Feature::Rate.index()] = normal(100.0);
    measures[Feature::P99.index()] = normal(0.08);
    let value = 0.01 + bits / 100.0;
    let departure = Departure { value, normal: 0.01, spreads: bits - 1.0 };
    let Departure { normal, spreads, .. } = departure;
    let measure = Measure { observed: true, bits, harm: bits, departure, ..Measure::default() };
    measures[Feature::Errors.index()] = Measure { value, normal, spreads, ..measure };
    let (top, score) = (Some(Feature::Errors), Score::default());
    let score = Score { bits, harm: bits, windows_per_day: 86_400.0, seen: 10_000, ..score };
    Score { measures, top, worst: top, ..score }
}

/// A window without a call, which is most unusual.
pub(super) fn nothing() -> Score {
    let mut score = errors(0.0);
    score.measures = [Measure::default(); FEATURES];
    score.measures[Feature::Rate.index()] = Measure {
        observed: true,
        bits: 40.0,
        value: 0.0,
        normal: 100.0,
        spreads: -30.0,
        ..Measure::default()
    };
    (score.bits, score.top) = (40.0, Some(Feature::Rate));
    (score.harm, score.worst) = (0.0, None);
    score
}

/// What a sweep says of an edge that has fallen still.
pub(super) fn silence(bits: f32) -> Score {
    let measures = [Measure::default(); FEATURES];
    Score { bits: 0.0, silence: bits, measures, top: None, ..nothing() }
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let mut control = Control::new(plan);
        control.without_siblings = true;
        Self { control, now: T0 }
    }

    pub(super) fn score(&mut self, edge: &EdgeKey, score: &Score) {
        self.control.handle_score(edge, score, self.now);
    }

    /// So many windows of 1 s, each at its end.
    pub(super) fn windows(&mut self, edge: &EdgeKey, count: u32, score: &Score) {
        for _ in 0..count {
            self.wait(1_000);
            self.score(edge, score);
        }
    }

    /// Scores callers `0..count` as normal.
    pub(super) fn callers(&mut self, count: usize) {
        for n in 0..count {
            self.score(&caller(n), &errors(0.0));
        }
    }

    /// Lets milliseconds pass, and timers fire on time.
    pub(super) fn wait(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while let Some(at) = self.control.poll_timeout().filter(|at| *at <= until) {
            assert!(at > self.now || self.now == T0, "{at} does not go on from {}", self.now);
            self.now = self.now.max(at);
            self.control.handle_timeout(self.now);
            let next = self.control.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "{next:?} is over at {}", self.now);
        }
        self.now = until;
    }

    pub(super) fn restricted(&self, edge: &EdgeKey) -> bool {
        self.control.restriction(edge).is_some()
    }

    /// What happened since the last time, in words.
    pub(super) fn told(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.control.poll_event()).map(|event| words(&event)).collect()
    }

    /// As `told`, which must be this.
    #[track_caller]
    pub(super) fn tells(&mut self, want: &[&str]) {
        assert_eq!(self.told(), want);
    }
}

fn words(event: &Event) -> String {
    let action = |action: &Action| {
        let kind = match &action.kind {
            ActionKind::Alert => "alert",
            ActionKind::Tighten(_) => "tighten",
            ActionKind::Quarantine => "quarantine",
        };
        format!("{} {kind}", action.id)
    };
    match event {
        Event::Opened(incident) => format!("{} opened", incident.id),
        Event::Joined { incident, edge, .. } => format!("{incident} {edge} too"),
        Event::State { incident, to, .. } => format!("{incident} {to}"),
        Event::Applied(a) => format!("{} applied", action(a)),
        Event::Shadowed(a) => format!("{} shadowed", action(a)),
        Event::Refused { action: a, why } => format!("{} refused: {}", action(a), why.as_str()),
        Event::Measured { action: a, effect, .. } => format!("{} {effect}", action(a)),
        Event::Undone { action: a, .. } => format!("{} undone", action(a)),
        Event::Expired(a) => format!("{} expired", action(a)),
        Event::Lifted { action: a, why } => format!("{} lifted: {why}", action(a)),
        Event::Full { missed, .. } => format!("full: {missed}"),
        Event::Gap { lost } => format!("gap: {lost}"),
    }
}
