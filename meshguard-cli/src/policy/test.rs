//! `meshguard policy test`.

use std::path::{Path, PathBuf};

use clap::Args;
use meshguard_core::policy::table::{Table, run};

use crate::document;
use crate::failure::Failure;
use crate::output::{Output, Verdict};

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The policy document
    policy: PathBuf,
    /// The table of tests; without it, of `policy.toml` it is `policy.test.toml` beside it
    tests: Option<PathBuf>,
    /// Of a hundred rules, how many the tests must reach
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    min_coverage: u8,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Test {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let policy = document::policy(&self.policy)?;
        let path = self.tests.clone().unwrap_or_else(|| beside(&self.policy));
        let text = document::text(&path).map_err(|failure| match self.tests {
            Some(_) => failure,
            None => failure.hint("the tests of `policy.toml` are in `policy.test.toml` beside it, or in the file that is named after it"),
        })?;
        let table =
            Table::read(&text, &policy).map_err(|error| Failure::table(&path, &text, &error))?;
        if table.cases().is_empty() {
            return Err(Failure::new("table", format!("{}: it has no case", path.display()))
                .hint("write `[[case]]` above each"));
        }
        let report = run(&policy, &table);
        self.output.show(&report)?;
        let covered = report.coverage.percent() >= usize::from(self.min_coverage);
        Ok(Verdict::fine_if(report.passed() && covered))
    }
}

/// `policy.test.toml` of `policy.toml`.
fn beside(policy: &Path) -> PathBuf {
    policy.with_extension("test.toml")
}
