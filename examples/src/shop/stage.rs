//! Runs each attack in a period of its own, and waits until the loop is done with it.

use std::time::Instant;

use tokio::time::{sleep, timeout};

use super::attacks::{Cure, Scenario, Scene};
use super::journal::{Deed, Journal, Step, in_force};
use super::timing::Timing;
use meshguard_axum::core::control::Effect;

/// What came of one attack, to be judged.
#[derive(Clone, Debug, Default)]
pub(super) struct Played {
    /// Why it was not run at all.
    pub(super) cannot: Option<String>,
    pub(super) began: Option<Instant>,
    pub(super) stopped: Option<Instant>,
    /// The calm after it is over, too.
    pub(super) ended: Option<Instant>,
    pub(super) tried: u64,
    /// When the attacker got through.
    pub(super) through: Vec<Instant>,
    pub(super) steps: Vec<Step>,
    /// Calls that the sick instance got after it was released.
    pub(super) called_again: u64,
}

/// Runs `scenario`, from its beginning to the end of the calm after it.
pub(super) async fn play(
    scenario: &Scenario,
    scene: &Scene<'_>,
    journal: &Journal,
    timing: &Timing,
) -> Played {
    let (from, began) = (journal.len(), Instant::now());
    let attack = match (scenario.begin)(scene) {
        Ok(attack) => attack,
        Err(cannot) => return Played { cannot: Some(cannot.0), ..Played::default() },
    };
    sleep(timing.attack).await;
    let answered = journal.until(from, |steps| is_answered(scenario, steps));
    let left = timing.patience.saturating_sub(began.elapsed());
    // What is not answered by then was missed, and the verdict says so.
    let _ = timeout(left, answered).await;
    let (tried, through) = attack.stop().await;
    let stopped = Instant::now();
    let freed = journal.until(from, |steps| {
        in_force(steps.iter().filter(|step| scenario.concerns(step))).is_empty()
    });
    let _ = timeout(timing.release, freed).await;
    let taken = scene.town.health.taken();
    sleep(timing.calm).await;
    Played {
        cannot: None,
        began: Some(began),
        stopped: Some(stopped),
        ended: Some(Instant::now()),
        tried,
        through,
        steps: journal.steps(from),
        called_again: scene.town.health.taken() - taken,
    }
}

/// Whether the loop has done what it is to do while the attack goes on.
fn is_answered(scenario: &Scenario, steps: &[Step]) -> bool {
    let mut steps = steps.iter().filter(|step| scenario.concerns(step));
    if scenario.cure == Cure::Told {
        return steps.any(|step| matches!(step.deed, Deed::Opened { .. }));
    }
    let mut cures = Vec::new();
    for step in steps {
        match &step.deed {
            Deed::Taken { action, kind, .. } if scenario.cure.is(*kind) => cures.push(*action),
            Deed::Measured { action, effect: Effect::Effective, .. } if cures.contains(action) => {
                return true;
            }
            _ => {}
        }
    }
    false
}
