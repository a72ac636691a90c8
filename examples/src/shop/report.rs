//! What the run comes to: per edge, per fault, and in all.

mod judge;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use meshguard_axum::core::delivery::Counts;
use serde::Serialize;

use super::args::{Args, Mode};
use super::director::Trial;
use super::faults::Spec;
use super::truth::{Lane, Truth};

/// What a report is made of.
pub(super) struct Run<'a> {
    pub(super) args: &'a Args,
    pub(super) took: Duration,
    pub(super) specs: &'a [Spec],
    pub(super) trials: &'a [Trial],
    pub(super) truth: &'a Truth,
    pub(super) books: Vec<Books>,
}

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Whether this was the stock stack.
    pub stock: bool,
    /// The seed.
    pub seed: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Per edge.
    pub edges: Vec<LaneRow>,
    /// Per fault.
    pub faults: Vec<FaultRow>,
    /// Per caller; none on the stock stack.
    pub books: Vec<Books>,
    /// Faults that took effect.
    pub injected: usize,
    /// Those that somebody noticed.
    pub seen: usize,
    /// Those that fooled an application without an error at either end of the call.
    pub silent: usize,
    /// Those that fooled nobody and that nobody named.
    pub unnamed: usize,
    /// What showed while no fault was to blame: somebody fooled, or a false alarm.
    pub unexplained: Vec<String>,
    /// Times that an application was fooled, though the other end may have had an error.
    pub fooled: usize,
    /// What callees' books noticed afterwards, and how often; no fault counts as seen by it.
    pub echoes: BTreeMap<String, usize>,
    /// Faults, and their lanes, that never took effect.
    pub missing: Vec<String>,
}

/// One edge.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LaneRow {
    /// Caller, callee, protocol.
    pub edge: &'static str,
    /// Calls sent.
    pub calls: u64,
    /// The same, a second.
    pub calls_per_second: f64,
    /// Milliseconds from sending a request to having its whole answer: the median.
    pub p50_ms: f64,
    /// The same: 99 of 100 are no slower.
    pub p99_ms: f64,
    /// Of the requests that callees took for whole, the part that was verified, in percent.
    pub verified_percent: f64,
    /// Calls that ended in an error at the caller.
    pub failed: u64,
}

/// One kind of fault.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FaultRow {
    /// What the hop did.
    pub fault: &'static str,
    /// On which lanes.
    pub lanes: Vec<&'static str>,
    /// How often it took effect.
    pub injected: usize,
    /// How often an application had an error, or the mesh a finding.
    pub seen: usize,
    /// How often an application was fooled and neither end of the call had an error.
    pub silent: usize,
    /// How often nobody was fooled, and nobody noticed.
    pub unnamed: usize,
    /// What the caller's side called it, the most frequent first.
    pub caller: Vec<String>,
    /// What the callee's side called it, the most frequent first.
    pub callee: Vec<String>,
    /// How applications were fooled, though the other end may have had an error.
    pub fooled: Vec<&'static str>,
    /// Milliseconds from taking effect to the first sign: the median.
    pub first_sign_ms: Option<f64>,
    /// The same: the longest.
    pub last_sign_ms: Option<f64>,
}

/// The calls of one caller, and how they ended.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Books {
    /// Whose.
    pub caller: &'static str,
    /// Calls that the application made, by its own count.
    pub made: u64,
    /// Exchanges that the mesh began.
    pub begun: u64,
    /// All of the request was confirmed.
    pub delivered: u64,
    /// The callee stopped early and said so.
    pub rejected: u64,
    /// The callee proved that it got something else.
    pub failed: u64,
    /// Nothing reached the callee's application.
    pub not_delivered: u64,
    /// Nobody can say.
    pub indeterminate: u64,
    /// Not ended.
    pub open: u64,
    /// Whether all this adds up, and agrees with the application's count.
    pub balances: bool,
}

impl Books {
    pub(super) fn new(caller: &'static str, made: u64, counts: &Counts) -> Self {
        Self {
            caller,
            made,
            begun: counts.begun,
            delivered: counts.delivered,
            rejected: counts.rejected,
            failed: counts.failed,
            not_delivered: counts.not_delivered,
            indeterminate: counts.indeterminate,
            open: counts.open,
            balances: counts.balances() && counts.open == 0 && counts.begun == made,
        }
    }
}

impl Report {
    pub(super) fn new(run: &Run<'_>) -> Self {
        let seconds = run.took.as_secs_f64();
        let edges = Lane::ALL.into_iter().map(|lane| edge(run.truth, lane, seconds)).collect();
        let judged = judge::judge(run);
        let sum = |of: fn(&FaultRow) -> usize| judged.rows.iter().map(of).sum();
        Self {
            stock: run.args.mode == Mode::Stock,
            seed: run.args.seed,
            seconds,
            edges,
            books: run.books.clone(),
            injected: sum(|r| r.injected),
            seen: sum(|r| r.seen),
            silent: sum(|r| r.silent),
            unnamed: sum(|r| r.unnamed),
            fooled: judged.fooled,
            echoes: judged.echoes,
            unexplained: judged.unexplained,
            missing: judged.missing,
            faults: judged.rows,
        }
    }

    /// Whether the exit status is 0. The stock stack is only shown.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.stock || self.problems().is_empty()
    }

    /// The report as one JSON document.
    #[must_use]
    pub fn json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["passed"] = self.passed().into();
        format!("{value:#}")
    }

    /// Why the run has not passed.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.silent > 0 {
            problems.push(format!("{} faults were silent", self.silent));
        }
        if self.fooled > 0 {
            problems.push(format!("an application was fooled {} times", self.fooled));
        }
        if self.unnamed > 0 {
            problems.push(format!("{} faults were not named by anybody", self.unnamed));
        }
        problems.extend(self.unexplained.iter().map(|what| format!("without a fault: {what}")));
        problems.extend(self.missing.iter().map(|what| format!("never injected: {what}")));
        let off = self.books.iter().filter(|b| !b.balances);
        problems.extend(off.map(|b| format!("the books of {} do not add up", b.caller)));
        problems
    }
}

fn edge(truth: &Truth, lane: Lane, seconds: f64) -> LaneRow {
    let mut tally = truth.tally(lane);
    let ms = |micros: u32| f64::from(micros) / 1000.0;
    LaneRow {
        edge: lane.edge(),
        calls: tally.sent,
        calls_per_second: tally.sent as f64 / seconds,
        p50_ms: ms(percentile(&mut tally.latencies, 50)),
        p99_ms: ms(percentile(&mut tally.latencies, 99)),
        verified_percent: 100.0 * tally.verified as f64 / tally.received.max(1) as f64,
        failed: tally.failed,
    }
}

/// 0 where there is nothing.
pub(super) fn percentile(numbers: &mut [u32], percent: usize) -> u32 {
    numbers.sort_unstable();
    let at = (numbers.len() * percent / 100).min(numbers.len().saturating_sub(1));
    numbers.get(at).copied().unwrap_or(0)
}
