//! Holding each injection against what the applications saw.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use super::{FaultRow, Run};
use crate::shop::director::Trial;
use crate::shop::run::Course;
use crate::shop::truth::{Anomaly, End, Fooled, Key, Lane, What};

/// An answer whose receipt has not come for so long is noticed: 10 s, and a turn of the loop.
const OVERDUE: Duration = Duration::from_secs(12);

/// All faults, judged.
pub(super) struct Judged {
    pub(super) rows: Vec<FaultRow>,
    pub(super) fooled: usize,
    pub(super) echoes: BTreeMap<String, usize>,
    pub(super) unexplained: Vec<String>,
    pub(super) missing: Vec<String>,
}

/// What one injection led to.
#[derive(Default)]
struct Effect {
    silent: bool,
    signs: Vec<(End, String, Instant)>,
    fooled: BTreeSet<Fooled>,
}

pub(super) fn judge(run: &Run<'_>) -> Judged {
    let (anomalies, trials) = (run.truth.anomalies(0), &run.course.trials);
    let told = told(&anomalies);
    let mut effects: Vec<Effect> = trials.iter().map(|_| Effect::default()).collect();
    let mut alarms = Vec::new();
    for anomaly in &anomalies {
        match to_blame(&run.course, anomaly) {
            Some(at) => effects[at].add(anomaly, &told),
            None if is_of_attack(&run.course, anomaly) => {}
            None => alarms.push(unexplained(anomaly)),
        }
    }
    let mut rows: Vec<FaultRow> = Vec::new();
    for spec in run.specs.iter().filter(|_| run.course.faults.is_some()) {
        if !rows.iter().any(|row| row.fault == spec.name) {
            rows.push(row(spec.name, trials, &effects));
        }
    }
    let injected: HashSet<(&str, Lane)> =
        trials.iter().filter(|t| t.at.is_some()).map(|t| (t.name, t.lane)).collect();
    let run_at_all = run.course.faults.is_some();
    let specs = run.specs.iter().filter(|_| run_at_all);
    let missing = specs.filter(|s| !injected.contains(&(s.name, s.lane)));
    let missing: BTreeSet<String> =
        missing.map(|s| format!("{} ({})", s.name, s.lane.short())).collect();
    let fooled = anomalies.iter().filter(|a| matches!(a.what, What::Fooled(_))).count();
    let missing = missing.into_iter().collect();
    Judged { rows, fooled, echoes: echoes(&anomalies), unexplained: alarms, missing }
}

/// The calls of which either end had an error.
fn told(anomalies: &[Anomaly]) -> HashSet<&Key> {
    let errors = anomalies.iter().filter(|a| matches!(a.what, What::Error(..)));
    errors.filter_map(|a| a.key.as_ref()).collect()
}

/// The injection that was the last on its lane when this showed.
fn to_blame(course: &Course, anomaly: &Anomaly) -> Option<usize> {
    if anomaly.at < course.faults? {
        return None;
    }
    let before = |t: &Trial| t.lane == anomaly.lane && t.armed <= anomaly.at;
    let earlier = course.trials.iter().enumerate().filter(|(_, t)| before(t));
    earlier.max_by_key(|(_, t)| t.armed).map(|(at, _)| at)
}

/// Whether this showed while an attack was run that disturbs such calls, or in the calm after
/// it. That an application was fooled, no attack explains.
fn is_of_attack(course: &Course, anomaly: &Anomaly) -> bool {
    if matches!(anomaly.what, What::Fooled(_)) {
        return false;
    }
    course.played.iter().any(|(scenario, played)| {
        let (Some(from), Some(until)) = (played.began, played.ended) else { return false };
        let lanes: [&[Lane]; 2] = [scenario.suspects, scenario.disturbs];
        let expected = lanes.iter().any(|lanes| lanes.contains(&anomaly.lane));
        let late = matches!(&anomaly.what, What::Finding(_, name) if is_echo(name));
        let until = if late { until + OVERDUE } else { until };
        expected && from <= anomaly.at && anomaly.at < until
    })
}

