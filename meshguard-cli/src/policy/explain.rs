//! `meshguard policy explain`.

use std::path::PathBuf;

use clap::Args;

use crate::access::AccessArgs;
use crate::document;
use crate::failure::Failure;
use crate::output::{Output, Verdict};

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The policy document
    policy: PathBuf,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Explain {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let policy = document::policy(&self.policy)?;
        let access = self.access.read(&policy)?;
        let explained = policy.explain(&access.access());
        self.output.show(&explained)?;
        Ok(Verdict::fine_if(explained.allowed))
    }
}
