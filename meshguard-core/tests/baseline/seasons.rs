//! What an hour does to a service: by kind of edge, one vote an edge, and only for those that follow.

use std::time::Duration;

use meshguard_core::baseline::{Baselines, EdgeKey, Feature, Settings, Statistic, Window};
use meshguard_core::{SpiffeId, Timestamp};

use super::random::Random;
use super::{caller, seed};

/// 2024-03-01, a Friday.
const BEGIN: Timestamp = Timestamp::from_unix_secs(1_709_251_200);
const WINDOW: Duration = Duration::from_secs(30);
const WINDOWS_A_DAY: u64 = 2_880;
/// Seasons are learnt of edges that are known for a day; with a weekend that is over by then.
const SETTLED: u64 = 4 * WINDOWS_A_DAY;
/// One version, then the hours that are known and the hours of each of five kinds.
const SEASONS: usize = 8 + 5 * (8 + 48 * 5 * 4);

/// An edge, how many windows it has in the time of one, and its calls in each of them by the time.
struct Member {
    edge: EdgeKey,
    parts: u64,
    calls: fn(f64) -> f64,
}

fn member(edge: EdgeKey, calls: fn(f64) -> f64) -> Member {
    Member { edge, parts: 1, calls }
}

fn callee(n: u64) -> EdgeKey {
    let id = SpiffeId::from_static("spiffe://shop.example/stock");
    EdgeKey::Callee { id, instance: n.to_string().into() }
}

const USUAL: f64 = 3_000.0;

/// From 1 at noon to -1 at midnight.
fn sun(hours: f64) -> f64 {
    -(hours / 24.0 * std::f64::consts::TAU).cos()
}

/// At noon four times as many calls as at midnight.
fn daily(hours: f64) -> f64 {
    USUAL * 2f64.powf(sun(hours))
}

fn steady(_: f64) -> f64 {
    USUAL
}

/// What nobody else does: thirty times as many at midnight as at noon.
fn contrary(hours: f64) -> f64 {
    USUAL * 30f64.powf(-0.5 * sun(hours))
}

struct Service {
    baselines: Baselines,
    members: Vec<Member>,
    random: Vec<Random>,
    window: u64,
}

impl Service {
    fn of(members: Vec<Member>) -> Self {
        let (base, many) = (seed(), members.len() as u64);
        let random = (0..many).map(|n| Random::new(base + n)).collect();
        Self { baselines: Baselines::new(Settings::default()), members, random, window: 0 }
    }

    /// So many windows, with what `each` makes of an edge's calls; and the windows in which each
    /// edge has drifted.
    fn run(&mut self, windows: u64, each: impl Fn(usize, f64) -> f64) -> Vec<u32> {
        let mut drifted = vec![0; self.members.len()];
        for _ in 0..windows {
            let begin = BEGIN + WINDOW * self.window as u32;
            for (n, member) in self.members.iter().enumerate() {
                for part in 0..member.parts {
                    let length = WINDOW / member.parts as u32;
                    let start = begin + length * part as u32;
                    let hours = start.since(BEGIN).as_secs_f64() / 3_600.0;
                    let noise = 1.0 + 0.03 * (self.random[n].unit() - 0.5);
                    let calls = (member.calls)(hours) * each(n, hours) * noise;
                    let calls = (calls / member.parts as f64) as u64;
                    let end = start + length;
                    let window = Window { start, end, calls, asked: calls, ..Window::default() };
                    let score = self.baselines.handle_window(&member.edge, &window, true);
                    let drift = score.measure(Feature::Rate).statistic == Statistic::Drift;
                    drifted[n] += u32::from(drift);
                }
            }
            self.window += 1;
        }
        drifted
    }

    /// Whether drift of the first edge is found while it climbs to ×4 in a day.
    fn finds_a_ramp(&mut self) -> bool {
        let from = self.window as f64 / 120.0;
        let ramp = move |n, hours: f64| if n == 0 { 1.0 + (hours - from) / 8.0 } else { 1.0 };
        self.run(WINDOWS_A_DAY, ramp)[0] > 0
    }

