//! A mesh on simulated time: services with their real policies and loops, callers, hops, and
//! attackers.

mod attack;
mod counts;
mod error;
mod gate;
mod load;
mod node;
mod rng;
mod run;
mod setup;
mod shape;
mod source;
mod tally;
mod traffic;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use meshguard_core::baseline::{EdgeKey, Settings};
use meshguard_core::control::{Cadence, Event, Loop, Restriction};
use meshguard_core::{SpiffeId, Timestamp};

pub use self::attack::Attack;
pub use self::counts::Counts;
pub use self::error::SimError;
pub use self::load::Load;

use self::node::Node;
use self::rng::Rng;
use self::source::{Source, Wire};

/// When every simulation begins: 2027-01-15 08:00 UTC, a Friday.
const BEGIN: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

/// A mesh on simulated time. Nothing sleeps, there are no threads, and a seed determines all.
///
/// Each service decides by its [`Policy`](meshguard_core::Policy), measures, judges and acts by its [`Loop`], and
/// enforces what comes of that, all from the pieces that a service runs; only what happens on
/// the wire is drawn at random, tick by tick (a tenth of [`Cadence::busy`], as in a service).
///
/// ```
/// use std::time::Duration;
/// use meshguard_testing::sim::{Attack, Load, Sim, SimError};
///
/// const POLICY: &str = r#"
///     mesh = "shop.example"
///     version = 1
///     [[allow]]
///     name = "all-read"
///     http = ["GET /orders/{id}"]
///     [[reflex]]
///     name = "failing"
///     on = { signal = "errors", false_alarms = "1 in 30 days" }
///     do = ["quarantine"]
///     [governor]
///     min_peers = 2
///     max_share = 0.5
/// "#;
///
/// let mut sim = Sim::new(7);
/// let orders = sim.service("spiffe://shop.example/orders", POLICY)?;
/// let reads = Load::new(orders, "GET /orders/7").rate(200.0);
/// let checkout = sim.caller("spiffe://shop.example/checkout", reads.clone())?;
/// let billing = sim.caller("spiffe://shop.example/billing", reads)?;
/// sim.run_for(Duration::from_secs(5));
///
/// sim.attack(Attack::errors(checkout, 0.5))?;
/// let cut_off = |sim: &Sim| sim.restriction(orders, checkout).is_some_and(|r| r.quarantine);
/// sim.run_until(cut_off, Duration::from_secs(2))?;
/// sim.run_for(Duration::from_secs(10));
/// assert!(sim.counts(checkout).restricted > 1_000);
/// assert_eq!(sim.counts(billing).lost(), 0);
/// # Ok::<(), SimError>(())
/// ```
///
/// # What is charged to whom
/// As in a service: failed handshakes to the address, a caller's own failures and what policy
/// refuses it to the caller, what a hop may have done to the hop, a callee's failures to its
/// instance at a caller that has a loop. What the loop itself refuses is not measured.
///
/// # What it is not
/// The wire: there are no bytes, no TLS and no proofs here, a tick's calls are dealt with
/// together, and a latency does not depend on the load.
///
/// # Panics
/// Handles ([`Service`], [`Caller`], [`Hop`]) are numbers in the simulation that gave them:
/// another one takes them for its own, or panics where it has none of that number.
#[derive(Debug)]
pub struct Sim {
    seed: u64,
    now: Timestamp,
    tick: Duration,
    cadence: Cadence,
    settings: Settings,
    nodes: Vec<Node>,
    sources: Vec<Source>,
    hops: Vec<Carrier>,
    wires: Vec<Wire>,
    attacks: BTreeMap<AttackId, Attack>,
    last_attack: u64,
    events: Vec<Told>,
    defect: Option<Defect>,
    rng: Rng,
    /// Of what strangers do: it leaves the numbers of all others as they are.
    knocks: Rng,
}

/// A service of a [`Sim`]: one instance of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service(usize);

/// A caller of a [`Sim`], with its [`Load`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caller(usize);

/// A hop of a [`Sim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop(usize);

/// The number of an [`Attack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttackId(u64);

/// One step of a service's loop.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub service: Service,
    /// What happened.
    pub event: Event,
}

/// A fault to be found: a check that does not turn red with it checks nothing.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// Charges the caller for what the hop did.
    ChargesCallerForHop,
    /// A quarantine ends everything that came through the caller's hop.
    EndsAllThroughHop,
    /// The loop runs without the policy's governor.
    NoGovernor,
    /// A restricted address is shut to the peers that are known behind it.
    ShutsKnownAddresses,
}

#[derive(Debug)]
struct Carrier {
    id: SpiffeId,
    address: IpAddr,
    /// The share of calls that it cuts short.
    truncates: f64,
}

impl Sim {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How long it has run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.since(BEGIN)
    }

    /// All that all loops did so far, in its order.
    #[must_use]
    pub fn events(&self) -> &[Told] {
        &self.events
    }

    /// A service's loop: its incidents, trust, baselines, and what is in force.
    #[must_use]
    pub fn state(&self, of: Service) -> &Loop {
        &self.nodes[of.0].state
    }

    /// What is in force on a caller at a service.
    #[must_use]
    pub fn restriction(&self, at: Service, caller: Caller) -> Option<&Restriction> {
        self.state(at).control().restriction(&self.edge(caller))
    }

    /// A caller's edge at any service.
    #[must_use]
    pub fn edge(&self, caller: Caller) -> EdgeKey {
        EdgeKey::Caller(self.sources[caller.0].id.clone())
    }

    /// A service's edge at those of its callers that have a loop.
    #[must_use]
    pub fn callee(&self, service: Service) -> EdgeKey {
        let node = &self.nodes[service.0];
        EdgeKey::Callee { id: node.id.clone(), instance: node.instance.clone() }
    }

    /// What became of a caller's calls.
    #[must_use]
    pub fn counts(&self, of: Caller) -> Counts {
        self.sources[of.0].counts
    }

    /// The callers that never took part in an attack.
    pub fn honest(&self) -> impl Iterator<Item = Caller> {
        let honest = self.sources.iter().enumerate().filter(|(_, source)| !source.wicked);
        honest.map(|(at, _)| Caller(at))
    }
}

/// Of IPv6, the /64 network: whoever has one has all of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

/// Its code blocks are compiled and run with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/testing.md")]
struct Guide;
