//! `meshguard policy …`.

mod check;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::{Format, Verdict};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read a policy document strictly and say what is in it
    Check(check::Check),
}

impl Command {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        match self {
            Self::Check(check) => check.run(),
        }
    }

    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Check(check) => check.output.format,
        }
    }
}
