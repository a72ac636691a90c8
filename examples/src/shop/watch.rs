//! `--watch`: the shop in calm, and its table.

use std::sync::Arc;

use super::args::Args;
use super::error::ShopError;
use super::journal::Journal;
use super::load::Load;
use super::member::Founder;
use super::mesh;
use super::serve::told_to_stop;
use super::table::Table;
use super::town::Work;
use super::truth::Truth;

/// Keeps the table open until it is told to stop.
#[allow(clippy::print_stdout)]
pub(super) async fn watch(args: &Args) -> Result<(), ShopError> {
    let (truth, journal) = (Arc::new(Truth::new()), Arc::new(Journal::new()));
    let founder = Founder::new(&truth, &journal, None);
    let stack = mesh::start(&founder).await?;
    let load = Load::start(&stack.shopper, &truth, args.seed);
    let work = stack.town.as_ref().map(|town| Work::start(town, &truth, args.seed));
    let table = Table::start(&truth, &founder);
    told_to_stop().await;
    table.stop().await;
    println!("The shop closes: calls under way are finished.");
    if let Some(work) = work {
        work.stop().await;
    }
    load.stop().await;
    stack.servers.drain().await;
    Ok(())
}
