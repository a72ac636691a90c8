//! `meshguard policy import`.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use meshguard_core::policy::istio::{self, Protocol, Workload};
use meshguard_core::policy::{Effect, Normalization};
use serde::Serialize;
use serde_json::Value;

use crate::document;
use crate::failure::Failure;
use crate::output::{Format, Output, Verdict, print};

#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Istio's AuthorizationPolicy documents, for one workload
    Istio(Box<Istio>),
}

impl Import {
    pub(crate) fn run(&self) -> Result<Verdict, Failure> {
        match self {
            Self::Istio(istio) => istio.run(),
        }
    }

    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Istio(istio) => istio.output.format,
        }
    }
}

/// The document goes to the standard output or to a file; what to know about it, to the
/// standard error. What cannot be kept is refused.
#[derive(Debug, Args)]
pub(crate) struct Istio {
    /// Documents in YAML or JSON; `-` reads the standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The workload's namespace, and that of documents which name none
    #[arg(long, default_value = "default")]
    namespace: String,
    /// A label of the workload; may be given repeatedly
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// The namespace whose policies hold for all
    #[arg(long, default_value = "istio-system")]
    root_namespace: String,
    /// The mesh's trust domain
    #[arg(long, default_value = "cluster.local")]
    trust_domain: String,
    /// A further name of the trust domain; may be given repeatedly
    #[arg(long = "alias", value_name = "TRUST-DOMAIN")]
    aliases: Vec<String>,
    /// What the workload's port speaks
    #[arg(long, value_enum, default_value_t = Speaks::Http)]
    protocol: Speaks,
    /// How the mesh normalises paths: none, base, merge_slashes, decode_and_merge_slashes
    #[arg(long, default_value = "base", value_parser = normalization)]
    normalization: Normalization,
    /// What a provider of CUSTOM policies decides; may be given repeatedly
    #[arg(long = "provider", value_name = "NAME=allow|deny", value_parser = provider)]
    providers: Vec<(String, Effect)>,
    /// The version of the document
    #[arg(long, default_value_t = 1)]
    policy_version: u64,
    /// Where the document is written
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Speaks {
    /// HTTP of any version, gRPC included
    Http,
    /// Anything else
    Tcp,
}

impl Istio {
    fn run(&self) -> Result<Verdict, Failure> {
        let documents = documents(&self.files)?;
        let imported = istio::import_documents(&documents, &self.workload())
            .map_err(|error| Failure::import(&error))?;
        if let Some(path) = &self.out {
            fs::write(path, &imported.text).map_err(|error| Failure::file(path, &error))?;
        }
        let report = Report {
            rules: imported.policy.rules().count(),
            warnings: imported.warnings.iter().map(ToString::to_string).collect(),
            out_of_scope: imported.out_of_scope,
            document: self.out.is_none().then_some(imported.text),
        };
        self.show(&report)?;
        Ok(Verdict::Fine)
    }

    fn show(&self, report: &Report) -> Result<(), Failure> {
        let text = self.output.format == Format::Text;
        match &report.document {
            // The document alone, so that it can be redirected.
            Some(document) if text => {
                print(document)?;
                // Where it cannot be written, the document is still there.
                drop(std::io::Write::write_all(
                    &mut std::io::stderr(),
                    report.to_string().as_bytes(),
                ));
                Ok(())
            }
            _ => self.output.show(report),
        }
    }

    fn workload(&self) -> Workload {
        let mut workload = Workload::new(&*self.namespace);
        workload.labels = self.labels.iter().cloned().collect();
        workload.root_namespace.clone_from(&self.root_namespace);
        workload.trust_domain.clone_from(&self.trust_domain);
        workload.trust_domain_aliases.clone_from(&self.aliases);
        workload.protocol = match self.protocol {
            Speaks::Http => Protocol::Http,
            Speaks::Tcp => Protocol::Tcp,
        };
        workload.normalization = self.normalization;
        workload.providers = self.providers.iter().cloned().collect();
        workload.version = self.policy_version;
        workload
    }
}

/// The documents of all files, in their order.
pub(super) fn documents(files: &[PathBuf]) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    for path in files {
        let read = istio::read(&document::text(path)?);
        all.extend(read.map_err(|error| {
            let message = format!("{}: {}", path.display(), error.place_and_message());
            Failure::new("import", message)
        })?);
    }
    Ok(all)
}

#[derive(Debug, Serialize)]
struct Report {
    rules: usize,
    warnings: Vec<String>,
    out_of_scope: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} rules", self.rules)?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))?;
        let skipped = self.out_of_scope.iter();
        skipped.into_iter().try_for_each(|name| writeln!(f, "not for this workload: {name}"))
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn provider(text: &str) -> Result<(String, Effect), String> {
    match text.rsplit_once('=') {
        Some((name, "allow")) => Ok((name.to_owned(), Effect::Allow)),
        Some((name, "deny")) => Ok((name.to_owned(), Effect::Deny)),
        _ => Err("write NAME=allow or NAME=deny".to_owned()),
    }
}

fn normalization(text: &str) -> Result<Normalization, String> {
    let word = text.to_ascii_lowercase();
    let known = [
        Normalization::None,
        Normalization::Base,
        Normalization::MergeSlashes,
        Normalization::DecodeAndMergeSlashes,
    ];
    let found = known.into_iter().find(|one| one.as_str() == word);
    found.ok_or_else(|| format!("it is one of {}", known.map(Normalization::as_str).join(", ")))
}