/// What the books notice afterwards: a consequence, which would not name its fault.
fn is_echo(finding: &str) -> bool {
    ["answer-not-received", "divergence", "receipt-overdue", "unconfirmed", "void-seen"]
        .contains(&finding)
}

fn echoes(anomalies: &[Anomaly]) -> BTreeMap<String, usize> {
    let mut echoes = BTreeMap::new();
    for anomaly in anomalies {
        if let What::Finding(_, name) = &anomaly.what
            && is_echo(name)
        {
            *echoes.entry(name.clone()).or_default() += 1;
        }
    }
    echoes
}

/// What showed while no fault was to blame: somebody fooled, or a false alarm.
fn unexplained(anomaly: &Anomaly) -> String {
    let what = match &anomaly.what {
        What::Fooled(fooled) => fooled.text(),
        What::Error(_, sign) => &sign.name,
        What::Finding(_, name) => name,
    };
    let call = anomaly.key.as_ref().map(ToString::to_string);
    format!("{what}: {}", call.unwrap_or_else(|| anomaly.lane.edge().to_owned()))
}

impl Effect {
    fn add(&mut self, anomaly: &Anomaly, told: &HashSet<&Key>) {
        match &anomaly.what {
            What::Fooled(fooled) => {
                self.fooled.insert(*fooled);
                let known = anomaly.key.as_ref().is_some_and(|key| told.contains(key));
                // What an end is told of the outcome is itself the error that is untrue.
                if !known || *fooled == Fooled::Outcome {
                    self.silent = true;
                }
            }
            What::Finding(_, name) if is_echo(name) => {}
            What::Error(end, sign) => self.signs.push((*end, sign.name.clone(), anomaly.at)),
            What::Finding(end, name) => self.signs.push((*end, name.clone(), anomaly.at)),
        }
    }
}

fn row(name: &'static str, trials: &[Trial], effects: &[Effect]) -> FaultRow {
    let mine = trials.iter().zip(effects).filter(|(t, _)| t.name == name);
    let mine: Vec<_> = mine.filter_map(|(t, e)| t.at.map(|at| (t, e, at))).collect();
    let lanes: BTreeSet<Lane> = mine.iter().map(|(t, ..)| t.lane).collect();
    let count = |of: fn(&Effect) -> bool| mine.iter().filter(|(_, e, _)| of(e)).count();
    let mut delays: Vec<Duration> = mine.iter().filter_map(|(_, e, at)| e.delay(*at)).collect();
    delays.sort_unstable();
    let ms = |d: &Duration| d.as_secs_f64() * 1000.0;
    let fooled: BTreeSet<Fooled> = mine.iter().flat_map(|(_, e, _)| e.fooled.clone()).collect();
    FaultRow {
        fault: name,
        lanes: lanes.into_iter().map(Lane::short).collect(),
        injected: mine.len(),
        seen: count(|e| !e.silent && !e.signs.is_empty()),
        silent: count(|e| e.silent),
        unnamed: count(|e| !e.silent && e.signs.is_empty()),
        caller: names(End::Caller, mine.iter().map(|(_, e, _)| *e)),
        callee: names(End::Callee, mine.iter().map(|(_, e, _)| *e)),
        fooled: fooled.into_iter().map(Fooled::text).collect(),
        first_sign_ms: delays.get(delays.len() / 2).map(ms),
        last_sign_ms: delays.last().map(ms),
    }
}

impl Effect {
    /// From the effect to the first sign; a sign may precede what the hop had still to do.
    fn delay(&self, at: Instant) -> Option<Duration> {
        self.signs.iter().map(|(.., sign)| sign.saturating_duration_since(at)).min()
    }
}

/// The most frequent first; each counts once for an injection.
fn names<'a>(end: End, effects: impl Iterator<Item = &'a Effect>) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for effect in effects {
        let signs = effect.signs.iter().filter(|(e, ..)| *e == end);
        let names: BTreeSet<&str> = signs.map(|(_, name, _)| name.as_str()).collect();
        names.into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
    }
    let mut names: Vec<_> = counts.into_iter().collect();
    names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    names.into_iter().map(|(name, _)| name.to_owned()).collect()
}
