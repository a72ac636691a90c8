//! What the run comes to: per edge, per fault, and in all.

mod judge;
mod loops;
mod text;
mod totals;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::args::{Args, Mode};
use super::books::{Books, CalleeBooks};
use super::edges::EdgeRow;
use super::faults::Spec;
use super::journal::{Deed, Step, StepRow};
use super::ledgers::LedgerRow;
use super::member::{BUSY, CALLS, QUIET, WARM_UP};
use super::run::Course;
use super::truth::{Lane, Truth};
use super::verdict::{self, Evidence, ScenarioRow};

/// What a report is made of.
pub(super) struct Run<'a> {
    pub(super) args: &'a Args,
    pub(super) began: Instant,
    pub(super) took: Duration,
    pub(super) specs: &'a [Spec],
    pub(super) course: Course,
    pub(super) truth: &'a Truth,
    pub(super) steps: Vec<Step>,
    pub(super) kept: Kept,
}

/// What is kept of the services when they have closed.
pub(super) struct Kept {
    pub(super) books: Vec<Books>,
    pub(super) callees: Vec<CalleeBooks>,
    pub(super) ledgers: Vec<LedgerRow>,
    pub(super) edges: Vec<EdgeRow>,
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
    /// Per attack; none on the stock stack.
    pub scenarios: Vec<ScenarioRow>,
    /// Per caller; none on the stock stack.
    pub books: Vec<Books>,
    /// Per service that is called; none on the stock stack.
    pub callees: Vec<CalleeBooks>,
    /// Per service that keeps one; none on the stock stack.
    pub ledgers: Vec<LedgerRow>,
    /// The edges as the loops saw them last; none on the stock stack.
    pub measured: Vec<EdgeRow>,
    /// Every step of every loop; none on the stock stack.
    pub steps: Vec<StepRow>,
    /// How the loops of this run measure.
    pub windows: Windows,
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
    /// Calls that were refused while nobody attacked.
    pub refused_in_calm: usize,
    /// What the loops restricted while nobody attacked, the hops' faults included.
    pub restricted_in_calm: Vec<String>,
    /// Times that an application was fooled, though the other end may have had an error.
    pub fooled: usize,
    /// What callees' books noticed afterwards, and how often; no fault counts as seen by it.
    pub echoes: BTreeMap<String, usize>,
    /// Faults, and their lanes, that never took effect.
    pub missing: Vec<String>,
}

/// How the loops of this run measure. In a service nothing is as short.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Windows {
    /// The shortest window, in milliseconds.
    pub busy_ms: u128,
    /// The longest, in milliseconds.
    pub quiet_ms: u128,
    /// So many calls make a window before it is the longest.
    pub calls: u64,
    /// So many windows are learnt before an edge is scored.
    pub warm_up: u32,
}

impl Default for Windows {
    fn default() -> Self {
        let (busy_ms, quiet_ms) = (BUSY.as_millis(), QUIET.as_millis());
        Self { busy_ms, quiet_ms, calls: CALLS, warm_up: WARM_UP }
    }
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

impl Report {
    pub(super) fn new(run: Run<'_>) -> Self {
        let seconds = run.took.as_secs_f64();
        let edges = Lane::ALL.into_iter().map(|lane| edge(run.truth, lane, seconds));
        let edges = edges.filter(|row| row.calls > 0).collect();
        let judged = judge::judge(&run);
        let scenarios = scenarios(&run);
        let (refused_in_calm, restricted_in_calm) =
            (refused_in_calm(&run), restricted_in_calm(&run));
        let sum = |of: fn(&FaultRow) -> usize| judged.rows.iter().map(of).sum();
        Self {
            stock: run.args.mode == Mode::Stock,
            seed: run.args.seed,
            seconds,
            edges,
            scenarios,
            books: run.kept.books,
            callees: run.kept.callees,
            ledgers: run.kept.ledgers,
            measured: run.kept.edges,
            steps: run.steps.iter().map(|step| step.row(run.began)).collect(),
            windows: Windows::default(),
            injected: sum(|r| r.injected),
            seen: sum(|r| r.seen),
            silent: sum(|r| r.silent),
            unnamed: sum(|r| r.unnamed),
            refused_in_calm,
            restricted_in_calm,
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
        if self.refused_in_calm > 0 {
            problems.push(format!("{} calls were refused in calm", self.refused_in_calm));
        }
        let restricted = self.restricted_in_calm.iter();
        problems.extend(restricted.map(|what| format!("without an attack: {what}")));
        problems.extend(self.unexplained.iter().map(|what| format!("without a fault: {what}")));
        problems.extend(self.missing.iter().map(|what| format!("never injected: {what}")));
        for row in &self.scenarios {
            let named = |problem: &String| format!("{}: {problem}", row.scenario);
            problems.extend(row.problems.iter().map(named));
        }
        let off = self.books.iter().filter(|b| !b.balances);
        problems.extend(off.map(|b| format!("the books of {} do not add up", b.caller)));
        let off = self.callees.iter().filter(|b| !b.balances);
        problems.extend(off.map(|b| format!("the books of {} do not add up", b.callee)));
        for row in &self.ledgers {
            let problem = row.problem.iter();
            problems.extend(problem.map(|what| format!("the ledger of {}: {what}", row.service)));
        }
        problems
    }
}

fn scenarios(run: &Run<'_>) -> Vec<ScenarioRow> {
    let (turned_away, anomalies) = (run.truth.all_turned_away(), run.truth.anomalies(0));
    let (turned_away, anomalies) = (&turned_away[..], &anomalies[..]);
    let strict = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    let evidence = Evidence { began: run.began, strict, window: BUSY, turned_away, anomalies };
    let judge = |(scenario, played): &_| verdict::judge(scenario, played, &evidence);
    run.course.played.iter().map(judge).collect()
}

fn refused_in_calm(run: &Run<'_>) -> usize {
    let turned_away = run.truth.all_turned_away();
    let in_calm = turned_away.iter().filter(|call| !run.course.is_attacked(call.at));
    in_calm.filter(|call| call.status.is_client_error()).count()
}

fn restricted_in_calm(run: &Run<'_>) -> Vec<String> {
    let in_calm = run.steps.iter().filter(|step| !run.course.is_attacked(step.at));
    let restricts =
        in_calm.filter(|step| matches!(&step.deed, Deed::Taken { kind, .. } if kind.restricts()));
    restricts.map(|step| format!("{}: {}: {}", step.service, step.edge, step.deed)).collect()
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
