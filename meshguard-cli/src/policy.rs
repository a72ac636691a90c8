//! `meshguard policy …`.

mod check;
mod convert;
mod decide;
mod diff;
mod digest;
mod explain;
mod fmt;
mod import;
mod learn;
mod replay;
mod schema;
mod test;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::{Format, Verdict};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read a document strictly and prove what is wrong with it
    Check(check::Check),
    /// Run a table of tests and say which rules none of them reaches
    Test(test::Test),
    /// Say step by step what a policy decides on one access, and why
    Explain(Box<explain::Explain>),
    /// Say what a change of policy allows and denies, each with an access that shows it
    Diff(diff::Diff),
    /// Decide anew on the calls that ledgers recorded
    Replay(replay::Replay),
    /// Draw a least-privilege draft from the calls that ledgers recorded
    Learn(learn::Learn),
    /// Lay out a document in one way, with its comments
    Fmt(fmt::Fmt),
    /// Write a document in its canonical form, from TOML or YAML to TOML, without its comments
    Convert(convert::Convert),
    /// Write a document with its digest in the first line, so that no service takes a part of it
    Digest(digest::Digest),
    /// Print the JSON Schema of policy documents, by which editors complete them
    Schema(schema::Schema),
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
            Self::Diff(diff) => diff.run(),
            Self::Replay(replay) => replay.run(),
            Self::Learn(learn) => learn.run(),
            Self::Fmt(fmt) => fmt.run(),
            Self::Convert(convert) => convert.run(),
            Self::Digest(digest) => digest.run(),
            Self::Schema(schema) => schema.run(),
            Self::Import(import) => import.run(),
            Self::Decide(decide) => decide.run(),
        }
    }

    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Check(check) => check.output.format,
            Self::Test(test) => test.output.format,
            Self::Explain(explain) => explain.output.format,
            Self::Diff(diff) => diff.output.format,
            Self::Replay(replay) => replay.output.format,
            Self::Learn(learn) => learn.format,
            Self::Fmt(fmt) => fmt.format(),
            Self::Convert(convert) => convert.format(),
            Self::Digest(digest) => digest.format(),
            Self::Schema(_) => Format::Json,
            Self::Import(import) => import.format(),
            Self::Decide(decide) => decide.format(),
        }
    }
}
