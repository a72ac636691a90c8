//! Services, hops, callers and attacks.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use meshguard_core::SpiffeId;
use meshguard_core::baseline::{EdgeKey, Settings};
use meshguard_core::control::Cadence;
use meshguard_core::policy::Policy;
use meshguard_core::reflex::{Governor, Rate};

use super::BEGIN;
use super::attack::Deed;
use super::node::Node;
use super::rng::Rng;
use super::source::{Route, Source, Wire};
use super::tally::Tally;
use super::{
    Attack, AttackId, Caller, Carrier, Defect, Hop, Load, Service, Sim, SimError, network,
};

impl Sim {
    /// An empty mesh.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let cadence = Cadence::default();
        Self {
            seed,
            now: BEGIN,
            tick: cadence.busy / 10,
            cadence,
            settings: Settings::default(),
            nodes: Vec::new(),
            sources: Vec::new(),
            hops: Vec::new(),
            wires: Vec::new(),
            attacks: BTreeMap::new(),
            last_attack: 0,
            events: Vec::new(),
            defect: None,
            rng: Rng::new(seed, 0),
            knocks: Rng::new(seed, u64::MAX),
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn with_defect(seed: u64, defect: Defect) -> Self {
        Self { defect: Some(defect), ..Self::new(seed) }
    }

    /// When windows close at the services added from now on; a tick is a tenth of its `busy`.
    pub fn set_cadence(&mut self, cadence: Cadence) {
        self.tick = (cadence.busy / 10).max(Duration::from_millis(1));
        self.cadence = cadence;
    }

    /// How the services added from now on learn.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Adds a service with its policy and its loop. A further one of the same name is another
    /// instance: the instances of `…/orders` are `orders-1`, `orders-2` and so on.
    ///
    /// # Errors
    /// [`SimError::Id`] and [`SimError::Policy`].
    pub fn service(&mut self, id: &str, policy: &str) -> Result<Service, SimError> {
        let (id, policy): (SpiffeId, Policy) = (id.parse()?, policy.parse()?);
        let number = self.nodes.iter().filter(|node| node.id == id).count() + 1;
        let name = id.path().rsplit('/').next().unwrap_or_default();
        let instance = format!("{name}-{number}").into();
        let mut plan = policy.plan().clone();
        if self.defect == Some(Defect::NoGovernor) {
            plan.governor = unlimited();
        }
        let rng = self.stream();
        let learning = (self.settings.clone(), self.cadence);
        let mut node = Node::new((id, instance), policy, plan, learning, rng);
        node.shuts_known = self.defect == Some(Defect::ShutsKnownAddresses);
        self.nodes.push(node);
        Ok(Service(self.nodes.len() - 1))
    }

    /// Adds a hop. Whether it may carry calls is up to the policies.
    ///
    /// # Errors
    /// [`SimError::Id`].
    pub fn hop(&mut self, id: &str) -> Result<Hop, SimError> {
        let address = Ipv4Addr::from(0x0a01_0001 + self.hops.len() as u32).into();
        self.hops.push(Carrier { id: id.parse()?, address, truncates: 0.0 });
        Ok(Hop(self.hops.len() - 1))
    }

    /// Adds a caller that has no loop of its own.
    ///
    /// # Errors
    /// [`SimError::Id`] and [`SimError::Operation`].
    pub fn caller(&mut self, id: &str, load: Load) -> Result<Caller, SimError> {
        self.connect(id.parse()?, None, load)
    }

    /// Has a service call another one: its own loop measures the callee's instances.
    ///
    /// # Errors
    /// [`SimError::Operation`].
    pub fn outbound(&mut self, from: Service, load: Load) -> Result<Caller, SimError> {
        self.connect(self.nodes[from.0].id.clone(), Some(from.0), load)
    }

    fn connect(
        &mut self,
        id: SpiffeId,
        own: Option<usize>,
        load: Load,
    ) -> Result<Caller, SimError> {
        let number = Caller(self.sources.len());
        let address = Ipv4Addr::from(0x0a00_0001 + number.0 as u32).into();
        let address = load.from.unwrap_or(address);
        let rng = self.stream();
        let mut source = Source::new(id, own, load, address, rng)?;
        for target in source.load.targets.clone() {
            source.routes.push(self.route(&source, target.0));
        }
        self.sources.push(source);
        Ok(number)
    }

    /// The way of a caller to a service, and where it is measured.
    fn route(&mut self, source: &Source, node: usize) -> Route {
        let hop = source.load.via.map(|hop| hop.0);
        let via = hop.map(|hop| self.hops[hop].id.clone());
        let wire = self.wire(source, hop, node);
        let place = |node: &mut Node, key: Option<EdgeKey>| key.map(|key| node.place(key));
        let (id, instance) = (self.nodes[node].id.clone(), self.nodes[node].instance.clone());
        let callee = source.own.map(|own| self.nodes[own].place(EdgeKey::Callee { id, instance }));
        let out = via.clone().map(EdgeKey::HopOut);
        let hop_out = source.own.and_then(|own| place(&mut self.nodes[own], out));
        let at = &mut self.nodes[node];
        let caller = at.place(EdgeKey::Caller(source.id.clone()));
        let hop_in = place(at, via.map(EdgeKey::HopIn));
        Route { node, hop, wire, caller, hop_in, callee, hop_out }
    }

    /// The connection of a caller to a service, or that of its hop.
    fn wire(&mut self, source: &Source, hop: Option<usize>, node: usize) -> usize {
        let same = |wire: &Wire| hop.is_some() && wire.hop == hop && wire.node == node;
        if let Some(known) = self.wires.iter().position(same) {
            return known;
        }
        let (address, peer) = match hop {
            Some(hop) => (self.hops[hop].address, self.hops[hop].id.clone()),
            None => (source.address, source.id.clone()),
        };
        let address = self.nodes[node].place(EdgeKey::Address(network(address)));
        let every = source.load.reconnect;
        self.wires.push(Wire::new(node, hop, address, peer, every));
        self.wires.len() - 1
    }

    /// Has a caller call otherwise from now on: with another rate, latency, size, or operation. Its
    /// callees and its way to them stay.
    ///
    /// # Errors
    /// [`SimError::Operation`].
    pub fn change(
        &mut self,
        caller: Caller,
        by: impl FnOnce(Load) -> Load,
    ) -> Result<(), SimError> {
        let source = &mut self.sources[caller.0];
        let before = source.load.clone();
        let load = Load { targets: before.targets.clone(), via: before.via, ..by(before) };
        source.reload(load)?;
        self.put_attacks()
    }

    /// Stops a service: it calls nobody, nobody is connected to it any more, and what was meant for it goes to the
    /// other instances that its callers know.
    pub fn stop(&mut self, service: Service) {
        self.nodes[service.0].stopped = true;
        let wires = self.wires.iter_mut().filter(|wire| wire.node == service.0);
        wires.for_each(|wire| wire.reset(self.now));
    }

    /// Starts a service that was stopped, or adds it to those that its callers use.
    pub fn start(&mut self, service: Service) {
        let node = &mut self.nodes[service.0];
        node.stopped = false;
        // Its windows begin anew.
        node.tallies.iter_mut().for_each(|tally| *tally = Tally::new(tally.key.clone()));
    }

    /// Begins an attack, beside those that go on.
    ///
    /// # Errors
    /// [`SimError::Operation`].
    pub fn attack(&mut self, attack: Attack) -> Result<AttackId, SimError> {
        self.last_attack += 1;
        let id = AttackId(self.last_attack);
        self.attacks.insert(id, attack);
        if let Err(error) = self.put_attacks() {
            self.end(id);
            return Err(error);
        }
        self.break_in(id);
        Ok(id)
    }

    /// Who has a stolen credential connects with it.
    fn break_in(&mut self, id: AttackId) {
        let Some(Attack(Deed::Stolen { caller, from })) = self.attacks.get(&id) else { return };
        let source = &self.sources[caller.0];
        for route in source.routes.iter().filter(|route| route.hop.is_none()) {
            let node = &mut self.nodes[route.node];
            let address = node.place(EdgeKey::Address(network(*from)));
            let tally = &mut node.tallies[address];
            if node.gate.admit(&tally.key, 1, self.now) > 0 {
                tally.handshake_completed(&source.id, self.now);
            }
        }
    }

    /// Ends an attack.
    pub fn end(&mut self, attack: AttackId) {
        self.attacks.remove(&attack);
        // What goes on was understood when it began.
        let _ = self.put_attacks();
    }

    fn put_attacks(&mut self) -> Result<(), SimError> {
        for (at, source) in self.sources.iter_mut().enumerate() {
            source.attacked(Caller(at), self.attacks.values())?;
        }
        self.nodes.iter_mut().for_each(|node| (node.sick, node.slow) = (0.0, 1.0));
        self.hops.iter_mut().for_each(|hop| hop.truncates = 0.0);
        for attack in self.attacks.values() {
            match attack.0 {
                Deed::Sick { service, share } => self.nodes[service.0].sick = share,
                Deed::Slow { service, factor } => self.nodes[service.0].slow *= factor,
                Deed::Truncates { hop, share } => self.hops[hop.0].truncates = share,
                _ => {}
            }
        }
        Ok(())
    }

    /// A sequence of random numbers of its own: what one does leaves those of the others.
    fn stream(&self) -> Rng {
        Rng::new(self.seed, 1 + (self.nodes.len() + 1_000 * self.sources.len()) as u64)
    }
}

/// Caps that cap nothing.
fn unlimited() -> Governor {
    Governor {
        max_share: 1.0,
        min_healthy: 0.0,
        min_peers: 0,
        min_calls: 0,
        max_actions: Rate { count: 10_000, per: Duration::from_secs(1) },
        ..Governor::default()
    }
}
