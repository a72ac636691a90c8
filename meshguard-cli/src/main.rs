//! The `meshguard` command: a policy checked, tested, explained, compared and replayed before it
//! is in force, and a ledger verified.
//!
//! What it computes is the library's; here is what a command needs: arguments, files, and how a
//! report is shown. Exit codes: 0, it is as it should be; 1, a finding, a denial or a failed
//! test; 2, it could not be done.

mod access;
mod document;
mod failure;
mod layout;
mod ledger;
mod ledgers;
mod output;
mod policy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::output::{Format, Verdict};

const EXIT_CODES: &str = "Exit codes: 0, it is as it should be; 1, a finding, a denial or a failed \
                          test; 2, it could not be done.";

/// A mesh inside of services: its policies and ledgers, looked at from outside.
#[derive(Debug, Parser)]
#[command(name = "meshguard", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check, test, explain, compare and replay policy documents
    #[command(subcommand, after_help = EXIT_CODES)]
    Policy(policy::Command),
    /// Verify ledgers
    #[command(subcommand, after_help = EXIT_CODES)]
    Ledger(ledger::Command),
}

impl Command {
    fn run(&self) -> Result<Verdict, Failure> {
        match self {
            Self::Policy(command) => command.run(),
            Self::Ledger(command) => command.run(),
        }
    }

    fn format(&self) -> Format {
        match self {
            Self::Policy(command) => command.format(),
            Self::Ledger(command) => command.format(),
        }
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    match command.run() {
        Ok(verdict) => verdict.into(),
        Err(failure) => {
            failure.show(command.format());
            ExitCode::from(2)
        }
    }
}
