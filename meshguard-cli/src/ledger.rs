//! `meshguard ledger …`.

mod key;
mod verify;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::{Format, Verdict};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Verify a ledger by its files and its public key alone
    Verify(verify::Verify),
}

impl Command {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        match self {
            Self::Verify(verify) => verify.run(),
        }
    }

    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Verify(verify) => verify.output.format,
        }
    }
}
