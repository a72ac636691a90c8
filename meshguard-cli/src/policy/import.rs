//! `meshguard policy import`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use meshguard_core::policy::istio::{self, ImportErrorKind, Imported, Protocol, Workload};
use meshguard_core::policy::{Effect, Normalization};
use serde::Serialize;
use serde_json::Value;

use crate::document;
use crate::failure::Failure;
use crate::output::{Format, Output, Verdict, print};

/// Of each kind that is passed over, so many are named.
const NAMED: usize = 3;

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
/// standard error. What cannot be kept is refused. Resources of other kinds are passed over.
#[derive(Debug, Args)]
pub(crate) struct Istio {
    /// Documents in YAML or JSON, and whatever else is in the same files; `-` reads the standard
    /// input
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
    /// Write a document that allows all, as upstream does, where no policy is for the workload
    #[arg(long)]
    allow_none: bool,
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
        let imported = Documents::read(&self.files)?.import(&self.workload())?;
        if let Some(path) = &self.out {
            document::write(path, &imported.text)?;
        }
        let report = Report {
            rules: imported.policy.rules().count(),
            warnings: imported.warnings.iter().map(ToString::to_string).collect(),
            has_allow_policy: imported.has_allow_policy,
            out_of_scope: imported.out_of_scope,
            skipped: skipped(&imported.skipped),
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
        workload.allow_none = self.allow_none;
        workload
    }
}

/// The documents of all files, in their order.
pub(super) struct Documents {
    all: Vec<Value>,
    /// Each file, and where its documents end.
    files: Vec<(PathBuf, usize)>,
}

impl Documents {
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, Failure> {
        let mut documents = Self { all: Vec::new(), files: Vec::new() };
        for path in files {
            let text = document::text(path)?;
            let read = istio::read(&text).map_err(|error| {
                let message = format!("{}: {}", path.display(), error.place_and_message());
                let failure = Failure::new("import", message);
                match text.contains("{{") {
                    true => failure.hint(
                        "it may be the template of a chart: give what `helm template` writes",
                    ),
                    false => failure,
                }
            });
            documents.all.extend(read?);
            documents.files.push((path.clone(), documents.all.len()));
        }
        Ok(documents)
    }

    /// Imports them. A failure names the file that it is of.
    pub(super) fn import(&self, workload: &Workload) -> Result<Imported, Failure> {
        istio::import_documents(&self.all, workload).map_err(|error| {
            let file = error.index().and_then(|at| self.files.iter().find(|(_, end)| at < *end));
            let file = file.filter(|_| self.files.len() > 1).map(|(path, _)| path.as_path());
            let failure = Failure::import(file, &error);
            match error.kind() {
                ImportErrorKind::NothingInScope => failure.hint(
                    "say the workload's namespace and labels with `--namespace` and `--label`; \
                     upstream would allow all, which `--allow-none` imports",
                ),
                _ => failure,
            }
        })
    }
}

/// What was passed over, by its kind.
fn skipped(all: &[istio::Skipped]) -> BTreeMap<String, Vec<String>> {
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in all {
        let kind = if one.kind.is_empty() { "no resource" } else { &one.kind };
        let kind = kind.escape_debug().to_string();
        kinds.entry(kind).or_default().push(one.document.clone());
    }
    kinds
}

#[derive(Debug, Serialize)]
struct Report {
    rules: usize,
    warnings: Vec<String>,
    /// Without an ALLOW policy, what is not denied is allowed.
    has_allow_policy: bool,
    out_of_scope: Vec<String>,
    /// By kind.
    skipped: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} rules", self.rules)?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))?;
        if !self.has_allow_policy {
            writeln!(
                f,
                "warning: no ALLOW policy is for this workload: what is not denied is allowed"
            )?;
        }
        self.out_of_scope
            .iter()
            .try_for_each(|name| writeln!(f, "not for this workload: {name}"))?;
        self.skipped.iter().try_for_each(|(kind, names)| {
            let more = if names.len() > NAMED { ", …" } else { "" };
            let named = names[..names.len().min(NAMED)].join(", ");
            writeln!(f, "skipped: {} {kind}: {named}{more}", names.len())
        })
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
