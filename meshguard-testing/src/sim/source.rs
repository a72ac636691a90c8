//! One caller, and what it does now.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use meshguard_core::policy::DeliveryMode;
use meshguard_core::{Evidence, SpiffeId, Timestamp};

use super::Caller;
use super::attack::{Attack, Deed};
use super::counts::Counts;
use super::error::SimError;
use super::load::{Load, Operation};
use super::node::Node;
use super::rng::Rng;
use super::shape::Shape;

/// Who has a stolen credential calls twice as often as its owner...
const STOLEN_RATE: f64 = 2.0;
/// ...with bodies so many times as large.
const STOLEN_BYTES: f64 = 10.0;

#[derive(Debug)]
pub(super) struct Source {
    pub(super) id: SpiffeId,
    /// Where it runs, if it has a loop of its own.
    pub(super) own: Option<usize>,
    pub(super) load: Load,
    pub(super) address: IpAddr,
    pub(super) routes: Vec<Route>,
    pub(super) batches: Vec<Batch>,
    pub(super) unconfirmed: f64,
    pub(super) forges: f64,
    pub(super) counts: Counts,
    /// Whether it ever took part in an attack.
    pub(super) wicked: bool,
    pub(super) rng: Rng,
    operation: Arc<Operation>,
    shape: Arc<Shape>,
    stolen: Arc<Shape>,
    /// Of regular arrivals: what is left of a call.
    carry: f64,
    /// Calls that failed since the last tick, as far as they are made again.
    pub(super) again: u64,
}

/// The way to one instance of the callee, and where it is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) node: usize,
    /// The hop, and its connection's number, or the caller's own connection's.
    pub(super) hop: Option<usize>,
    pub(super) wire: usize,
    /// At the callee.
    pub(super) caller: usize,
    pub(super) hop_in: Option<usize>,
    /// At the caller, if it has a loop.
    pub(super) callee: Option<usize>,
    pub(super) hop_out: Option<usize>,
}

/// Calls of one sort.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) operation: Arc<Operation>,
    pub(super) shape: Arc<Shape>,
    pub(super) errors: f64,
    rate: f64,
    regular: bool,
    /// What policy says of them at each callee, at this trust.
    rulings: Vec<Option<(u32, bool)>>,
}

impl Source {
    pub(super) fn new(
        id: SpiffeId,
        own: Option<usize>,
        load: Load,
        address: IpAddr,
        rng: Rng,
    ) -> Result<Self, SimError> {
        let operation = Arc::new(Operation::parse(&load.operation)?);
        let ((median, spread), (request, response)) = (load.latency, load.bytes);
        let shape = Shape::new(median, spread, request, response);
        let stolen = Arc::new(shape.larger(STOLEN_BYTES));
        let mut source = Self {
            id,
            own,
            load,
            address,
            routes: Vec::new(),
            batches: Vec::new(),
            unconfirmed: 0.0,
            forges: 0.0,
            counts: Counts::default(),
            wicked: false,
            rng,
            operation,
            shape: Arc::new(shape),
            stolen,
            carry: 0.0,
            again: 0,
        };
        source.batches.push(source.usual());
        Ok(source)
    }

    /// Calls otherwise from now on, once [`attacked`](Self::attacked) is told.
    pub(super) fn reload(&mut self, load: Load) -> Result<(), SimError> {
        let operation = Operation::parse(&load.operation)?;
        let ((median, spread), (request, response)) = (load.latency, load.bytes);
        let shape = Shape::new(median, spread, request, response);
        self.stolen = Arc::new(shape.larger(STOLEN_BYTES));
        (self.operation, self.shape, self.load) = (Arc::new(operation), Arc::new(shape), load);
        Ok(())
    }

