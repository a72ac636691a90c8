//! One of two instances of payments fails, slowly.

use std::sync::Arc;

use meshguard_axum::core::baseline::Feature;
use meshguard_axum::core::reflex::Signal;

use super::{Attack, CannotRun, Cure, Scenario, Scene, Target};
use crate::shop::ids::PAYMENTS;
use crate::shop::truth::Lane;

pub(super) const NAME: &str = "sick-instance";

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: NAME,
        about: "one of two instances of payments fails every call, and slowly",
        service: "orders",
        target: Target::Instance(PAYMENTS),
        signals: &[Signal::Feature(Feature::Errors)],
        cure: Cure::Quarantine,
        suspects: &[],
        // Whoever orders is told that it was not paid.
        disturbs: &[Lane::Front, Lane::H2, Lane::H1, Lane::Grpc, Lane::Batch],
        begin,
    }
}

fn begin(scene: &Scene<'_>) -> Result<Attack, CannotRun> {
    let health = Arc::clone(&scene.town.health);
    health.set_sick(true);
    let mut attack = Attack::new();
    attack.after = Some(Box::new(move || health.set_sick(false)));
    Ok(attack)
}
