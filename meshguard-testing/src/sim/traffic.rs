//! What happens in one tick, and to whom it is charged.

use std::sync::Arc;

use meshguard_core::reflex::Signal;
use meshguard_core::{Evidence, Timestamp};

use super::node::Node;
use super::rng::Rng;
use super::shape::Shape;
use super::source::Route;
use super::tally::Calls;
use super::{Defect, Service, Sim};

/// What became of calls of one sort that were let in.
#[derive(Clone, Copy, Debug, Default)]
struct Fates {
    let_in: u64,
    /// The hop cut the request short, or the answer.
    cut_requests: u64,
    cut_answers: u64,
    /// The request is not what its caller proved.
    forged: u64,
    /// By the caller's own fault.
    errors: u64,
    /// By the callee's.
    sick: u64,
    /// The answer will not be confirmed.
    unconfirmed: u64,
    /// A receipt is due.
    receipts: u64,
}

/// How likely each fate is.
struct Chances {
    cut: f64,
    forged: f64,
    errors: f64,
    sick: f64,
    unconfirmed: f64,
    proven: bool,
}

impl Sim {
    /// All calls of one caller in this tick.
    pub(super) fn call(&mut self, at: usize) {
        let own = self.sources[at].own;
        if own.is_some_and(|own| self.nodes[own].stopped) {
            return;
        }
        let arrivals = self.sources[at].arrivals(self.tick, self.now);
        let routes = self.sources[at].routes.iter().enumerate();
        let up = routes.filter(|(_, way)| !self.nodes[way.node].stopped).map(|(route, _)| route);
        let up: Vec<_> = up.collect();
        let mut left = arrivals;
        if up.is_empty() {
            let (counts, all) = (&mut self.sources[at].counts, left.iter().sum::<u64>());
            counts.made += all;
            counts.unserved += all;
            return;
        }
        for (n, route) in up.iter().copied().enumerate() {
            let share = 1.0 / (up.len() - n) as f64;
            let rng = &mut self.sources[at].rng;
            let here: Vec<u64> = left.iter().map(|n| rng.binomial(*n, share)).collect();
            left.iter_mut().zip(&here).for_each(|(left, here)| *left -= here);
            if here.iter().any(|n| *n > 0) {
                self.send(at, route, here);
            }
        }
    }

    /// Calls of one caller on one of its routes.
    fn send(&mut self, at: usize, route: usize, mut calls: Vec<u64>) {
        let now = self.now;
        let source = &mut self.sources[at];
        let way = source.routes[route];
        let asked: u64 = calls.iter().sum();
        source.counts.made += asked;
        let mut passed = asked;
        if let (Some(own), Some(callee)) = (source.own, way.callee) {
            let own = &mut self.nodes[own];
            passed = own.gate.admit(&own.tallies[callee].key, asked, now);
            source.counts.held_back += asked - passed;
        }
        if !self.wires[way.wire].up {
            source.counts.unconnected += passed;
            return;
        }
        let node = &mut self.nodes[way.node];
        let (key, direct) = (&node.tallies[way.caller].key, way.hop.is_none());
        // First: what the loop has cut off is not measured any more.
        let admitted = node.gate.admit_calls(key, passed, source.load.evidence, direct, now);
        source.counts.restricted += passed - admitted;
        // The callee's answer, whatever it says, counts at the caller.
        if let (Some(own), true) = (source.own, passed > admitted) {
            let shape = Arc::clone(&source.batches[0].shape);
            let refused = Fates { let_in: passed - admitted, ..Fates::default() };
            measure_outbound(&mut self.nodes[own], &way, &refused, &shape);
        }
        let source = &mut self.sources[at];
        thin_out(&mut calls, admitted, &mut source.rng);
        for (batch, calls) in calls.into_iter().enumerate().filter(|(_, calls)| *calls > 0) {
            self.judge(at, route, batch, calls);
        }
    }

