//! One run: services, load, faults and attacks, and then the books.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::args::{Args, FAULTS, Mode};
use super::attacks::{Scenario, Scene, scenarios};
use super::books::{self, Books, CalleeBooks};
use super::director::{Trial, direct};
use super::edges;
use super::error::ShopError;
use super::faults::{Spec, specs};
use super::journal::Journal;
use super::ledgers;
use super::load::Load;
use super::member::Founder;
use super::mesh::{self, Stack};
use super::report::{Kept, Report, Run};
use super::rng::Rng;
use super::stage::{Played, play};
use super::stock;
use super::table::Table;
use super::timing::Timing;
use super::town::Work;
use super::truth::{Lane, Truth};

/// The books are given so long to close after the last call.
const CLOSING: Duration = Duration::from_secs(5);

/// What happened in one run, and when.
#[derive(Default)]
pub(super) struct Course {
    pub(super) trials: Vec<Trial>,
    /// When the hops' faults began, after all else.
    pub(super) faults: Option<Instant>,
    pub(super) played: Vec<(Scenario, Played)>,
}

impl Course {
    /// Whether an attack was under way then, or the calm after it.
    pub(super) fn is_attacked(&self, at: Instant) -> bool {
        self.played.iter().any(|(_, played)| {
            played.began.is_some_and(|began| began <= at)
                && played.ended.is_some_and(|ended| at < ended)
        })
    }
}

/// Runs the shop, as `args` says, and reports.
///
/// # Errors
/// Where the shop does not start. What goes wrong in a running shop is in the report.
pub async fn run(args: &Args) -> Result<Report, ShopError> {
    let (truth, journal) = (Arc::new(Truth::new()), Arc::new(Journal::new()));
    // Where nobody wants to keep them, ledgers are gone with the run.
    let scratch = tempfile::tempdir()?;
    let ledgers = args.ledger.as_deref().unwrap_or(scratch.path());
    let founder = Founder::new(&truth, &journal, Some(ledgers));
    let is_stock = args.mode == Mode::Stock;
    let mut stack =
        if is_stock { stock::start(&truth).await? } else { mesh::start(&founder).await? };
    let specs = specs(is_stock);
    let table =
        (!args.json && std::io::stdout().is_terminal()).then(|| Table::start(&truth, &founder));
    let began = Instant::now();
    let load = Load::start(&stack.shopper, &truth, args.seed);
    let work = stack.town.as_ref().map(|town| Work::start(town, &truth, args.seed));
    let course = take_course(&stack, &specs, &truth, &journal, args).await;
    if let Some(work) = work {
        work.stop().await;
    }
    load.stop().await;
    for lane in Lane::ALL {
        let _ = timeout(CLOSING, truth.settled(lane)).await;
    }
    let took = began.elapsed();
    let books = close(&stack, &truth).await;
    let callees = stack.doors.iter().map(|(name, _, mesh)| CalleeBooks::of(name, mesh)).collect();
    let edges = edges::measured(&founder.members());
    let ledgers = ledgers::audit(&founder.members());
    if let Some(table) = table {
        table.stop().await;
    }
    stack.hops.clear();
    stack.servers.tasks.abort_all();
    let truth = &*truth;
    let kept = Kept { books, callees, ledgers, edges };
    let (specs, steps) = (&specs[..], journal.steps(0));
    Ok(Report::new(Run { args, began, took, specs, course, truth, steps, kept }))
}

/// First calm, then one attack after the other, then the hops' faults.
async fn take_course(
    stack: &Stack,
    specs: &[Spec],
    truth: &Arc<Truth>,
    journal: &Journal,
    args: &Args,
) -> Course {
    let mut scenarios = scenarios();
    scenarios.retain(|scenario| stack.town.is_some() && args.wants(scenario.name));
    let timing = Timing::of(args.length, !scenarios.is_empty(), args.wants(FAULTS));
    sleep(timing.learning).await;
    let mut course = Course::default();
    if let Some(town) = &stack.town {
        let scene = Scene { town, hops: &stack.hops, truth, seed: args.seed };
        for scenario in scenarios {
            let played = play(&scenario, &scene, journal, &timing).await;
            course.played.push((scenario, played));
        }
    }
    if args.wants(FAULTS) {
        let from = Instant::now();
        course.trials = misbehave(stack, specs, truth, args.seed, from + timing.faults).await;
        course.faults = Some(from);
    }
    course
}

/// Cues all hops at once, each on its lane.
async fn misbehave(
    stack: &Stack,
    specs: &[Spec],
    truth: &Arc<Truth>,
    seed: u64,
    until: Instant,
) -> Vec<Trial> {
    let lanes = stack.hops.iter().map(|(lane, hop)| {
        let rng = Rng::new(seed, u64::MAX - lane.index() as u64);
        direct(hop, *lane, specs, truth, rng, until)
    });
    futures_util::future::join_all(lanes).await.concat()
}

/// Waits until no exchange is open, and compares each caller's counts with what it sent.
async fn close(stack: &Stack, truth: &Truth) -> Vec<Books> {
    let is_open = || {
        let mut meshes = stack.callers.iter().flat_map(|callers| &callers.meshes);
        meshes.any(|mesh| mesh.counts().open > 0)
    };
    let closed = async {
        while is_open() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = timeout(CLOSING, closed).await;
    stack.callers.iter().map(|callers| books::of_callers(callers, truth)).collect()
}
