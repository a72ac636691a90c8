//! Whatever any number of strangers do, no honest authenticated caller is restricted, and what an
//! authenticated one is to be restricted for comes no more than a window later.

use std::net::IpAddr;
use std::time::Duration;

use meshguard_core::baseline::EdgeKey;
use meshguard_core::control::Event;
use meshguard_core::reflex::{ActionKind, Signal};
use meshguard_testing::sim::{Attack, AttackId, Defect, Load, Sim, Told};

use crate::dice::Dice;
use crate::town::{CALLERS, SEEDS, Town, learnt, reflex};

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: Duration = SECOND;
/// When the authenticated caller begins, and when all ends.
const BEGINS: u32 = 7;
const ENDS: u32 = 24;

/// One address, with handshakes that fail.
struct Stranger {
    from: IpAddr,
    rate: f64,
    /// Seconds on, and as many off; 0: always on.
    period: u32,
    on: Option<AttackId>,
}

impl Stranger {
    fn new(dice: &mut Dice) -> Self {
        let n = dice.below(CALLERS as u64) as u8;
        let own = IpAddr::from([203, 0, dice.below(200) as u8, dice.below(200) as u8]);
        // One in eight shares an honest caller's address.
        let from = if dice.below(8) == 0 { IpAddr::from([10, 0, 0, 1 + n]) } else { own };
        let (rate, period) = (dice.of(&[0.3, 3.0, 30.0, 200.0]), dice.of(&[0, 2, 5]));
        Self { from, rate, period, on: None }
    }

    fn turn(&mut self, second: u32, town: &mut Town) {
        let on = self.period == 0 || (second / self.period).is_multiple_of(2);
        match self.on {
            None if on => {
                let storm = Attack::handshakes(town.orders, self.from, self.rate);
                self.on = Some(town.sim.attack(storm).unwrap());
            }
            Some(storm) if !on => {
                town.sim.end(storm);
                self.on = None;
            }
            _ => {}
        }
    }
}

/// What was seen in one run.
struct Seen {
    /// When the caller that attacks was first restricted, since it began.
    first: Option<Duration>,
    addresses: usize,
}

fn policy(seed: u64) -> String {
    let mut text = String::new();
    for signal in ["errors", "refusals", "missing_receipts", "handshake_failures"] {
        let limit = signal == "handshake_failures" && seed.is_multiple_of(3);
        let action = if limit { "{ tighten = { rate = \"5/s\" } }" } else { "\"quarantine\"" };
        let reflex = reflex(signal, &format!("do = {action}\nttl = \"15s\""));
        text.push_str(&reflex.replace("\"it\"", &format!("\"{signal}\"")));
    }
    text + "[[reflex]]\nname = \"forged\"\non = { signal = \"forged\" }\ndo = \"quarantine\"\n"
}

/// Half a minute of ten callers, with the strangers of this seed or without.
fn siege(seed: u64, strangers: bool, defect: Option<Defect>) -> Result<Seen, &'static str> {
    let mut dice = Dice(seed);
    let sim = defect.map_or_else(|| Sim::new(seed), |defect| Sim::with_defect(seed, defect));
    let often = |_, load: Load| load.reconnect(5 * SECOND);
    let mut town = Town::of(sim, seed, &policy(seed), often);
    let known = learnt(SEEDS[(seed % 3) as usize]);
    town.sim.operate(town.orders, |state, _| state.baselines_mut().restore(known)).unwrap();
    town.sim.run_for(3 * SECOND);
    let attacks = dice.below(2) == 0;
    let (attacker, deed) = (town.callers[dice.below(CALLERS as u64) as usize], dice.below(4));
    let count = if strangers { dice.of(&[1, 4, 20, 60, 200]) } else { 0 };
    let mut strangers: Vec<_> = (0..count).map(|_| Stranger::new(&mut dice)).collect();
    let mut begun = None;
    for second in 0..ENDS {
        for stranger in &mut strangers {
            stranger.turn(second, &mut town);
        }
        if !strangers.is_empty() && dice.below(3) == 0 {
            let from = strangers[dice.below(strangers.len() as u64) as usize].from;
            let edge = EdgeKey::Address(from);
            town.sim.operate(town.orders, |state, now| {
                state.handle_signal(&edge, Signal::Forged, "in the name of a hop", now);
            });
        }
        if attacks && second == BEGINS {
            begun = Some(town.sim.elapsed());
            let attack = match deed {
                0 => Attack::errors(attacker, 0.3),
                1 => Attack::calls(attacker, "DELETE /orders/7", 60.0),
                2 => Attack::unconfirmed(attacker, 0.3),
                _ => Attack::forges(attacker, 0.05),
            };
            town.sim.attack(attack).unwrap();
        }
        town.sim.run_for(SECOND);
        let free = |caller| town.sim.restriction(town.orders, caller).is_none();
        if !town.sim.honest().all(free) || !town.spared_the_honest() {
            return Err("an honest caller is restricted");
        }
    }
    let edge = town.sim.edge(attacker);
    let on_attacker = |event: &Event| restricts(event, |on| *on == edge);
    let address = |told: &&Told| restricts(&told.event, |on| matches!(on, EdgeKey::Address(_)));
    let first = begun.and_then(|begun| town.first(begun, on_attacker));
    Ok(Seen { first, addresses: town.sim.events().iter().filter(address).count() })
}

