//! Cues the hop of one lane: one fault after the other, each in its turn and all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use meshguard_testing::{FaultHop, Injection, Match};
use tokio::time::{sleep, timeout};

use super::faults::Spec;
use super::rng::Rng;
use super::truth::{Lane, Truth};

/// A fault waits so long for its exchange.
const CUE: Duration = Duration::from_secs(10);
/// A fault is given so long to show, once its exchange is over.
const TELL: Duration = Duration::from_millis(400);
/// A lane is quiet when it showed nothing for so long.
const QUIET: Duration = Duration::from_millis(40);
/// A lane that is not quiet is given so many times [`QUIET`].
const ECHOES: usize = 25;
/// A fault that found nothing to act on is tried again so often.
const TRIES: usize = 3;

/// One injection.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) name: &'static str,
    pub(super) lane: Lane,
    /// When the hop was told; what shows from then on is its doing.
    pub(super) armed: Instant,
    /// When it took effect; `None` where it found nothing to act on.
    pub(super) at: Option<Instant>,
}

/// Runs the faults of one lane in rounds, each round in another order, until `until` is past
/// and one round is through.
pub(super) async fn direct(
    hop: &FaultHop,
    lane: Lane,
    specs: &[Spec],
    truth: &Arc<Truth>,
    mut rng: Rng,
    until: Instant,
) -> Vec<Trial> {
    let mut order: Vec<&Spec> = specs.iter().filter(|spec| spec.lane == lane).collect();
    let mut trials = Vec::new();
    let mut first = true;
    while first || Instant::now() < until {
        rng.shuffle(&mut order);
        for spec in &order {
            if !first && Instant::now() >= until {
                break;
            }
            sleep(Duration::from_micros(rng.range(1_000, 20_000))).await;
            for _ in 0..TRIES {
                let trial = inject(hop, spec, truth, &mut rng).await;
                let took = trial.at.is_some();
                trials.push(trial);
                if took {
                    break;
                }
            }
        }
        first = false;
    }
    trials
}

/// Injects one fault, and waits until every call that it may have met is over.
async fn inject(hop: &FaultHop, spec: &Spec, truth: &Arc<Truth>, rng: &mut Rng) -> Trial {
    let (applied, missed) = (hop.log().len() + spec.exchanges, hop.misses().len() + 1);
    let fault = (spec.fault)(rng);
    let armed = Instant::now();
    hop.inject(Injection { fault, on: Match::path(spec.op.path()) });
    let took = async {
        tokio::select! {
            biased;
            log = hop.injected(applied) => log.last().map(|i| i.at),
            _ = hop.missed(missed) => None,
        }
    };
    let at = timeout(CUE, took).await.unwrap_or_default();
    truth.settled(spec.lane).await;
    // What was never told within that time is silent, and the report will say so.
    let _ = timeout(TELL, truth.anomaly(spec.lane, armed)).await;
    // What the books notice later belongs to this fault, and not to the next.
    for _ in 0..ECHOES {
        let quiet = truth.anomaly(spec.lane, Instant::now());
        if timeout(QUIET, quiet).await.is_err() {
            break;
        }
    }
    Trial { name: spec.name, lane: spec.lane, armed, at }
}
