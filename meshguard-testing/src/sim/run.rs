//! Time passes.

use std::time::Duration;

use meshguard_core::baseline::EdgeKey;
use meshguard_core::control::Loop;
use meshguard_core::{SpiffeId, Timestamp};

use super::attack::Deed;
use super::node::Turned;
use super::source::{Route, Source};
use super::{Defect, Service, Sim, SimError, Told, network};

impl Sim {
    /// Goes on for so long, in whole ticks.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// Goes on until something holds, and tells how long that took.
    ///
    /// # Errors
    /// [`SimError::NotWithin`] where it does not hold within so long.
    pub fn run_until(
        &mut self,
        holds: impl Fn(&Self) -> bool,
        within: Duration,
    ) -> Result<Duration, SimError> {
        let begin = self.now;
        while !holds(self) {
            if self.now.since(begin) >= within {
                return Err(SimError::NotWithin(within));
            }
            self.step();
        }
        Ok(self.now.since(begin))
    }

    /// Does something to a service's loop in an operator's name, and enforces what comes of it.
    pub fn operate<T>(&mut self, at: Service, act: impl FnOnce(&mut Loop, Timestamp) -> T) -> T {
        let (now, node) = (self.now, &mut self.nodes[at.0]);
        let done = act(&mut node.state, now);
        let turned = node.enforce(true, now);
        self.take(at, turned);
        done
    }

    fn step(&mut self) {
        self.now = self.now + self.tick;
        for wire in &mut self.wires {
            let node = &mut self.nodes[wire.node];
            if !node.stopped {
                wire.renew(node, &mut self.rng, self.now);
            }
        }
        self.knock();
        for source in 0..self.sources.len() {
            self.call(source);
        }
        for node in 0..self.nodes.len() {
            let turned = self.nodes[node].turn(self.now);
            self.take(Service(node), turned);
        }
    }

    /// Handshakes that fail.
    fn knock(&mut self) {
        let second = self.tick.as_secs_f64();
        for attack in self.attacks.values() {
            let Deed::Handshakes { service, from, rate } = attack.0 else { continue };
            let (node, count) = (&mut self.nodes[service.0], self.knocks.poisson(rate * second));
            let address = node.place(EdgeKey::Address(network(from)));
            let tally = &mut node.tallies[address];
            let admitted = node.gate.admit(&tally.key, count, self.now);
            tally.handshakes_failed(admitted);
        }
    }

    /// Takes up what a loop did.
    pub(super) fn take(&mut self, service: Service, turned: Turned) {
        let at = self.now;
        let told = turned.events.into_iter().map(|event| Told { at, service, event });
        self.events.extend(told);
        for caller in turned.cut {
            self.cut_off(service.0, &caller);
        }
    }

    /// Ends a caller's sessions with their streams, and the connections that are its own.
    fn cut_off(&mut self, node: usize, caller: &SpiffeId) {
        let routes = |source: &Source| source.routes.clone().into_iter().filter(|r| r.node == node);
        let callers = self.sources.iter().filter(|source| source.id == *caller);
        let theirs: Vec<_> = callers.flat_map(routes).collect();
        for route in theirs.iter().filter(|route| route.hop.is_none()) {
            self.wires[route.wire].renew = self.now;
        }
        let all_through_hop = self.defect == Some(Defect::EndsAllThroughHop);
        for source in &mut self.sources {
            let through = |r: &Route| theirs.iter().any(|t| t.hop.is_some() && t.wire == r.wire);
            let ends = |r: &Route| all_through_hop && through(r);
            let own = source.id == *caller;
            for _ in routes(source).filter(|route| own || ends(route)) {
                source.counts.cut += source.open();
            }
        }
    }
}
