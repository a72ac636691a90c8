//! Ledgers, read as the calls that policies decided.

use std::fs;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use meshguard_core::policy::{Flows, TooManyFlows};
use meshguard_tower::ledger::{self, EntryBuf, FlowReader, Methods};

use crate::failure::Failure;

/// Fewer bytes than this are read before anybody would look at a bar: 16 MiB.
const QUICK: u64 = 16 << 20;

/// The calls that the ledgers in these directories tell of.
///
/// The methods of calls are in their callers' ledgers; so where there are several, all are read
/// for them first.
pub(crate) fn flows(dirs: &[PathBuf]) -> Result<Flows, Failure> {
    let mut methods = Methods::default();
    let bytes = dirs.iter().map(|dir| bytes(dir)).sum::<Result<u64, _>>()?;
    let passes = if dirs.len() > 1 { 2 } else { 1 };
    let progress = progress(bytes * passes);
    if dirs.len() > 1 {
        for dir in dirs {
            each(dir, &progress, |entry| {
                methods.note(&entry.entry());
                Ok(())
            })?;
        }
    }
    let mut flows = Flows::default();
    for dir in dirs {
        let mut reader = FlowReader::new(&methods);
        each(dir, &progress, |entry| {
            let (entry, failed) = (entry.entry(), |e: TooManyFlows| e.to_string());
            let Some(flow) = reader.read(&entry) else { return Ok(()) };
            let added = flows.add_many(&flow, FlowReader::calls(&entry)).map_err(failed);
            added.map_err(|e| Failure::new("ledger", e))
        })?;
    }
    progress.finish_and_clear();
    Ok(flows)
}

fn each(
    dir: &Path,
    progress: &ProgressBar,
    mut entry: impl FnMut(&EntryBuf) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: ledger::VerifyError| {
        Failure::new("ledger", format!("{}: {error}", dir.display()))
            .hint("`meshguard ledger verify` says what is wrong with it")
    };
    for read in ledger::read(dir).map_err(failed)? {
        let read = read.map_err(failed)?;
        entry(&read)?;
        progress.inc(read.bytes().len() as u64);
    }
    Ok(())
}

/// The size of a ledger's segments, about.
fn bytes(dir: &Path) -> Result<u64, Failure> {
    let failed = |error| Failure::file(dir, &error);
    let mut bytes = 0;
    let mut segments = 0;
    for file in fs::read_dir(dir).map_err(failed)? {
        let file = file.map_err(failed)?;
        if file.path().extension().is_some_and(|end| end == "seg") {
            segments += 1;
            bytes += file.metadata().map_err(failed)?.len();
        }
    }
    if segments == 0 {
        let message = format!("{}: no ledger is in this directory", dir.display());
        return Err(Failure::new("ledger", message));
    }
    Ok(bytes)
}

/// On the standard error, where that is a terminal and reading takes a while.
fn progress(bytes: u64) -> ProgressBar {
    if bytes < QUICK {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("reading {bar:40} {bytes}/{total_bytes}, {eta}");
    // The template is sound; with the default style there would be a bar, too.
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}
