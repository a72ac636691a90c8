//! A service, its callers, and what they have learnt of each other.

use std::sync::OnceLock;
use std::time::Duration;

use meshguard_core::baseline::EdgeKey;
use meshguard_core::control::{Event, Restriction};
use meshguard_core::reflex::ActionKind;
use meshguard_testing::sim::{Caller, Load, Service, Sim, Told};

/// The seeds of every test that does not say another.
pub const SEEDS: [u64; 3] = [1, 7, 4242];
/// One false alarm in 30 days needs 2,600 windows of one second.
pub const WARM_UP: Duration = Duration::from_secs(3_000);
pub const CALLERS: usize = 10;
/// Two windows of 200 calls.
pub const TWO_WINDOWS: Duration = Duration::from_secs(2);

pub const ALLOW: &str = r#"
    mesh = "shop.example"
    version = 1
    hops = ["edge"]
    [peers]
    edge = "spiffe://shop.example/edge"
    [[allow]]
    name = "callers-read"
    http = ["GET /orders/{id}"]
"#;

/// A reflex on a signal, at one false alarm in 30 days; on refusals it acts on the whole caller.
pub fn reflex(signal: &str, more: &str) -> String {
    let scope = if signal == "refusals" { ", scope = \"caller\"" } else { "" };
    format!(
        "[[reflex]]\nname = \"it\"\n\
         on = {{ signal = \"{signal}\", false_alarms = \"1 in 30 days\"{scope} }}\n{more}\n"
    )
}

pub struct Town {
    pub sim: Sim,
    pub orders: Service,
    pub callers: Vec<Caller>,
}

impl Town {
    /// Ten callers of 200 calls a second, with what was learnt in the warm-up.
    pub fn new(seed: u64, reflexes: &str) -> Self {
        Self::cold(seed, reflexes).warmed(seed)
    }

    /// With what the service of this seed has learnt in the warm-up.
    pub fn warmed(mut self, seed: u64) -> Self {
        let learnt = learnt(seed);
        self.sim.operate(self.orders, |state, _| state.baselines_mut().restore(learnt)).unwrap();
        // All are known again.
        self.sim.run_for(Duration::from_secs(5));
        assert_eq!(self.sim.events(), [], "a false alarm");
        self
    }

    pub fn cold(seed: u64, reflexes: &str) -> Self {
        Self::of(Sim::new(seed), seed, reflexes, |_, load| load)
    }

    /// As [`cold`](Self::cold), in `sim` and with other loads.
    pub fn of(mut sim: Sim, seed: u64, reflexes: &str, load: impl Fn(usize, Load) -> Load) -> Self {
        println!("seed {seed}");
        let text = format!("{ALLOW}{reflexes}");
        let orders = sim.service("spiffe://shop.example/orders", &text).unwrap();
        let usual = Load::new(orders, "GET /orders/7").rate(200.0).errors(0.002);
        let caller = |n| format!("spiffe://shop.example/caller-{n}");
        let callers = (0..CALLERS).map(|n| sim.caller(&caller(n), load(n, usual.clone())).unwrap());
        let callers = callers.collect();
        Self { sim, orders, callers }
    }

    /// When the first event of this sort was told, since `begin`.
    pub fn first(&self, begin: Duration, which: impl Fn(&Event) -> bool) -> Option<Duration> {
        let told = self.sim.events().iter().find(|told| which(&told.event))?;
        let since_now = self.sim.now().since(told.at);
        Some(self.sim.elapsed() - since_now - begin)
    }

    /// What is in force on callers and addresses.
    pub fn in_force(&self) -> Vec<(&EdgeKey, &Restriction)> {
        self.sim.state(self.orders).control().restrictions().collect()
    }

    /// No honest caller has lost anything to the loop, and every call is accounted for.
    pub fn spared_the_honest(&self) -> bool {
        assert!(self.callers.iter().all(|caller| self.sim.counts(*caller).balances()));
        assert!(self.sim.honest().all(|caller| self.sim.counts(caller).made > 0));
        self.sim.honest().all(|caller| self.sim.counts(caller).lost() == 0)
    }
}

/// Whether an action of this kind took effect on an edge.
pub fn applied<'a>(edge: &'a EdgeKey, kind: &'a str) -> impl Fn(&Event) -> bool + use<'a> {
    move |event| match event {
        Event::Applied(action) => action.edge == *edge && action.kind.as_str() == kind,
        _ => false,
    }
}

/// The restrictions that took effect, as edge and kind.
pub fn restrictions(told: &[Told]) -> Vec<(EdgeKey, &'static str)> {
    let restriction = |told: &Told| match &told.event {
        Event::Applied(action) if action.kind != ActionKind::Alert => {
            Some((action.edge.clone(), action.kind.as_str()))
        }
        _ => None,
    };
    told.iter().filter_map(restriction).collect()
}

/// What a service of this seed has learnt in the warm-up, learnt once.
pub fn learnt(seed: u64) -> &'static [u8] {
    static LEARNT: [OnceLock<Vec<u8>>; SEEDS.len()] = [const { OnceLock::new() }; SEEDS.len()];
    let at = SEEDS.iter().position(|known| *known == seed).unwrap();
    LEARNT[at].get_or_init(|| {
        let mut town = Town::cold(seed, "");
        town.sim.run_for(WARM_UP);
        assert_eq!(town.sim.events(), [], "a false alarm");
        town.sim.state(town.orders).baselines().snapshot()
    })
}
