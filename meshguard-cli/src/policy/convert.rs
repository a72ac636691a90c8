//! `meshguard policy convert`.

use std::path::PathBuf;

use clap::Args;

use crate::document;
use crate::failure::Failure;
use crate::output::{Format, Verdict, print};

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// The policy document, in TOML or YAML; `-` reads TOML from the standard input
    policy: PathBuf,
    /// Where it is written, instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Convert {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let text = document::text(&self.policy)?;
        let policy = document::read(&self.policy, &text)?;
        let canonical = document::announced_as(&policy, policy.to_toml());
        match &self.output {
            Some(path) => document::write(path, &canonical)?,
            None => print(&canonical)?,
        }
        Ok(Verdict::Fine)
    }

    #[allow(clippy::unused_self)] // as all commands have it
    pub(crate) fn format(&self) -> Format {
        Format::Text
    }
}
