//! What happens on ordinary days: each is called once a second, and says what changes then.

use std::time::Duration;

use meshguard_testing::sim::Attack;

use super::fleet::{CALLERS, Fleet, INSTANCES};

pub type Situation = fn(&mut Fleet, u32);

pub const SITUATIONS: &[(&str, Situation)] = &[
    ("nothing happens", |_, _| {}),
    ("a rolling deploy, with errors", rolling),
    ("a rolling deploy, and the old ones go", replaced),
    ("an instance gets faster", faster),
    ("bodies get smaller", smaller),
    ("a caller at 0.4 of its rate", slower),
    ("a caller pauses for half a minute", pauses),
    ("a release doubles a caller's calls", doubles),
    ("a release asks for what policy refuses", refused),
    ("a batch at ten times the rate", batch),
    ("autoscaling from 3 to 6", scales),
    ("all instances are sick for 20 s, and are retried", outage),
    ("all instances are slow for 20 s", slow),
    ("this host is busy: all its answers are slow", busy),
    ("this service fails a third of all calls", sick),
    ("a release has all callers fail a tenth", bad_release),
    ("a sale: everybody calls three times as often", sale),
    ("a holiday: everybody calls a third", holiday),
    ("a night: calls and answers shrink together", night),
    ("one slow replica", slow_replica),
    ("a canary fails a twentieth, and is rolled back", canary),
    ("a new instance is slow at first", cold),
    ("a backup: one caller's bodies are fifty times as large", backup),
    ("a caller restarts: nothing, then three times its calls", restart),
    ("a noisy host: all answers are slow, on and off", noisy),
    ("half of the callers go", leave),
    ("a failover: half call twice as often, half not at all", failover),
    ("an instance is away for 20 s", away),
    ("three callers in four fail a twentieth for 15 s", fail_together),
    ("autoscaling from 3 to 30 and back", scales_far),
    ("the wall clock is set by two hours, and back", clock),
];

const ALL: std::ops::Range<usize> = 0..CALLERS;

fn rolling(fleet: &mut Fleet, second: u32) {
    // Four seconds of errors each, ten seconds apart, and the first one is the one that is told apart.
    if second % 10 == 5 && (second / 10) < 1 {
        let sick = Attack::sick(fleet.orders[(second / 10) as usize], 0.5);
        let id = fleet.sim.attack(sick).unwrap();
        fleet.sim.run_for(Duration::from_secs(4));
        fleet.sim.end(id);
    }
}

fn replaced(fleet: &mut Fleet, second: u32) {
    let at = (second / 10) as usize;
    if second % 10 == 5 && at < INSTANCES {
        fleet.sim.start(fleet.orders[INSTANCES + at]);
        fleet.sim.stop(fleet.orders[at]);
    }
}

fn change(
    fleet: &mut Fleet,
    callers: impl IntoIterator<Item = usize>,
    by: impl Fn(meshguard_testing::sim::Load, usize) -> meshguard_testing::sim::Load,
) {
    for n in callers {
        let caller = fleet.callers[n];
        fleet.sim.change(caller, |load| by(load, n)).unwrap();
    }
}

/// The rate that a caller has usually.
fn usual(n: usize) -> f64 {
    [60.0, 100.0, 160.0][n % 3]
}

fn faster(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        fleet.sim.attack(Attack::slow(fleet.orders[1], 0.2)).unwrap();
    }
}

fn smaller(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        change(fleet, [3], |load, _| load.bytes(40, 100));
    }
}

fn slower(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        change(fleet, [4], |load, n| load.rate(0.4 * usual(n)));
    }
}

fn pauses(fleet: &mut Fleet, second: u32) {
    // Who does not call does not attack.
    let who = if fleet.seed_of_attacker() == 5 { 4 } else { 5 };
    match second {
        5 => change(fleet, [who], |load, _| load.rate(0.0)),
        35 => change(fleet, [who], |load, n| load.rate(usual(n))),
        _ => {}
    }
}

fn doubles(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        change(fleet, [6], |load, n| load.rate(2.0 * usual(n)));
    }
}

fn refused(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        let more = Attack::calls(fleet.callers[7], "GET /invoices/7", 5.0);
        fleet.sim.attack(more).unwrap();
    }
}

fn batch(fleet: &mut Fleet, second: u32) {
    match second {
        5 => change(fleet, [8], |load, n| load.rate(10.0 * usual(n))),
        45 => change(fleet, [8], |load, n| load.rate(usual(n))),
        _ => {}
    }
}

fn scales(fleet: &mut Fleet, second: u32) {
    if (5..8).contains(&second) {
        fleet.sim.start(fleet.orders[INSTANCES + second as usize - 5]);
    }
}

fn outage(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        let sick: Vec<_> = (0..INSTANCES)
            .map(|at| fleet.sim.attack(Attack::sick(fleet.orders[at], 0.8)).unwrap())
            .collect();
        let calls = fleet.calls;
        fleet.sim.change(calls, |load| load.retries(0.6)).unwrap();
        fleet.sim.run_for(Duration::from_secs(20));
        sick.into_iter().for_each(|id| fleet.sim.end(id));
    }
}

