//! What the loop did about an attack, action by action.

use std::collections::HashMap;
use std::time::Instant;

use serde::Serialize;

use crate::shop::attacks::Scenario;
use crate::shop::journal::{Deed, Kind, Step};

/// One action, and what came of it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ActionRow {
    /// Milliseconds from the attack's beginning.
    pub at_ms: f64,
    /// By which reflex.
    pub reflex: String,
    /// What was done.
    pub action: String,
    /// Why the governor refused it, if it did.
    pub refused: Option<String>,
    /// What was measured of it.
    pub effect: Option<String>,
    /// How it ended, and milliseconds from its beginning to that.
    pub ended: Option<(String, f64)>,
    #[serde(skip)]
    pub(super) id: (&'static str, u64),
    #[serde(skip)]
    incident: (&'static str, u64),
    #[serde(skip)]
    pub(super) kind: Kind,
    #[serde(skip)]
    pub(super) at: Instant,
}

/// The actions on the attacker's edge, in their order.
pub(super) fn of(scenario: &Scenario, steps: &[Step], began: Instant) -> Vec<ActionRow> {
    let (mut rows, mut reflexes) = (Vec::<ActionRow>::new(), HashMap::new());
    let ms = |since: Instant, at: Instant| (at - since).as_secs_f64() * 1000.0;
    for step in steps.iter().filter(|step| scenario.concerns(step)) {
        let own = |action: u64| (step.service, action);
        let begun = |id, incident, kind, action: &str, refused| ActionRow {
            at_ms: ms(began, step.at),
            reflex: String::new(),
            action: action.to_owned(),
            refused,
            effect: None,
            ended: None,
            id: own(id),
            incident: own(incident),
            kind,
            at: step.at,
        };
        match &step.deed {
            Deed::Opened { incident, reflex, .. } => {
                reflexes.insert(own(*incident), reflex);
            }
            Deed::Taken { action, incident, kind, words } => {
                rows.push(begun(*action, *incident, *kind, words, None));
            }
            Deed::Refused { action, incident, kind, words, why } => {
                rows.push(begun(*action, *incident, *kind, words, Some(why.clone())));
            }
            Deed::Measured { action, effect, before, after } => {
                if let Some(row) = rows.iter_mut().find(|row| row.id == own(*action)) {
                    row.effect = Some(format!("{effect}: {before}, then {after}"));
                }
            }
            Deed::Ended { action, how } => {
                if let Some(row) = rows.iter_mut().find(|row| row.id == own(*action)) {
                    row.ended = Some((how.clone(), ms(row.at, step.at)));
                }
            }
            Deed::Over(_) => {}
        }
    }
    for row in &mut rows {
        row.reflex = reflexes.get(&row.incident).map_or(String::new(), |r| (*r).clone());
    }
    rows
}
