//! An intern, who may read invoices, tries everything else.

use std::sync::Arc;
use std::time::Duration;

use meshguard_axum::core::baseline::Feature;
use meshguard_axum::core::reflex::Signal;
use tokio::sync::watch;
use tokio::time::interval;

use super::{Attack, CannotRun, Cure, Scenario, Scene, Target, Tries};
use crate::shop::calls::{Ask, Caller};
use crate::shop::ids::INTERN;
use crate::shop::truth::{Lane, Op};

const EVERY: Duration = Duration::from_millis(25);
/// What no rule gives an intern.
const TRIED: [Op; 3] = [Op::Order, Op::Lines, Op::Events];

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "outside-intent",
        about: "an intern who may read invoices tries 40 other calls a second",
        service: "orders",
        target: Target::Caller(INTERN),
        signals: &[Signal::Feature(Feature::Refusals)],
        cure: Cure::Quarantine,
        suspects: &[Lane::Intern],
        disturbs: &[Lane::Intern],
        begin,
    }
}

fn begin(scene: &Scene<'_>) -> Result<Attack, CannotRun> {
    let mut attack = Attack::new();
    let (tries, stop) = attack.task();
    attack.tasks.spawn(pry(scene.town.intern.caller(scene.truth), tries, stop));
    Ok(attack)
}

async fn pry(caller: Caller, tries: Arc<Tries>, stop: watch::Receiver<bool>) {
    let mut ticks = interval(EVERY);
    for (number, op) in TRIED.into_iter().cycle().enumerate() {
        ticks.tick().await;
        if *stop.borrow() {
            return;
        }
        tries.tried();
        let order = format!("intern-pries-{number:06}");
        let ask = Ask { op, order, if_match: None, range: None, body: Vec::new() };
        if caller.call(ask).await.is_ok_and(|reply| reply.status.is_success()) {
            tries.got_through();
        }
    }
}
