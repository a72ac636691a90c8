//! `meshguard policy digest`.

use std::path::PathBuf;

use clap::Args;
use meshguard_core::Policy;
use meshguard_core::policy::{PolicyError, PolicyErrorKind, Syntax, announce};

use crate::document;
use crate::failure::Failure;
use crate::output::{Format, Verdict, print};

/// So that no service takes a part of it: a document that announces a digest and does not have it is refused.
#[derive(Debug, Args)]
pub(crate) struct Digest {
    /// The policy document, in TOML or YAML; `-` reads TOML from the standard input
    policy: PathBuf,
    /// Where it is written, instead of the standard output: the document's own file, perhaps
    #[arg(short, long, value_name = "FILE", conflicts_with = "check")]
    output: Option<PathBuf>,
    /// Write nothing: fail unless the document announces the digest that it has
    #[arg(long)]
    check: bool,
}

impl Digest {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let name = self.policy.to_string_lossy();
        let text = document::text(&self.policy)?;
        let announced = announce(&text);
        let read = Policy::read(&text, Syntax::of_file(&name));
        let is_announcing = read.as_ref().is_ok_and(Policy::announces_digest);
        // Else the places of faults are those of the text as it stands.
        let other = read.err().filter(is_of_first_line);
        document::read(&self.policy, if other.is_some() { &announced } else { &text })?;
        if self.check {
            match other {
                Some(error) => print(&format!("{name}: {}", error.message()))?,
                None if !is_announcing => print(&format!("{name}: it announces no digest"))?,
                None => {}
            }
            return Ok(Verdict::fine_if(is_announcing));
        }
        match &self.output {
            Some(path) => document::write(path, &announced)?,
            None => print(&announced)?,
        }
        Ok(Verdict::Fine)
    }

    #[allow(clippy::unused_self)] // as all commands have it
    pub(crate) fn format(&self) -> Format {
        Format::Text
    }
}

/// Whether another first line mends it.
fn is_of_first_line(error: &PolicyError) -> bool {
    let kinds = [PolicyErrorKind::DigestDiffers, PolicyErrorKind::BadAnnouncement];
    error.line() == 1 && kinds.contains(&error.kind())
}
