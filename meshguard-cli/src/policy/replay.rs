//! `meshguard policy replay`.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::output::{Output, Verdict};
use crate::{document, ledgers};

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The candidate
    policy: PathBuf,
    /// Directories of ledgers: of the callees; with their callers', also the methods are known
    #[arg(required = true, value_name = "LEDGER")]
    ledgers: Vec<PathBuf>,
    /// The policy under which they were recorded: it tells more of the calls that its version
    /// decided
    #[arg(long, value_name = "POLICY")]
    recorded: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Replay {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let candidate = document::policy(&self.policy)?;
        let recorded = self.recorded.as_deref().map(document::policy).transpose()?;
        let flows = ledgers::flows(&self.ledgers)?;
        let replay = candidate
            .replay(&flows, recorded.as_ref())
            .map_err(|error| Failure::new("replay", error.to_string()))?;
        self.output.show(&replay)?;
        Ok(Verdict::fine_if(replay.is_unchanged()))
    }
}
