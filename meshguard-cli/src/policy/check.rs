//! `meshguard policy check`.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::document;
use crate::failure::Failure;
use crate::output::{Output, Verdict};

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The policy document; `-` reads the standard input
    policy: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Check {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let policy = document::policy(&self.policy)?;
        let mesh = policy.trust_domain().map(|mesh| mesh.as_str().to_owned());
        let report = Report { mesh, version: policy.version(), rules: policy.rules().count() };
        self.output.show(&report)?;
        Ok(Verdict::Fine)
    }
}

#[derive(Debug, Serialize)]
struct Report {
    mesh: Option<String>,
    version: u64,
    rules: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mesh = self.mesh.as_deref().unwrap_or_default();
        writeln!(f, "{mesh}, version {}: {} rules", self.version, self.rules)
    }
}
