//! `meshguard policy check`.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use meshguard_core::Policy;
use meshguard_core::policy::{Finding, Severity};
use serde::Serialize;

use crate::document;
use crate::failure::Failure;
use crate::output::{Output, Verdict};

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The policy document; `-` reads the standard input
    policy: PathBuf,
    /// The least that makes the exit code 1
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = Fails::Warning)]
    fail_on: Fails,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Fails {
    /// Also what is often meant so
    Note,
    /// Also what has no effect
    Warning,
    /// Only what contradicts itself
    Error,
}

impl Check {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        let policy = document::policy(&self.policy)?;
        let findings = policy.check();
        self.output.show(&Report::of(&policy, &findings))?;
        let least = match self.fail_on {
            Fails::Note => Severity::Note,
            Fails::Warning => Severity::Warning,
            Fails::Error => Severity::Error,
        };
        Ok(Verdict::fine_if(findings.iter().all(|finding| finding.severity() < least)))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    mesh: Option<String>,
    version: u64,
    rules: usize,
    findings: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    severity: &'static str,
    kind: &'static str,
    rule: String,
    /// The rules that prove it, or that it is about.
    others: Vec<String>,
    text: String,
    /// An access for which it holds, as arguments of `explain`.
    witness: Option<String>,
}

impl Report {
    fn of(policy: &Policy, findings: &[Finding]) -> Self {
        let found = |finding: &Finding| Found {
            severity: finding.severity().as_str(),
            kind: finding.kind().as_str(),
            rule: finding.rule().to_owned(),
            others: finding.others().to_vec(),
            text: finding.to_string(),
            witness: finding.witness().map(ToString::to_string),
        };
        Self {
            mesh: policy.trust_domain().map(|mesh| mesh.as_str().to_owned()),
            version: policy.version(),
            rules: policy.rules().count(),
            findings: findings.iter().map(found).collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.findings {
            writeln!(f, "{}: {}", found.severity, found.text)?;
        }
        let mesh = self.mesh.as_deref().unwrap_or_default();
        let (version, rules, findings) = (self.version, self.rules, self.findings.len());
        writeln!(f, "{mesh}, version {version}: {rules} rules, {findings} findings")
    }
}
