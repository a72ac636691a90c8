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
mod case;
mod document;
mod error;
mod node;
mod rule;
#[cfg(test)]
mod tests;
mod translate;
mod unsafe_parts;
mod write;

use std::collections::BTreeMap;

use serde_json::Value as Json;

pub use self::case::{Case, CaseError, CaseKind, Request};
use self::document::Document;
pub use self::error::{ImportError, ImportErrorKind, Warning, WarningKind};
use self::translate::Translation;
use super::model::{Effect, Normalization};
use super::text::yaml_options;
use super::{MAX_DOCUMENT, Policy};
use crate::identity::TrustDomain;

/// The most documents of one import.
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
    let flat: Vec<&Json> = documents.iter().flat_map(items).collect();
    if flat.len() > MAX_POLICIES {
        let message = format!("{} documents", flat.len());
        return Err(ImportError::new(ImportErrorKind::TooLarge, "", "", message)
            .hinted(format!("the bound is {MAX_POLICIES}")));
    }
    let read = (1..).zip(flat).map(|(number, json)| Document::read(json, number, workload));
    let read = read.collect::<Result<Vec<_>, _>>()?;
    let Translation { rules, warnings, .. } = Translation::of(workload, &read)?;
    let text = write::document(workload, &rules);
    let policy = text.parse().map_err(|error| ImportError::refused(&error))?;
    let outside = read.iter().filter(|document| !document.covers(workload));
    let out_of_scope = outside.map(Document::label).collect();
    Ok(Imported { policy, text, warnings, out_of_scope })
}

/// The documents of a list, or the document itself.
fn items(json: &Json) -> &[Json] {
    let kind = json.get("kind").and_then(Json::as_str);
    match (kind, json.get("items")) {
        (Some("List" | "AuthorizationPolicyList"), Some(Json::Array(items))) => items,
        _ => std::slice::from_ref(json),
    }
}
