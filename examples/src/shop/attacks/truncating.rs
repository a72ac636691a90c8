//! The hops cut one body after the other: whoever calls through them is honest all the same.

use std::sync::Arc;
use std::time::Duration;

use meshguard_axum::core::baseline::Feature;
use meshguard_axum::core::reflex::Signal;
use meshguard_testing::{Cut, Fault, FaultHop, Injection, Match};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Attack, CannotRun, Cure, Scenario, Scene, Target, Tries};
use crate::shop::rng::Rng;
use crate::shop::truth::{Lane, Op};

/// Between two cuts on each lane.
const EVERY: Duration = Duration::from_millis(10);
/// A cut waits so long for its exchange.
const CUE: Duration = Duration::from_secs(2);

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "truncating-hop",
        about: "each hop cuts most of the bodies of one kind; nobody may be cut off for it",
        service: "gateway",
        target: Target::Hop,
        signals: &[Signal::Any, Signal::Feature(Feature::Errors)],
        cure: Cure::Told,
        suspects: &[],
        disturbs: &[Lane::Front, Lane::H2, Lane::H1, Lane::Grpc],
        begin,
    }
}

fn begin(scene: &Scene<'_>) -> Result<Attack, CannotRun> {
    let mut attack = Attack::new();
    for (lane, hop) in scene.hops {
        let rng = Rng::new(scene.seed, 0xd_0000 + lane.index() as u64);
        let (tries, stop) = attack.task();
        attack.tasks.spawn(cut(Arc::clone(hop), *lane, rng, tries, stop));
    }
    Ok(attack)
}

async fn cut(
    hop: Arc<FaultHop>,
    lane: Lane,
    mut rng: Rng,
    tries: Arc<Tries>,
    stop: watch::Receiver<bool>,
) {
    let op = if lane == Lane::Grpc { Op::Watch } else { Op::Invoice };
    while !*stop.borrow() {
        sleep(EVERY).await;
        let (applied, missed) = (hop.log().len() + 1, hop.misses().len() + 1);
        let fault = Fault::CutResponse { after: rng.range(40, 160), how: Cut::EndStream };
        hop.inject(Injection { fault, on: Match::path(op.path()) });
        tries.tried();
        let took = async {
            tokio::select! {
                _ = hop.injected(applied) => true,
                _ = hop.missed(missed) => false,
            }
        };
        if timeout(CUE, took).await.unwrap_or_default() {
            tries.got_through();
        }
    }
}
