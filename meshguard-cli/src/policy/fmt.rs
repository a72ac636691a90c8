//! `meshguard policy fmt`.

use std::path::PathBuf;

use clap::Args;
use meshguard_core::policy::Syntax;
use similar::TextDiff;

use crate::document;
use crate::failure::Failure;
use crate::layout::layout;
use crate::output::{Format, Verdict, print};

/// Comments stay, and so do the order of all things and how values are written.
#[derive(Debug, Args)]
pub(crate) struct Fmt {
    /// The policy document, in TOML; `-` reads the standard input
    policy: PathBuf,
    /// Where it is written, instead of the standard output: the document's own file, perhaps
    #[arg(short, long, value_name = "FILE", conflicts_with = "check")]
    output: Option<PathBuf>,
    /// Write nothing: show what would change, and fail if anything would
    #[arg(long)]
    check: bool,
}

impl Fmt {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let name = self.policy.to_string_lossy();
        if Syntax::of_file(&name) == Syntax::Yaml {
            return Err(Failure::new(
                "fmt",
                format!("{name}: only documents in TOML are laid out"),
            )
            .hint("`meshguard policy convert` writes it in TOML, without its comments"));
        }
        let text = document::text(&self.policy)?;
        let policy = document::read(&self.policy, &text)?;
        let laid = layout(&text)
            .map_err(|error| Failure::new("fmt", format!("{name}: {}", error.message())))?;
        let laid = document::announced_as(&policy, laid);
        // Whatever goes wrong with a layout, it does not become another policy.
        if document::read(&self.policy, &laid)?.to_toml() != policy.to_toml() {
            return Err(Failure::new(
                "fmt",
                format!("{name}: laid out, it would mean another thing"),
            )
            .hint("this is a defect of the command; nothing was written"));
        }
        if self.check {
            let diff = TextDiff::from_lines(&text, &laid);
            print(&diff.unified_diff().header(&name, &format!("{name}, laid out")).to_string())?;
            return Ok(Verdict::fine_if(text == laid));
        }
        match &self.output {
            Some(path) => document::write(path, &laid)?,
            None => print(&laid)?,
        }
        Ok(Verdict::Fine)
    }

    #[allow(clippy::unused_self)] // as all commands have it
    pub(crate) fn format(&self) -> Format {
        Format::Text
    }
}