    fn seasons(&self) -> Vec<u8> {
        self.baselines.snapshot()[..SEASONS].to_vec()
    }
}

fn as_ever(_: usize, _: f64) -> f64 {
    1.0
}

#[test]
fn an_edge_that_is_steady_does_not_drift_at_night_when_the_others_rest() {
    let mut members: Vec<_> = (0..6).map(|n| member(caller(n), daily)).collect();
    members.push(member(caller(6), steady));
    let mut service = Service::of(members);
    assert_eq!(service.run(6 * WINDOWS_A_DAY, as_ever), [0; 7]);
    // And it is guarded by night.
    let more = |n, hours| if n == 6 && sun(hours) < 0.0 { 2.3 } else { 1.0 };
    let drifted = service.run(WINDOWS_A_DAY / 4, more);
    assert!(drifted[6] > 0 && drifted[..6] == [0; 6], "{drifted:?}");
}

#[test]
fn one_edge_has_one_vote_however_many_windows_it_has() {
    let mut members: Vec<_> = (0..5).map(|n| member(caller(n), daily)).collect();
    let loud = (5..7).map(|n| Member { parts: 4, ..member(caller(n), contrary) });
    members.extend(loud);
    let mut service = Service::of(members);
    service.run(SETTLED, as_ever);
    assert_eq!(service.run(WINDOWS_A_DAY, as_ever)[..5], [0; 5]);
    assert!(service.finds_a_ramp(), "the loud have taken the season over");
}

#[test]
fn callees_hops_and_addresses_do_not_say_what_is_usual_of_callers() {
    let callers = || (0..5).map(|n| member(caller(n), daily));
    let others = (0..8).map(|n| member(callee(n), contrary));
    let hop = SpiffeId::from_static("spiffe://shop.example/edge");
    let others = others.chain([member(EdgeKey::HopIn(hop), contrary)]);
    let others = others.chain((0..4).map(|n| member(super::address(n), contrary)));
    let mut service = Service::of(callers().chain(others).collect());
    service.run(SETTLED, as_ever);
    assert_eq!(service.run(WINDOWS_A_DAY, as_ever)[..5], [0; 5]);
    assert!(service.finds_a_ramp(), "others have taken the season over");
}

#[test]
fn what_one_caller_does_alone_excuses_no_other_and_few_are_asked_where_there_are_few() {
    for few in [1, 2, 3] {
        let mut service = Service::of((0..few).map(|n| member(caller(n), daily)).collect());
        service.run(SETTLED, as_ever);
        assert_eq!(service.run(WINDOWS_A_DAY, as_ever), vec![0; few as usize], "{few}");
        assert!(service.finds_a_ramp(), "{few}");
    }
}

#[test]
fn an_edge_with_an_incident_has_no_vote_on_that_hour_and_too_few_votes_teach_nothing() {
    let attack = |opened: usize| {
        let mut service = Service::of((0..6).map(|n| member(caller(n), daily)).collect());
        service.run(SETTLED, as_ever);
        let before = service.seasons();
        // Half an hour of it, before anything is opened.
        service.run(60, |_, _| 4.0);
        for n in 0..opened {
            service.baselines.keep(&caller(n as u64), true);
        }
        service.run(30, as_ever);
        for n in 0..opened {
            service.baselines.keep(&caller(n as u64), false);
        }
        service.run(40, as_ever);
        service.seasons() != before
    };
    // Of six edges four are left to vote.
    assert!(!attack(2));
    // The control: five are enough.
    assert!(attack(1));
}

#[test]
fn a_restart_forgets_neither_seasons_nor_who_follows_them() {
    let mut members: Vec<_> = (0..6).map(|n| member(caller(n), daily)).collect();
    members.push(member(caller(6), steady));
    let mut service = Service::of(members);
    service.run(SETTLED, as_ever);
    let mut restored = Baselines::new(Settings::default());
    restored.restore(&service.baselines.snapshot()).unwrap();
    service.baselines = restored;
    assert!(service.finds_a_ramp());
}
