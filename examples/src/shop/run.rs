//! One run: services, load and faults, and then the books.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshguard_axum::core::delivery::Counts;
use tokio::time::{sleep, timeout};

use super::args::{Args, Mode};
use super::director::{Trial, direct};
use super::error::ShopError;
use super::faults::{Spec, specs};
use super::load::Load;
use super::mesh::{self, Stack};
use super::report::{Books, Report, Run};
use super::rng::Rng;
use super::stock;
use super::table::Table;
use super::truth::{Lane, Truth};

/// Load runs so long before the first fault.
const WARM_UP: Duration = Duration::from_millis(300);
/// The books are given so long to close after the last call.
const CLOSING: Duration = Duration::from_secs(5);

/// Runs the shop, as `args` says, and reports.
///
/// # Errors
/// Where the shop does not start. What goes wrong in a running shop is in the report.
pub async fn run(args: &Args) -> Result<Report, ShopError> {
    let truth = Arc::new(Truth::new());
    let is_stock = args.mode == Mode::Stock;
    let mut stack =
        if is_stock { stock::start(&truth).await? } else { mesh::start(&truth).await? };
    let specs = specs(is_stock);
    let table = (!args.json && std::io::stdout().is_terminal()).then(|| Table::start(&truth));
    let began = Instant::now();
    let load = Load::start(&stack.shopper, &truth, args.seed);
    sleep(WARM_UP).await;
    let trials = misbehave(&stack, &specs, &truth, args).await;
    load.stop().await;
    for lane in Lane::ALL {
        let _ = timeout(CLOSING, truth.settled(lane)).await;
    }
    let took = began.elapsed();
    let books = close(&stack, &truth).await;
    if let Some(table) = table {
        table.stop().await;
    }
    stack.hops.clear();
    stack.servers.tasks.abort_all();
    Ok(Report::new(&Run { args, took, specs: &specs, trials: &trials, truth: &truth, books }))
}

/// Cues all hops at once, each on its lane.
async fn misbehave(stack: &Stack, specs: &[Spec], truth: &Arc<Truth>, args: &Args) -> Vec<Trial> {
    let until = Instant::now() + args.length;
    let lanes = stack.hops.iter().map(|(lane, hop)| {
        let rng = Rng::new(args.seed, u64::MAX - lane.index() as u64);
        direct(hop, *lane, specs, truth, rng, until)
    });
    futures_util::future::join_all(lanes).await.concat()
}

/// Waits until no exchange is open, and compares each caller's counts with what it sent.
async fn close(stack: &Stack, truth: &Truth) -> Vec<Books> {
    let closed = async {
        while stack.callers.iter().any(|(_, _, mesh)| mesh.counts().open > 0) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = timeout(CLOSING, closed).await;
    let books = stack.callers.iter().map(|(name, lanes, mesh)| {
        let counts: Counts = mesh.counts();
        let sent = lanes.iter().map(|lane| truth.tally(*lane).sent).sum();
        Books::new(name, sent, &counts)
    });
    books.collect()
}