fn slow(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        let slow: Vec<_> = (0..INSTANCES)
            .map(|at| fleet.sim.attack(Attack::slow(fleet.orders[at], 12.0)).unwrap())
            .collect();
        fleet.sim.run_for(Duration::from_secs(20));
        slow.into_iter().for_each(|id| fleet.sim.end(id));
    }
}

fn busy(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        fleet.sim.attack(Attack::slow(fleet.gateway, 20.0)).unwrap();
    }
}

fn sick(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        fleet.sim.attack(Attack::sick(fleet.gateway, 0.3)).unwrap();
        change(fleet, ALL, |load, _| load.retries(0.9));
    }
}

fn bad_release(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        change(fleet, ALL, |load, _| load.errors(0.1));
    }
}

fn sale(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        change(fleet, ALL, |load, n| load.rate(3.0 * usual(n)));
    }
}

fn holiday(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        change(fleet, ALL, |load, n| load.rate(usual(n) / 3.0));
    }
}

fn night(fleet: &mut Fleet, second: u32) {
    let part = 1.0 - 0.6 * f64::from(second.min(60)) / 60.0;
    change(fleet, ALL, |load, n| {
        load.rate(part * usual(n)).bytes((200.0 * part) as u64, (1_000.0 * part) as u64)
    });
}

fn slow_replica(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        fleet.sim.attack(Attack::slow(fleet.orders[0], 10.0)).unwrap();
    }
}

fn canary(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        let sick = fleet.sim.attack(Attack::sick(fleet.orders[0], 0.05)).unwrap();
        fleet.sim.run_for(Duration::from_secs(5));
        fleet.sim.end(sick);
    }
}

fn cold(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        let slow = fleet.sim.attack(Attack::slow(fleet.orders[INSTANCES], 10.0)).unwrap();
        fleet.sim.start(fleet.orders[INSTANCES]);
        fleet.sim.run_for(Duration::from_secs(5));
        fleet.sim.end(slow);
    }
}

fn backup(fleet: &mut Fleet, second: u32) {
    match second {
        5 => change(fleet, [9], |load, _| load.bytes(10_000, 50_000)),
        65 => change(fleet, [9], |load, _| load.bytes(200, 1_000)),
        _ => {}
    }
}

fn restart(fleet: &mut Fleet, second: u32) {
    match second {
        5 => change(fleet, [10], |load, _| load.rate(0.0)),
        10 => change(fleet, [10], |load, n| load.rate(3.0 * usual(n))),
        13 => change(fleet, [10], |load, n| load.rate(usual(n))),
        _ => {}
    }
}

fn noisy(fleet: &mut Fleet, second: u32) {
    if second.is_multiple_of(5) {
        let slow = fleet.sim.attack(Attack::slow(fleet.gateway, 8.0)).unwrap();
        fleet.sim.run_for(Duration::from_secs(2));
        fleet.sim.end(slow);
    }
}

fn leave(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        let attacker = fleet.seed_of_attacker();
        let half = ALL.filter(|n| *n != attacker).step_by(2);
        change(fleet, half, |load, _| load.rate(0.0));
    }
}

fn failover(fleet: &mut Fleet, second: u32) {
    if second == 5 {
        let attacker = fleet.seed_of_attacker();
        change(fleet, ALL, |load, n| match n % 2 == attacker % 2 {
            true => load.rate(2.0 * usual(n)),
            false => load.rate(0.0),
        });
    }
}

fn away(fleet: &mut Fleet, second: u32) {
    match second {
        5 => fleet.sim.stop(fleet.orders[2]),
        25 => fleet.sim.start(fleet.orders[2]),
        _ => {}
    }
}

fn fail_together(fleet: &mut Fleet, second: u32) {
    let most = || ALL.filter(|n| n % 4 > 0);
    match second {
        5 => change(fleet, most(), |load, _| load.errors(0.05)),
        20 => change(fleet, most(), |load, _| load.errors(0.002)),
        _ => {}
    }
}

fn scales_far(fleet: &mut Fleet, second: u32) {
    let spare = fleet.orders[INSTANCES..].to_vec();
    match second as usize {
        at @ 5..32 => fleet.sim.start(spare[at - 5]),
        at @ 50..77 => fleet.sim.stop(spare[at - 50]),
        _ => {}
    }
}

fn clock(fleet: &mut Fleet, second: u32) {
    let set = |fleet: &mut Fleet, ahead| {
        let gateway = fleet.gateway;
        fleet.sim.operate(gateway, |state, _| state.set_wall_offset(ahead));
    };
    match second {
        5 => set(fleet, 7_200),
        20 => set(fleet, -7_200),
        40 => set(fleet, 0),
        _ => {}
    }
}
