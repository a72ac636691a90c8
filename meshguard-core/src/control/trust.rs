//! What an edge has earned, and what verdicts took of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::baseline::EdgeKey;
use crate::time::Timestamp;

/// Verified deliveries in which trust comes half of what is missing nearer to 1.
pub const HALF_EARNED: u64 = 10_000;
/// In which trust comes half of the way back to where it started, from above and from below.
pub const HALF_FORGOTTEN: Duration = Duration::from_secs(86_400);
/// The most edges whose trust is kept. Beyond, the one nearest to the start gives way.
pub const MAX_TRUSTED: usize = 8_192;

/// Bits over the threshold that take another half of what is left; at the threshold it is half.
const HALF_LOST_BITS: f32 = 10.0;
/// An edge is lowered where a verdict took more than this.
const LOWERED: f64 = 0.05;
/// Nearer to the start than this is not kept: less than one delivery earns.
const NEAR: f64 = 1e-6;

/// What one incident took from its edge's trust.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Charge {
    amount: f64,
    at: Timestamp,
}

impl Charge {
    /// As it was taken last.
    pub(super) const fn taken(self) -> f64 {
        self.amount
    }

    fn left(self, now: Timestamp) -> f64 {
        self.amount * decay(now.since(self.at))
    }

    pub(super) fn add(&mut self, amount: f64, now: Timestamp) {
        *self = Self { amount: self.left(now) + amount, at: now };
    }
}

/// What a verdict takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// An incident with so many bits above its threshold.
    Surprise(f32),
    /// A quarantine, or a hard signal: all of it.
    Certain,
}

#[derive(Clone, Copy, Debug)]
struct Trust {
    /// By deliveries.
    earned: f64,
    /// By verdicts.
    lost: f64,
    at: Timestamp,
}

/// The trust of all edges. A network address has none of its own: nothing is proved of it.
#[derive(Debug)]
pub(super) struct Trusts {
    kept: BTreeMap<EdgeKey, Trust>,
    start: f64,
    /// Whether verdicts count: neither in shadow mode nor while frozen.
    pub(super) enforced: bool,
}

impl Trusts {
    pub(super) fn new(start: f32) -> Self {
        let mut trusts = Self { kept: BTreeMap::new(), start: 0.0, enforced: true };
        trusts.set_start(start);
        trusts
    }

    pub(super) fn set_start(&mut self, start: f32) {
        self.start = f64::from(start).clamp(0.0, 1.0);
    }

    pub(super) fn get(&self, edge: &EdgeKey) -> f32 {
        self.kept.get(edge).map_or(self.start, |trust| self.value(trust)) as f32
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&EdgeKey, f32)> {
        self.kept.iter().map(|(edge, trust)| (edge, self.value(trust) as f32))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn value(&self, trust: &Trust) -> f64 {
        let lost = if self.enforced { trust.lost } else { 0.0 };
        (trust.earned - lost).clamp(0.0, 1.0)
    }

    pub(super) fn earn(&mut self, edge: &EdgeKey, verified: u64, now: Timestamp) {
        if verified == 0 {
            return;
        }
        let Some(trust) = self.rolled(edge, now) else { return };
        let missing = (1.0 - trust.earned) * (-(verified as f64) / HALF_EARNED as f64).exp2();
        trust.earned = 1.0 - missing;
    }

    /// Takes, and says how much.
    pub(super) fn charge(&mut self, edge: &EdgeKey, verdict: Verdict, now: Timestamp) -> f64 {
        let Some(trust) = self.rolled(edge, now) else { return 0.0 };
        let has = (trust.earned - trust.lost).max(0.0);
        let share = match verdict {
            Verdict::Certain => 1.0,
            Verdict::Surprise(over) => {
                1.0 - f64::from(-(1.0 + over.max(0.0) / HALF_LOST_BITS)).exp2()
            }
        };
        trust.lost += has * share;
        has * share
    }

    /// Gives back what is left of a charge.
    pub(super) fn give_back(&mut self, edge: &EdgeKey, charge: Charge, now: Timestamp) {
        let Some(trust) = self.rolled(edge, now) else { return };
        trust.lost = (trust.lost - charge.left(now)).max(0.0);
    }

    /// How many callers verdicts have lowered, `but` one.
    pub(super) fn lowered(&self, but: &EdgeKey) -> usize {
        let lowered = |(edge, trust): &(&EdgeKey, &Trust)| {
            matches!(edge, EdgeKey::Caller(_)) && *edge != but && trust.lost > LOWERED
        };
        self.kept.iter().filter(lowered).count()
    }

    /// Forgets a part of everything, and all of what has come back to the start.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        let start = self.start;
        self.kept.retain(|_, trust| {
            trust.roll(start, now);
            trust.distance(start) > NEAR
        });
    }

    /// An edge's trust as of now; `None` for an address.
    fn rolled(&mut self, edge: &EdgeKey, now: Timestamp) -> Option<&mut Trust> {
        if matches!(edge, EdgeKey::Address(_)) {
            return None;
        }
        if self.kept.len() >= MAX_TRUSTED && !self.kept.contains_key(edge) {
            self.make_room();
        }
        let start = self.start;
        let fresh = Trust { earned: start, lost: 0.0, at: now };
        let trust = self.kept.entry(edge.clone()).or_insert(fresh);
        trust.roll(start, now);
        Some(trust)
    }

