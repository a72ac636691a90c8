//! `meshguard policy …`.

mod check;
mod decide;
mod explain;
mod import;
mod test;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::{Format, Verdict};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read a policy document strictly and say what is in it
    Check(check::Check),
    /// Run a table of tests and say which rules none of them reaches
    Test(test::Test),
    /// Say step by step what a policy decides on one access, and why
    Explain(Box<explain::Explain>),
    /// Translate another mesh's policies into a document
    #[command(subcommand)]
    Import(import::Import),
    /// Decide on one access, or on many cases, by another mesh's policies as they stand
    Decide(Box<decide::Decide>),
}

impl Command {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        match self {
            Self::Check(check) => check.run(),
            Self::Test(test) => test.run(),
            Self::Explain(explain) => explain.run(),
            Self::Import(import) => import.run(),
            Self::Decide(decide) => decide.run(),
        }
    }

    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Check(check) => check.output.format,
            Self::Test(test) => test.output.format,
            Self::Explain(explain) => explain.output.format,
            Self::Import(import) => import.format(),
            Self::Decide(decide) => decide.format(),
        }
    }
}