    /// Is as it is under these attacks from now on.
    pub(super) fn attacked<'a>(
        &mut self,
        myself: Caller,
        attacks: impl Iterator<Item = &'a Attack>,
    ) -> Result<(), SimError> {
        let mut usual = self.usual();
        (self.unconfirmed, self.forges) = (0.0, 0.0);
        let mut others = Vec::new();
        for attack in attacks.filter(|attack| attack.caller() == Some(myself)) {
            self.wicked = true;
            match &attack.0 {
                Deed::Errors { share, .. } => usual.errors = either(usual.errors, *share),
                Deed::Rate { factor, .. } => usual.rate *= factor.max(0.0),
                Deed::Silence { .. } => usual.rate = 0.0,
                Deed::Unconfirmed { share, .. } => {
                    self.unconfirmed = either(self.unconfirmed, *share);
                }
                Deed::Forges { share, .. } => self.forges = either(self.forges, *share),
                Deed::Calls { operation, rate, .. } => {
                    let operation = Arc::new(Operation::parse(operation)?);
                    others.push(Batch { operation, rate: *rate, ..self.poisson() });
                }
                Deed::Stolen { .. } => {
                    let (rate, shape) = (STOLEN_RATE * self.load.rate, Arc::clone(&self.stolen));
                    others.push(Batch { rate, shape, ..self.poisson() });
                }
                Deed::Handshakes { .. }
                | Deed::Sick { .. }
                | Deed::Slow { .. }
                | Deed::Truncates { .. } => {}
            }
        }
        self.batches = vec![usual];
        self.batches.append(&mut others);
        Ok(())
    }

    /// How many calls of each batch arrive in so long a time, which ends now.
    pub(super) fn arrivals(&mut self, time: Duration, now: Timestamp) -> Vec<u64> {
        let day = self.load.of_day(now);
        let mut arrivals = Vec::with_capacity(self.batches.len());
        for batch in &self.batches {
            let expected = day * batch.rate * time.as_secs_f64();
            arrivals.push(if batch.regular {
                self.carry += expected;
                // As near to a whole call as rounding leaves it is a whole one.
                let whole = (self.carry + 1e-9).floor();
                self.carry -= whole;
                whole as u64
            } else {
                self.rng.poisson(expected)
            });
        }
        // What is made again is of the usual sort.
        if let Some(usual) = arrivals.first_mut() {
            *usual += std::mem::take(&mut self.again);
        }
        arrivals
    }

    /// Calls expected to be under way, and streams open, on each of the routes.
    pub(super) fn open(&mut self) -> u64 {
        let routes = self.routes.len().max(1) as u64;
        let usual = self.batches.first().map_or(0.0, |batch| batch.rate);
        let calls = self.shape.in_flight(usual) / routes as f64;
        self.rng.poisson(calls) + self.load.streams / routes
    }

    /// Whether a callee's policy, and what its edge demands of a delivery, let a batch pass.
    pub(super) fn is_allowed(&mut self, batch: usize, route: usize, node: &Node) -> bool {
        let trust = node.policy.reads_trust().then(|| node.gate.trust(&self.id));
        let bits = trust.map_or(0, f32::to_bits);
        let count = self.routes.len();
        let batch = &mut self.batches[batch];
        batch.rulings.resize(count, None);
        if let Some((at, allowed)) = batch.rulings[route]
            && at == bits
        {
            return allowed;
        }
        let peer = self.load.via.is_some().then(|| node.tallies.get(self.routes[route].hop_in?));
        let via = peer.flatten().and_then(|hop| hop.key.peer());
        let evidence = self.load.evidence;
        let mut access = batch.operation.access(&self.id, &node.id, via, evidence);
        if let Some(trust) = trust {
            access = access.trust(trust);
        }
        let decision = node.policy.decide(&access);
        let proven = evidence == Evidence::Verified;
        let delivered = match decision.delivery().mode {
            DeliveryMode::Off => true,
            DeliveryMode::Prefer => proven || via.is_none(),
            _ => proven,
        };
        let allowed = decision.is_allowed() && delivered;
        batch.rulings[route] = Some((bits, allowed));
        allowed
    }

    fn usual(&self) -> Batch {
        Batch { regular: self.load.regular, ..self.poisson() }
    }

    fn poisson(&self) -> Batch {
        Batch {
            operation: Arc::clone(&self.operation),
            shape: Arc::clone(&self.shape),
            errors: self.load.errors,
            rate: self.load.rate,
            regular: false,
            rulings: Vec::new(),
        }
    }
}

/// One or the other, independently.
fn either(a: f64, b: f64) -> f64 {
    1.0 - (1.0 - a.clamp(0.0, 1.0)) * (1.0 - b.clamp(0.0, 1.0))
}

/// A connection: a caller's own, or a hop's.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) node: usize,
    pub(super) hop: Option<usize>,
    pub(super) up: bool,
    pub(super) renew: Timestamp,
    /// Where its handshakes are measured.
    address: usize,
    peer: SpiffeId,
    every: Duration,
}

impl Wire {
    /// A refused connection is tried again after so long.
    const RETRY: Duration = Duration::from_secs(1);

    /// Begins again: its far end was not there.
    pub(super) fn reset(&mut self, now: Timestamp) {
        (self.up, self.renew) = (false, now);
    }

    pub(super) fn new(
        node: usize,
        hop: Option<usize>,
        address: usize,
        peer: SpiffeId,
        every: Duration,
    ) -> Self {
        Self { node, hop, up: false, renew: Timestamp::EPOCH, address, peer, every }
    }

    /// Connects where it is time, if the acceptor lets it in.
    pub(super) fn renew(&mut self, node: &mut Node, rng: &mut Rng, now: Timestamp) {
        if now < self.renew {
            return;
        }
        let tally = &mut node.tallies[self.address];
        // Where a peer was authenticated, a restriction is of unfinished handshakes.
        let known = tally.is_known(now) && !node.shuts_known;
        self.up = node.gate.admit(&tally.key, 1, now) > 0 || known;
        if self.up {
            // Not all of them at the same time.
            self.renew = now + self.every.mul_f64(0.5 + rng.unit());
            tally.handshake_completed(&self.peer, self.renew);
        } else {
            self.renew = now + Self::RETRY;
        }
    }
}