fn restricts(event: &Event, on: impl Fn(&EdgeKey) -> bool) -> bool {
    match event {
        Event::Applied(action) => action.kind != ActionKind::Alert && on(&action.edge),
        _ => false,
    }
}

/// Whether with strangers all is as without, but for a window.
fn compare(alone: Option<Duration>, beside: Option<Duration>, window: Duration) -> bool {
    match (alone, beside) {
        (Some(alone), Some(beside)) => beside <= alone + window,
        (alone, _) => alone.is_none(),
    }
}

/// How many real attacks were acted on, and strangers' addresses; or the first seed that failed.
fn all(
    seeds: std::ops::Range<u64>,
    defect: Option<Defect>,
) -> Result<[usize; 2], (u64, &'static str)> {
    let mut acted = [0, 0];
    for seed in seeds {
        let alone = siege(seed, false, None).map_err(|why| (seed, why))?;
        let beside = siege(seed, true, defect).map_err(|why| (seed, why))?;
        if !compare(alone.first, beside.first, WINDOW) {
            return Err((seed, "a real attack is acted on later"));
        }
        acted[0] += usize::from(alone.first.is_some());
        acted[1] += beside.addresses;
    }
    Ok(acted)
}

#[test]
fn strangers_restrict_nobody_honest_and_delay_no_action() {
    let [attacks, addresses] = all(0..50, None).unwrap();
    println!("{attacks} attacks of callers and {addresses} addresses were acted on");
    assert!(attacks >= 20 && addresses >= 100, "{attacks}, {addresses}");
}

#[test]
fn shutting_an_address_to_those_known_behind_it_would_be_noticed() {
    let found = all(0..50, Some(Defect::ShutsKnownAddresses));
    assert!(matches!(found, Err((_, "an honest caller is restricted"))), "{found:?}");
}

#[test]
#[ignore = "minutes"]
fn a_thousand_seeds_of_strangers_restrict_nobody_honest_and_delay_no_action() {
    let [attacks, addresses] = all(0..1_000, None).unwrap();
    println!("{attacks} attacks of callers and {addresses} addresses were acted on");
    assert!(attacks >= 450, "{attacks}");
}

#[test]
#[ignore = "minutes"]
fn nights_of_strangers_restrict_nobody_honest_and_delay_no_action() {
    for seed in 0..6 {
        let (alone, beside) = (days(seed, false), days(seed, true));
        println!("{seed}: a ramp is acted on after {alone:?}, beside strangers after {beside:?}");
        assert!(alone.is_some() && compare(alone, beside, LONG), "{seed}");
    }
}

/// Windows of these days.
const LONG: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3_600);
/// The calls of a day are known by then.
const SETTLED: u32 = 96;

/// Five days of callers that call twice as often at noon as in the mean, and of strangers that are
/// there all day and come in numbers by night; one caller climbs on the last. When it was first
/// restricted, since then.
fn days(seed: u64, strangers: bool) -> Option<Duration> {
    let mut sim = Sim::new(seed);
    sim.set_cadence(meshguard_core::control::Cadence { busy: LONG, quiet: LONG, calls: 1 });
    let rate = reflex("rate", "do = \"quarantine\"").replace("30 days", "3650 days");
    let daily = |_, load: Load| load.rate(10.0).daily(2.0).reconnect(HOUR / 2);
    let mut town = Town::of(sim, seed, &rate, daily);
    let (attacker, mut ramp, mut night) = (town.callers[0], None, Vec::new());
    let from = |n: u8| [203, 0, 113, n];
    for n in (0..40).filter(|_| strangers) {
        town.sim.attack(Attack::handshakes(town.orders, from(n), 0.1)).unwrap();
    }
    for hour in 0..SETTLED + 24 {
        // It begins at eight in the morning.
        let is_night = (hour + 8) % 24 < 6;
        if strangers && is_night && night.is_empty() {
            let storm = |n| Attack::handshakes(town.orders, from(n), 5.0);
            night = (0..40).map(|n| town.sim.attack(storm(n)).unwrap()).collect();
        } else if !is_night {
            night.drain(..).for_each(|storm| town.sim.end(storm));
        }
        if hour >= SETTLED {
            let factor = 1.0 + f64::from(hour - SETTLED) / 8.0;
            let more = town.sim.attack(Attack::rate(attacker, factor)).unwrap();
            ramp.replace(more).into_iter().for_each(|less| town.sim.end(less));
        }
        town.sim.run_for(HOUR);
        assert!(town.spared_the_honest(), "an honest caller is restricted");
    }
    let edge = town.sim.edge(attacker);
    town.first(SETTLED * HOUR, |event| restricts(event, |on| *on == edge))
}
