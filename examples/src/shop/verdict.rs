//! Judges how the loop answered an attack: seen, named, cured, undone in the end, and nobody
//! honest hit.

mod actions;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshguard_axum::core::control::Effect;
use serde::Serialize;

pub use actions::ActionRow;

use super::attacks::{Cure, Scenario, Target};
use super::journal::{Deed, Kind, Step, in_force};
use super::stage::Played;
use super::truth::{Anomaly, Lane, TurnedAway, What};

/// What was under way when an edge was cut off is over after so long.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// What became of one attack.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ScenarioRow {
    /// Its name.
    pub scenario: &'static str,
    /// What is done.
    pub about: &'static str,
    /// Why it was not run, if it was not.
    pub not_run: Option<String>,
    /// Seconds from the run's beginning to its own.
    pub began_s: f64,
    /// How long it went on, in seconds.
    pub lasted_s: f64,
    /// Whose loop saw it.
    pub service: String,
    /// On which edge.
    pub edge: String,
    /// The reflex that it set off.
    pub reflex: String,
    /// By which signal.
    pub signal: String,
    /// How rare that was, in bits.
    pub bits: f32,
    /// The cause, in words.
    pub words: String,
    /// Milliseconds from its beginning to the incident.
    pub verdict_ms: Option<f64>,
    /// The same, in windows of a busy edge.
    pub verdict_windows: Option<f64>,
    /// What the loop did about it.
    pub actions: Vec<ActionRow>,
    /// What the attacker tried.
    pub tried: u64,
    /// How often it got through.
    pub through: usize,
    /// How often it got through although it was cut off.
    pub through_when_cut: usize,
    /// Orders that were not served, for a sick instance; and so many of them after it was cut off.
    pub unserved: Option<(usize, usize)>,
    /// Calls to the sick instance after its quarantine, where there is one.
    pub called_again: Option<u64>,
    /// Calls of the attacker's own identity that were turned away.
    pub suspects_hit: usize,
    /// Calls of anybody else that were turned away or failed.
    pub honest_hit: usize,
    /// Incidents on other edges, told and no more: how many, by edge and signal.
    pub others: BTreeMap<String, usize>,
    /// Why it has not passed.
    pub problems: Vec<String>,
}

/// What all verdicts of one run have in common.
pub(super) struct Evidence<'a> {
    pub(super) began: Instant,
    /// Whether an attack that cannot be run here fails the run.
    pub(super) strict: bool,
    /// How long windows of busy edges are.
    pub(super) window: Duration,
    pub(super) turned_away: &'a [TurnedAway],
    pub(super) anomalies: &'a [Anomaly],
}

/// Judges one attack.
pub(super) fn judge(scenario: &Scenario, played: &Played, evidence: &Evidence<'_>) -> ScenarioRow {
    let mut row = ScenarioRow {
        scenario: scenario.name,
        about: scenario.about,
        not_run: played.cannot.clone(),
        ..ScenarioRow::default()
    };
    let (Some(began), Some(stopped), Some(ended)) = (played.began, played.stopped, played.ended)
    else {
        let cannot = played.cannot.iter().filter(|_| evidence.strict);
        row.problems.extend(cannot.map(|why| format!("not run: {why}")));
        return row;
    };
    row.began_s = (began - evidence.began).as_secs_f64();
    row.lasted_s = (stopped - began).as_secs_f64();
    (row.tried, row.through) = (played.tried, played.through.len());
    row.find(scenario, played, began, evidence.window);
    row.actions = actions::of(scenario, &played.steps, began);
    row.others = others(scenario, &played.steps);
    row.through_when_cut = row.leaks(&played.through);
    let within = |at: Instant| began <= at && at < ended;
    row.count_calls(scenario, evidence, &within);
    if matches!(scenario.target, Target::Instance(_)) {
        row.called_again = Some(played.called_again);
        row.unserved = Some(row.count_unserved(evidence, &within));
    }
    row.hold_against(scenario, played);
    row
}

impl ScenarioRow {
    /// Whether the loop did all that it was to do, and nothing else.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }

    /// The first incident on the right edge, by the right signal.
    fn find(&mut self, scenario: &Scenario, played: &Played, began: Instant, window: Duration) {
        let found =
            played.steps.iter().filter(|step| scenario.concerns(step)).find_map(|step| match &step
                .deed
            {
                Deed::Opened { reflex, signal, bits, words, .. }
                    if scenario.signals.contains(signal) =>
                {
                    Some((step, reflex, signal, bits, words))
                }
                _ => None,
            });
        let Some((step, reflex, signal, bits, words)) = found else { return };
        let delay = (step.at - began).as_secs_f64();
        (self.service, self.edge) = (step.service.to_owned(), step.edge.to_string());
        (self.reflex, self.signal) = (reflex.clone(), signal.to_string());
        (self.bits, self.words) = (*bits, words.clone());
        self.verdict_ms = Some(delay * 1000.0);
        self.verdict_windows = Some(delay / window.as_secs_f64());
    }

