//! `meshguard policy schema`.

use clap::Args;
use meshguard_core::Policy;

use crate::failure::Failure;
use crate::output::{Verdict, print_json};

/// The schema is JSON whatever the format of reports is.
#[derive(Debug, Args)]
pub(crate) struct Schema {}

impl Schema {
    #[allow(clippy::unused_self)] // as all commands have it
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        print_json(&Policy::json_schema()).map(|()| Verdict::Fine)
    }
}