    /// Calls of one sort, which the loop let pass.
    fn judge(&mut self, at: usize, route: usize, batch: usize, calls: u64) {
        let (source, now) = (&mut self.sources[at], self.now);
        let way = source.routes[route];
        let allowed = source.is_allowed(batch, route, &self.nodes[way.node]);
        let shape = Arc::clone(&source.batches[batch].shape);
        let shape = self.nodes[way.node].slowed(shape);
        let fates = if allowed {
            let chances = Chances {
                cut: way.hop.map_or(0.0, |hop| self.hops[hop].truncates),
                forged: source.forges,
                errors: source.batches[batch].errors,
                sick: self.nodes[way.node].sick,
                unconfirmed: source.unconfirmed,
                proven: source.load.evidence == Evidence::Verified,
            };
            Fates::draw(calls, &chances, &mut source.rng)
        } else {
            Fates::default()
        };
        source.counts.let_in += fates.let_in;
        source.counts.refused += calls - fates.let_in;
        source.counts.failed += fates.failed();
        if source.load.retries > 0.0 {
            source.again += source.rng.binomial(fates.sick, source.load.retries);
        }
        if let Some(own) = source.own {
            let seen = Fates { let_in: calls, ..fates };
            measure_outbound(&mut self.nodes[own], &way, &seen, &shape);
        }
        let node = &mut self.nodes[way.node];
        node.tallies[way.caller].refused(calls - fates.let_in);
        measure_inbound(node, &way, &fates, &shape, self.defect, now);
        if fates.forged > 0 && way.hop.is_none() {
            self.accuse(&way, now);
        }
    }

    /// On a direct connection nobody but the caller can have made a proven body another.
    fn accuse(&mut self, way: &Route, now: Timestamp) {
        let node = &mut self.nodes[way.node];
        let caller = node.tallies[way.caller].key.clone();
        let turned = node.signal(&caller, Signal::Forged, "a record's tag does not hold", now);
        self.take(Service(way.node), turned);
    }
}

impl Fates {
    fn draw(let_in: u64, p: &Chances, rng: &mut Rng) -> Self {
        let cut = rng.binomial(let_in, p.cut);
        let cut_requests = rng.binomial(cut, 0.5);
        let mut whole = let_in - cut;
        let mut of_whole = |share: f64| {
            let count = rng.binomial(whole, share);
            whole -= count;
            count
        };
        let forged = if p.proven { of_whole(p.forged) } else { 0 };
        let (errors, sick) = (of_whole(p.errors), of_whole(p.sick));
        let receipts = if p.proven { let_in } else { 0 };
        let confirms = receipts.saturating_sub(cut + forged);
        let unconfirmed = rng.binomial(confirms, p.unconfirmed);
        let cut_answers = cut - cut_requests;
        Self { let_in, cut_requests, cut_answers, forged, errors, sick, unconfirmed, receipts }
    }

    fn failed(&self) -> u64 {
        self.cut_requests + self.cut_answers + self.forged + self.errors + self.sick
    }
}

/// As the inbound layer charges: a failure counts against the caller only where it is the
/// caller's own, with proof; through a hop, anything else counts against the hop.
fn measure_inbound(
    node: &mut Node,
    way: &Route,
    fates: &Fates,
    shape: &Arc<Shape>,
    defect: Option<Defect>,
    now: Timestamp,
) {
    if fates.let_in == 0 {
        return;
    }
    let wrong = defect == Some(Defect::ChargesCallerForHop);
    let astray = fates.cut_requests + fates.forged;
    let direct = way.hop_in.is_none();
    let calls = Calls {
        calls: fates.let_in,
        failed: fates.errors + if direct || wrong { astray } else { 0 },
        answered: fates.let_in - astray,
        receipts: fates.receipts,
    };
    node.tallies[way.caller].call(&calls, shape);
    if let Some(hop) = way.hop_in {
        node.tallies[hop].call(&Calls { failed: astray, ..calls }, shape);
    }
    let path = way.hop_in.filter(|_| !wrong).unwrap_or(way.caller);
    node.tallies[path].receipts_missing(fates.cut_answers);
    node.unconfirmed(path, fates.unconfirmed, now);
}

/// As the channel charges: what the callee says itself counts against its instance, all that
/// anybody on the way may have done against the hop, if there is one.
fn measure_outbound(own: &mut Node, way: &Route, fates: &Fates, shape: &Arc<Shape>) {
    let Some(callee) = way.callee else { return };
    let (cut, receipts) = (fates.cut_requests + fates.cut_answers, fates.receipts);
    let answered = fates.let_in - fates.cut_requests;
    let calls = Calls { calls: fates.let_in, failed: fates.sick, answered, receipts };
    own.tallies[callee].call(&calls, shape);
    if let Some(hop) = way.hop_out {
        own.tallies[hop].call(&Calls { failed: cut, ..calls }, shape);
        own.tallies[hop].receipts_missing(fates.cut_requests);
    }
}

/// Leaves as many calls of all sorts together.
fn thin_out(calls: &mut [u64], admitted: u64, rng: &mut Rng) {
    let mut all: u64 = calls.iter().sum();
    let mut left = admitted;
    for count in calls {
        let taken = rng.among(left, *count, all);
        all -= *count;
        left -= taken;
        *count = taken;
    }
}
