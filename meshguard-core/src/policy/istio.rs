//! Import of Istio's AuthorizationPolicy, exact to upstream's semantics.
//!
//! Documents are read strictly, scoped to one workload, and translated into one native document
//! with `semantics = "istio"`: each combination of a rule's sources and operations becomes one
//! rule with a `where`. The document is then read as any other. What this mesh cannot keep is
//! refused by name; what upstream leaves unsafe is kept, with a [`Warning`].
//!
//! ```
//! use meshguard_core::policy::istio::{Workload, import};
//! use meshguard_core::{Access, SpiffeId};
//! const SLEEP: &SpiffeId = &SpiffeId::from_static("spiffe://cluster.local/ns/shop/sa/sleep");
//!
//! let text = r#"
//! apiVersion: security.istio.io/v1
//! kind: AuthorizationPolicy
//! metadata: { name: viewer, namespace: shop }
//! spec:
//!   action: ALLOW
//!   rules:
//!   - from: [{ source: { principals: ["cluster.local/ns/shop/sa/sleep"] } }]
//!     to:   [{ operation: { methods: ["GET"], paths: ["/info*"] } }]
//! "#;
//! let imported = import(text, &Workload::new("shop"))?;
//! assert!(imported.policy.decide(&Access::http("GET", "/info/7").by(SLEEP)).is_allowed());
//! assert!(!imported.policy.decide(&Access::http("PUT", "/info/7").by(SLEEP)).is_allowed());
//! # Ok::<(), meshguard_core::policy::istio::ImportError>(())
//! ```
//!
//! # What is kept
//! DENY beats ALLOW; without an ALLOW policy in scope all else is allowed, and a rule
//! `istio/no-allow-policy` says so. A missing attribute has no value and none of the unwanted
//! ones. Policies with the dry-run annotation become shadow rules. CUSTOM policies stand for a
//! fixed decision of their provider, see [`Workload::providers`]. AUDIT policies decide nothing
//! and are left out.

mod aliases;
mod authentication;
mod case;
mod document;
mod error;
mod node;
mod resource;
mod rule;
#[cfg(test)]
mod tests;
mod translate;
mod unsafe_parts;
mod write;

use std::collections::BTreeMap;

use serde_json::Value as Json;

pub use self::case::{Case, CaseError, CaseKind, How, Request};
use self::document::Document;
pub use self::error::{ImportError, ImportErrorKind, Warning, WarningKind};
pub use self::resource::Skipped;
use self::resource::Sorted;
use self::translate::Translation;
use super::model::{Effect, Normalization};
use super::text::yaml_options;
use super::{MAX_DOCUMENT, Policy};
use crate::identity::TrustDomain;

/// The most policies of one import.
pub const MAX_POLICIES: usize = 10_000;

/// How deep what Kubernetes writes may be nested.
const DEEPEST: usize = 64;

/// The workload that documents are imported for, and the mesh that they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Workload {
    /// Its namespace; also that of documents which name none.
    pub namespace: String,
    /// Its labels, which a policy's selector must be a part of.
    pub labels: BTreeMap<String, String>,
    /// The namespace whose policies hold for all others: `istio-system`.
    pub root_namespace: String,
    /// The mesh's trust domain: `cluster.local`.
    pub trust_domain: String,
    /// Further names of the trust domain, which principals may be written with.
    pub trust_domain_aliases: Vec<String>,
    /// What its port speaks.
    pub protocol: Protocol,
    /// How the mesh normalises paths.
    pub normalization: Normalization,
    /// What the providers of CUSTOM policies decide, whatever they are asked.
    pub providers: BTreeMap<String, Effect>,
    /// What the import is for.
    pub purpose: Purpose,
    /// The `version` of the native document.
    pub version: u64,
    /// Whether an import may find no policy for the workload, in which case upstream allows all.
    /// Without it such an import is [refused](ImportErrorKind::NothingInScope).
    pub allow_none: bool,
}

impl Workload {
    /// A workload of a namespace, without labels, in a mesh with Istio's defaults.
    #[must_use]
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            labels: BTreeMap::new(),
            root_namespace: "istio-system".into(),
            trust_domain: "cluster.local".into(),
            trust_domain_aliases: Vec::new(),
            protocol: Protocol::Http,
            normalization: Normalization::Base,
            providers: BTreeMap::new(),
            purpose: Purpose::Enforce,
            version: 1,
            allow_none: false,
        }
    }
}

/// What a workload's port speaks, to the proxy that upstream puts before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP of any version, gRPC included.
    #[default]
    Http,
    /// Anything else: nothing of a request is known.
    Tcp,
}

