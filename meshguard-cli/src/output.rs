//! How a report is shown: as text or as JSON, on the standard output.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::failure::Failure;

/// The argument that every command with a report has.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Output {
    /// How the report is shown
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON document, also for what could not be done
    Json,
}

impl Output {
    /// Shows a report.
    pub(crate) fn show(self, report: &(impl Display + Serialize)) -> Result<(), Failure> {
        match self.format {
            Format::Text => print(&report.to_string()),
            Format::Json => print_json(report),
        }
    }
}

/// Prints a text and ends its last line, if it is not ended.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    write!(out, "{text}{end}").and_then(|()| out.flush()).map_err(|e| Failure::output(&e))
}

pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value).map_err(|e| Failure::output(&e.into()))?;
    writeln!(out).and_then(|()| out.flush()).map_err(|e| Failure::output(&e))
}

/// What a command found. What it could not do is a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is as it should be.
    Fine,
    /// There is a finding, a denial or a failed test.
    Finding,
}

impl Verdict {
    pub(crate) fn fine_if(fine: bool) -> Self {
        if fine { Self::Fine } else { Self::Finding }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Fine => Self::SUCCESS,
            Verdict::Finding => Self::from(1),
        }
    }
}
