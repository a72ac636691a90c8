//! `meshguard policy learn`.

use std::path::PathBuf;

use clap::Args;
use meshguard_core::policy::learn;

use crate::failure::Failure;
use crate::output::{Format, Verdict, print, print_json};
use crate::{document, ledgers};

#[derive(Debug, Args)]
pub(crate) struct Learn {
    /// Directories of ledgers: of the callees; with their callers', also the methods are known
    #[arg(required = true, value_name = "LEDGER")]
    ledgers: Vec<PathBuf>,
    /// The policy under which they were recorded: it tells more of the calls that its version
    /// decided
    #[arg(long, value_name = "POLICY")]
    recorded: Option<PathBuf>,
    /// The version that the draft gives itself
    #[arg(long, default_value_t = 1)]
    version: u64,
    /// Where the draft is written, instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How the draft is shown; JSON has it beside what is known of it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

impl Learn {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let recorded = self.recorded.as_deref().map(document::policy).transpose()?;
        let flows = ledgers::flows(&self.ledgers)?;
        let draft = learn::draft(&flows, recorded.as_ref(), self.version)
            .map_err(|error| Failure::new("learn", error.to_string()))?;
        if let Some(path) = &self.output {
            document::write(path, &draft.text)?;
        }
        let rules = draft.policy.rules().count();
        let (calls, left_out) = (draft.calls, draft.left_out);
        match (self.format, &self.output) {
            (Format::Json, _) => print_json(&serde_json::json!({
                "document": draft.text,
                "rules": rules,
                "calls": calls,
                "left_out": left_out,
                "wide": draft.wide,
            }))?,
            (Format::Text, None) => print(&draft.text)?,
            (Format::Text, Some(path)) => {
                let path = path.display();
                print(&format!("{path}: {rules} rules, drawn from {calls} calls"))?;
                if left_out > 0 {
                    print(&format!("{left_out} calls left out: their ends are not known"))?;
                }
                if !draft.wide.is_empty() {
                    print(&format!("wider than what was seen: {}", draft.wide.join(", ")))?;
                }
            }
        }
        Ok(Verdict::Fine)
    }
}