    fn make_room(&mut self) {
        let distance = |trust: &Trust| trust.distance(self.start);
        let nearest = self.kept.iter().min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
        if let Some(edge) = nearest.map(|(edge, _)| edge.clone()) {
            self.kept.remove(&edge);
        }
    }
}

impl Trust {
    fn roll(&mut self, start: f64, now: Timestamp) {
        let left = decay(now.since(self.at));
        self.earned = start + (self.earned - start) * left;
        self.lost *= left;
        self.at = self.at.max(now);
    }

    fn distance(&self, start: f64) -> f64 {
        (self.earned - start).abs() + self.lost
    }
}

fn decay(time: Duration) -> f64 {
    (-time.as_secs_f64() / HALF_FORGOTTEN.as_secs_f64()).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpiffeId;

    const DAY: Duration = HALF_FORGOTTEN;
    const NOW: Timestamp = Timestamp::from_unix_secs(1_000_000);

    fn caller(n: usize) -> EdgeKey {
        EdgeKey::Caller(SpiffeId::try_from(format!("spiffe://a/c{n}")).unwrap())
    }

    fn near(trust: f32, want: f32) {
        assert!((trust - want).abs() < 0.001, "{trust} is not {want}");
    }

    #[test]
    fn half_of_what_is_missing_is_earned_in_ten_thousand_deliveries() {
        let mut trusts = Trusts::new(0.5);
        trusts.earn(&caller(1), HALF_EARNED, NOW);
        near(trusts.get(&caller(1)), 0.75);
        for _ in 0..HALF_EARNED {
            trusts.earn(&caller(1), 1, NOW);
        }
        near(trusts.get(&caller(1)), 0.875);
        trusts.earn(&caller(1), u64::MAX, NOW);
        near(trusts.get(&caller(1)), 1.0);
    }

    #[test]
    fn half_of_the_way_to_the_start_is_forgotten_in_a_day_from_both_sides() {
        let mut trusts = Trusts::new(0.5);
        trusts.earn(&caller(1), HALF_EARNED, NOW);
        trusts.charge(&caller(2), Verdict::Certain, NOW);
        for minute in 1..=24 * 60 {
            trusts.sweep(NOW + Duration::from_secs(60 * minute));
        }
        near(trusts.get(&caller(1)), 0.625);
        near(trusts.get(&caller(2)), 0.25);
        trusts.sweep(NOW + 30 * DAY);
        assert!(trusts.is_empty());
        near(trusts.get(&caller(2)), 0.5);
    }

    #[test]
    fn a_verdict_takes_half_at_its_threshold_and_more_above() {
        let mut trusts = Trusts::new(0.8);
        trusts.charge(&caller(1), Verdict::Surprise(0.0), NOW);
        trusts.charge(&caller(2), Verdict::Surprise(10.0), NOW);
        trusts.charge(&caller(3), Verdict::Certain, NOW);
        near(trusts.get(&caller(1)), 0.4);
        near(trusts.get(&caller(2)), 0.2);
        assert_eq!(trusts.get(&caller(3)), 0.0);
    }

    #[test]
    fn what_was_taken_is_given_back_as_far_as_it_is_not_forgotten() {
        let mut trusts = Trusts::new(0.8);
        let mut charge = Charge::default();
        charge.add(trusts.charge(&caller(1), Verdict::Surprise(0.0), NOW), NOW);
        charge.add(trusts.charge(&caller(1), Verdict::Certain, NOW + DAY), NOW + DAY);
        assert_eq!(trusts.get(&caller(1)), 0.0);
        trusts.give_back(&caller(1), charge, NOW + 2 * DAY);
        near(trusts.get(&caller(1)), 0.8);
    }

    #[test]
    fn verdicts_do_not_count_where_they_are_not_enforced() {
        let mut trusts = Trusts::new(0.5);
        trusts.charge(&caller(1), Verdict::Certain, NOW);
        trusts.enforced = false;
        assert_eq!(trusts.get(&caller(1)), 0.5);
    }

    #[test]
    fn an_address_earns_nothing_and_loses_nothing() {
        let address = EdgeKey::Address([10, 0, 0, 1].into());
        let mut trusts = Trusts::new(0.5);
        trusts.earn(&address, 1_000_000, NOW);
        assert_eq!(trusts.charge(&address, Verdict::Certain, NOW), 0.0);
        assert_eq!((trusts.get(&address), trusts.is_empty()), (0.5, true));
    }

    #[test]
    fn the_bound_drops_what_has_least_to_remember() {
        let mut trusts = Trusts::new(0.5);
        trusts.charge(&caller(0), Verdict::Certain, NOW);
        for n in 1..MAX_TRUSTED + 50 {
            trusts.earn(&caller(n), 1, NOW);
        }
        assert_eq!(trusts.all().count(), MAX_TRUSTED);
        assert_eq!(trusts.get(&caller(0)), 0.0);
    }
}