/// What an import is for, which says how strictly it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// To be enforced here: what cannot be kept is refused.
    #[default]
    Enforce,
    /// To see whether upstream would admit it.
    Admit,
    /// To see what upstream would decide: also of what it would not admit again today, and
    /// what it denies because a provider is missing.
    Decide,
}

/// What came of an import.
#[derive(Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The policy, compiled from `text`.
    pub policy: Policy,
    /// The native document, in TOML.
    pub text: String,
    /// What was kept although a reader should know more about it.
    pub warnings: Vec<Warning>,
    /// The policies that do not speak of the workload, as `namespace/name`.
    pub out_of_scope: Vec<String>,
    /// What is no AuthorizationPolicy.
    pub skipped: Vec<Skipped>,
    /// Whether an ALLOW policy speaks of the workload. Without one, what no rule denies is allowed.
    pub has_allow_policy: bool,
}

/// Imports YAML or JSON documents for a workload.
///
/// # Errors
/// The first document that cannot be read or kept as a whole, with the field that is at fault.
pub fn import(text: &str, workload: &Workload) -> Result<Imported, ImportError> {
    import_documents(&read(text)?, workload)
}

/// The documents of a text: YAML, in which JSON is included. Keys must be unique.
///
/// # Errors
/// A text that is too long or is neither, with its line and column.
pub fn read(text: &str) -> Result<Vec<Json>, ImportError> {
    if text.len() > MAX_DOCUMENT {
        let message = format!("the text has {} bytes", text.len());
        return Err(ImportError::new(ImportErrorKind::TooLarge, "", "", message)
            .hinted(format!("the bound is {MAX_DOCUMENT} bytes")));
    }
    let options = yaml_options(text, DEEPEST);
    let read = serde_saphyr::from_multiple_with_options::<Json>(text, options);
    read.map_err(|e| {
        let text = e.to_string();
        let message = text.lines().next().unwrap_or("it is not YAML").to_owned();
        let place = e.location().map(|at| format!("line {}, column {}", at.line(), at.column()));
        ImportError::new(ImportErrorKind::Syntax, place.unwrap_or_default(), "", message)
    })
}

/// Imports documents that were read already: policies, or lists of them as `kubectl get` prints.
///
/// # Errors
/// As [`import`].
pub fn import_documents(documents: &[Json], workload: &Workload) -> Result<Imported, ImportError> {
    if workload.trust_domain.parse::<TrustDomain>().is_err() {
        let message = format!("`{}` is no trust domain", workload.trust_domain.escape_debug());
        return Err(ImportError::new(ImportErrorKind::TrustDomain, "the workload", "", message));
    }
    let Sorted { policies, mut outside, skipped, warnings: mut first } =
        Sorted::of(documents, workload)?;
    let (inside, others): (Vec<_>, Vec<_>) = policies.into_iter().partition(|d| d.covers(workload));
    outside.extend(others.iter().map(Document::label));
    if inside.is_empty() && !workload.allow_none {
        return Err(nothing(workload, &outside, &skipped));
    }
    let Translation { rules, warnings, has_allow, .. } =
        Translation::of(workload, &inside, &others)?;
    first.extend(warnings);
    let text = write::document(workload, &rules);
    let policy = text.parse().map_err(|error| ImportError::refused(&error))?;
    Ok(Imported {
        policy,
        text,
        warnings: first,
        out_of_scope: outside,
        skipped,
        has_allow_policy: has_allow,
    })
}

/// Nothing that was given speaks of the workload.
fn nothing(workload: &Workload, outside: &[String], skipped: &[Skipped]) -> ImportError {
    const NAMED: usize = 3;
    let namespace = workload.namespace.escape_debug();
    let labels: Vec<_> = workload.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let labels = match labels.is_empty() {
        true => "without labels".to_owned(),
        false => format!("with the labels {}", labels.join(", ").escape_debug()),
    };
    let found = match (outside.len(), skipped.len()) {
        (0, 0) => "the input has none".to_owned(),
        (0, others) => format!("the input has none, and {others} documents of other kinds"),
        (count, _) => {
            let named = outside.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>();
            let more = if count > NAMED { ", …" } else { "" };
            format!("{count} are for other workloads: {}{more}", named.join(", "))
        }
    };
    let message = format!(
        "no AuthorizationPolicy is for a workload of the namespace `{namespace}` {labels}: {found}"
    );
    ImportError::new(ImportErrorKind::NothingInScope, "", "", message)
        .hinted("upstream would allow all; name the namespace and the labels of the workload")
}
