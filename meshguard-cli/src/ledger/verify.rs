//! `meshguard ledger verify`.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::PathBuf;

use clap::Args;
use meshguard_tower::ledger::{self, Verified, VerifyError, VerifyErrorKind};
use serde::Serialize;

use super::key::PublicKey;
use crate::failure::Failure;
use crate::output::{Output, Verdict};

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The ledger's directory
    ledger: PathBuf,
    /// Its public key (Ed25519): 64 hexadecimal digits, or base64url. Whoever wrote the ledger
    /// told it elsewhere: one that lies beside it proves nothing
    #[arg(long, value_name = "KEY")]
    key: PublicKey,
    /// A checkpoint of it that was kept elsewhere: nothing before it may have changed
    #[arg(long, value_name = "FILE")]
    earlier: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let report = match self.verify()? {
            Ok(verified) => Report::of(&verified),
            Err(error) => match error.kind() {
                VerifyErrorKind::Io => return Err(Failure::new("file", error.to_string())),
                VerifyErrorKind::Earlier => return Err(Failure::new("earlier", error.to_string())),
                _ => Report { fault: Some(error.to_string()), ..Report::default() },
            },
        };
        self.output.show(&report)?;
        Ok(Verdict::fine_if(report.verified))
    }

    fn verify(&self) -> Result<Result<Verified, VerifyError>, Failure> {
        let Some(earlier) = &self.earlier else {
            return Ok(ledger::verify(&self.ledger, &self.key.0));
        };
        let note = fs::read_to_string(earlier).map_err(|e| Failure::file(earlier, &e))?;
        Ok(ledger::verify_against(&self.ledger, &self.key.0, &note))
    }
}

#[derive(Debug, Default, Serialize)]
struct Report {
    verified: bool,
    fault: Option<String>,
    /// The first entry that is kept: from it on all was read.
    first: u64,
    entries: u64,
    /// Entries that a signed checkpoint covers.
    signed: u64,
    checkpoints: u64,
    segments: u64,
    /// Entries that the ledger itself says are missing.
    lost: u64,
    /// Requests that were refused.
    refused: u64,
    /// Of these, the ones that were counted and have no entries of their own.
    counted: u64,
    /// Entries that a crash left without a signature, and that were kept.
    adopted: u64,
    /// Stops whose books do not balance.
    unbalanced: u64,
    root: String,
    /// The size of the earlier checkpoint that it was held against.
    earlier: Option<u64>,
}

impl Report {
    fn of(verified: &Verified) -> Self {
        let mut root = String::with_capacity(64);
        for byte in verified.root {
            // Writing to a string does not fail.
            let _ = write!(root, "{byte:02x}");
        }
        Self {
            verified: true,
            fault: None,
            first: verified.first,
            entries: verified.entries,
            signed: verified.signed,
            checkpoints: verified.checkpoints,
            segments: verified.segments,
            lost: verified.lost,
            refused: verified.refused,
            counted: verified.counted,
            adopted: verified.adopted,
            unbalanced: verified.unbalanced,
            root,
            earlier: verified.earlier,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fault) = &self.fault {
            return writeln!(f, "not as it was written: {fault}");
        }
        let Self { entries, signed, checkpoints, segments, .. } = self;
        writeln!(f, "verified: {entries} entries, {signed} of them signed")?;
        writeln!(f, "in {segments} segments under {checkpoints} checkpoints")?;
        writeln!(f, "root {}", self.root)?;
        if self.first > 0 {
            writeln!(
                f,
                "from its entry {} on: by its own word older ones were dropped",
                self.first
            )?;
        }
        if let Some(size) = self.earlier {
            writeln!(f, "nothing before its entry {size} has changed")?;
        }
        if self.lost > 0 {
            writeln!(f, "it says itself that {} entries are missing", self.lost)?;
        }
        if self.refused > 0 {
            let Self { refused, counted, .. } = self;
            writeln!(f, "{refused} requests were refused, {counted} of them only counted")?;
        }
        if self.adopted > 0 {
            writeln!(f, "{} entries were kept that a crash had left unsigned", self.adopted)?;
        }
        if self.unbalanced > 0 {
            writeln!(f, "the books of {} stops do not balance", self.unbalanced)?;
        }
        Ok(())
    }
}
