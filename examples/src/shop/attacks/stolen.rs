//! Somebody has batch's credential, and uses it from a process of their own.

use std::sync::Arc;

use meshguard_axum::core::baseline::Feature;
use meshguard_axum::core::reflex::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::{Attack, CannotRun, Cure, Scenario, Scene, Target, Tries};
use crate::shop::calls::Caller;
use crate::shop::ids::BATCH;
use crate::shop::town::{STOLEN, batch_order};
use crate::shop::truth::Lane;

/// Calls of the thief under way at a time.
const AT_ONCE: usize = 32;

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "stolen-credential",
        about: "batch's identity in another process: five times the calls, ten times the bytes",
        service: "orders",
        target: Target::Caller(BATCH),
        signals: &[Signal::Feature(Feature::RequestBytes)],
        cure: Cure::Quarantine,
        suspects: &[Lane::Batch],
        // What batch orders is paid for.
        disturbs: &[Lane::Batch, Lane::Grpc],
        begin,
    }
}

fn begin(scene: &Scene<'_>) -> Result<Attack, CannotRun> {
    let mut attack = Attack::new();
    let (tries, stop) = attack.task();
    attack.tasks.spawn(steal(scene.town.thief.caller(scene.truth), tries, stop));
    Ok(attack)
}

async fn steal(caller: Caller, tries: Arc<Tries>, stop: watch::Receiver<bool>) {
    let (every, letters) = STOLEN;
    let mut ticks = interval(every);
    let mut calls = JoinSet::new();
    for number in 0_u64.. {
        ticks.tick().await;
        if *stop.borrow() {
            break;
        }
        while calls.len() >= AT_ONCE {
            calls.join_next().await;
        }
        let (caller, tries) = (caller.clone(), Arc::clone(&tries));
        calls.spawn(async move {
            tries.tried();
            let ask = batch_order(&format!("batch-thief-{number:06}"), letters);
            if caller.call(ask).await.is_ok_and(|reply| reply.status.is_success()) {
                tries.got_through();
            }
        });
    }
    while calls.join_next().await.is_some() {}
}
