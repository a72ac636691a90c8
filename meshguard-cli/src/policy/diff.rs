//! `meshguard policy diff`.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use meshguard_core::policy::{Diff as Compared, Effect, Region};
use serde::Serialize;

use crate::document;
use crate::failure::Failure;
use crate::output::{Output, Verdict};

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The policy as it is
    old: PathBuf,
    /// The policy as it would be
    new: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Diff {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let (old, new) = (document::policy(&self.old)?, document::policy(&self.new)?);
        let diff = old.diff(&new);
        self.output.show(&Report::of(&diff))?;
        Ok(Verdict::fine_if(diff.is_empty()))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    newly_allowed: Vec<Change>,
    newly_denied: Vec<Change>,
    /// Calls that stay allowed, with other obligations.
    obligations: Vec<Change>,
    /// Edges that deliver otherwise.
    delivery: Vec<String>,
    /// Operations of which the routes say something else.
    routes: Vec<String>,
    /// What was not compared.
    open: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Change {
    change: String,
    /// An access of the region, as arguments of `explain`.
    witness: String,
}

impl Report {
    fn of(diff: &Compared<'_>) -> Self {
        let regions = |effect: Effect| {
            let all = diff.regions().iter().filter(|region| region.becomes() == effect);
            all.map(Change::of).collect()
        };
        let obligations = diff.obligations().iter().map(|change| Change {
            change: change.to_string(),
            witness: change.witness.to_string(),
        });
        Self {
            newly_allowed: regions(Effect::Allow),
            newly_denied: regions(Effect::Deny),
            obligations: obligations.collect(),
            delivery: diff.edges().iter().map(ToString::to_string).collect(),
            routes: diff.routes().iter().map(ToString::to_string).collect(),
            open: diff.open().iter().map(ToString::to_string).collect(),
        }
    }
}

impl Change {
    fn of(region: &Region<'_>) -> Self {
        Self { change: region.to_string(), witness: region.witness().to_string() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [&self.newly_allowed, &self.newly_denied, &self.obligations];
        for change in lists.into_iter().flatten() {
            writeln!(f, "{}\n    as {}", change.change, change.witness)?;
        }
        for change in self.delivery.iter().chain(&self.routes) {
            writeln!(f, "{change}")?;
        }
        for open in &self.open {
            writeln!(f, "not known: {open}")?;
        }
        let (allowed, denied) = (self.newly_allowed.len(), self.newly_denied.len());
        let others = self.obligations.len() + self.delivery.len() + self.routes.len();
        if allowed + denied + others + self.open.len() == 0 {
            return writeln!(f, "the same: every access is decided and delivered as before");
        }
        writeln!(f, "\n{allowed} regions newly allowed, {denied} newly denied")
    }
}