    /// How often the attacker got through between a quarantine and its end.
    fn leaks(&self, through: &[Instant]) -> usize {
        let cut = |action: &&ActionRow| action.kind == Kind::Quarantine && action.refused.is_none();
        let leak = |at: &&Instant| {
            self.actions.iter().filter(cut).any(|action| {
                let held = action.ended.as_ref().map_or(Duration::MAX, |(_, ms)| millis(*ms));
                let until = action.at.checked_add(held);
                **at > action.at + UNDER_WAY && until.is_none_or(|until| **at < until)
            })
        };
        through.iter().filter(leak).count()
    }

    /// Shoppers that were not served, and those of them after the instance was cut off.
    fn count_unserved(
        &self,
        evidence: &Evidence<'_>,
        within: &dyn Fn(Instant) -> bool,
    ) -> (usize, usize) {
        let unserved = evidence.turned_away.iter().filter(|call| {
            call.lane == Lane::Front && call.status.is_server_error() && within(call.at)
        });
        let unserved: Vec<Instant> = unserved.map(|call| call.at).collect();
        (unserved.len(), self.leaks(&unserved))
    }

    fn count_calls(
        &mut self,
        scenario: &Scenario,
        evidence: &Evidence<'_>,
        within: &dyn Fn(Instant) -> bool,
    ) {
        for call in evidence.turned_away.iter().filter(|call| within(call.at)) {
            if scenario.suspects.contains(&call.lane) {
                self.suspects_hit += 1;
            } else if !(call.status.is_server_error() && scenario.disturbs.contains(&call.lane)) {
                self.honest_hit += 1;
            }
        }
        for anomaly in evidence.anomalies.iter().filter(|anomaly| within(anomaly.at)) {
            let lanes: [&[Lane]; 2] = [scenario.suspects, scenario.disturbs];
            let expected = lanes.iter().any(|lanes| lanes.contains(&anomaly.lane));
            if matches!(anomaly.what, What::Error(..)) && !expected {
                self.honest_hit += 1;
            }
        }
    }

    /// Writes down what is wrong.
    fn hold_against(&mut self, scenario: &Scenario, played: &Played) {
        if self.verdict_ms.is_none() {
            let signals: Vec<&str> = scenario.signals.iter().map(|s| s.as_str()).collect();
            self.problems.push(format!("missed: no incident by {}", signals.join(" or ")));
        }
        match scenario.cure {
            Cure::Quarantine | Cure::Restricted => self.hold_against_cure(scenario.cure),
            Cure::Told => {
                let restricted =
                    self.actions.iter().any(|a| a.kind.restricts() && a.refused.is_none());
                self.problems.extend(restricted.then(|| "a hop was restricted".to_owned()));
            }
        }
        for step in played.steps.iter().filter(|step| !scenario.concerns(step)) {
            if let Deed::Taken { kind, words, .. } = &step.deed
                && kind.restricts()
            {
                let (service, edge) = (step.service, &step.edge);
                self.problems.push(format!("{service}: {words} of {edge}, who is honest"));
            }
        }
        if !in_force(played.steps.iter()).is_empty() {
            self.problems.push("a restriction did not end".to_owned());
        }
        if self.honest_hit > 0 {
            self.problems.push(format!("{} honest calls were hit", self.honest_hit));
        }
        if let Some((_, when_cut @ 1..)) = self.unserved {
            self.problems
                .push(format!("{when_cut} orders failed although the instance was cut off"));
        }
        if self.called_again == Some(0) {
            self.problems.push("the instance has recovered and is not called again".to_owned());
        }
    }

    fn hold_against_cure(&mut self, cure: Cure) {
        let cut = |action: &&ActionRow| cure.is(action.kind) && action.refused.is_none();
        let cuts: Vec<&ActionRow> = self.actions.iter().filter(cut).collect();
        let effective = Effect::Effective.as_str();
        if cuts.is_empty() {
            self.problems.push("missed: never cut off".to_owned());
        } else if !cuts
            .iter()
            .any(|cut| cut.effect.as_deref().is_some_and(|e| e.starts_with(effective)))
        {
            self.problems.push("cut off, and no effect was measured".to_owned());
        }
        if self.through_when_cut > 0 {
            self.problems.push(format!("got through {} times when cut off", self.through_when_cut));
        }
    }
}

/// Incidents that are not about the attacker.
fn others(scenario: &Scenario, steps: &[Step]) -> BTreeMap<String, usize> {
    let mut others = BTreeMap::new();
    for step in steps.iter().filter(|step| !scenario.concerns(step)) {
        if let Deed::Opened { signal, .. } = &step.deed {
            let what = format!("{}: {} by {signal}", step.service, step.edge);
            *others.entry(what).or_default() += 1;
        }
    }
    others
}

fn millis(ms: f64) -> Duration {
    Duration::from_secs_f64((ms / 1000.0).max(0.0))
}

#[cfg(test)]
mod tests;
