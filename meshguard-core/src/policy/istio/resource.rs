//! What a file holds: policies, and what people keep beside them.

use std::fmt;

use serde_json::Value as Json;

use super::authentication::{self, AUTHENTICATION};
use super::document::{self, Document};
use super::error::{ImportError, ImportErrorKind as Kind, Warning};
use super::node::Node;
use super::{MAX_POLICIES, Purpose, Workload};
use crate::policy::error::distance;

const POLICY: &str = "AuthorizationPolicy";
/// The API group of upstream's policies.
const SECURITY: &str = "security.istio.io";
/// Kinds that may refuse or admit requests, whatever policies say.
const PROXY: [(&str, &str); 2] =
    [("networking.istio.io", "EnvoyFilter"), ("extensions.istio.io", "WasmPlugin")];
/// Other meshes' groups that have a kind of the same name.
const NAMESAKES: [&str; 1] = ["policy.linkerd.io"];
/// A kind that differs from `AuthorizationPolicy` by no more than so many letters is meant to be
/// one.
const SLIP: usize = 3;

/// A resource that is no AuthorizationPolicy: the import passed it over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Its kind, as `Deployment`; empty where it has none, as a `kustomization.yaml` may.
    pub kind: String,
    /// `namespace/name`, or its number in the input, from 1, where it has no name.
    pub document: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind.is_empty() { "no resource" } else { &self.kind };
        write!(f, "{}: {kind}", self.document)
    }
}

/// The documents of an import, by what becomes of them.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) policies: Vec<Document>,
    /// Policies of which it is known, without their being read, that they are for others.
    pub(super) outside: Vec<String>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) warnings: Vec<Warning>,
}

/// One resource, with its place in the input.
#[derive(Clone, Copy)]
struct Resource<'j> {
    json: &'j Json,
    /// In which of the documents, from 0.
    index: usize,
    /// Which of all resources, from 1.
    number: usize,
    /// Of the items of a typed list, which need not repeat it.
    list: Option<&'j Json>,
}

impl Sorted {
    pub(super) fn of(documents: &[Json], workload: &Workload) -> Result<Self, ImportError> {
        let mut sorted = Self::default();
        let mut number = 0;
        for (index, json) in documents.iter().enumerate() {
            let resource = Resource { json, index, number: 0, list: None };
            let taken = sorted.take_all(resource, &mut number, workload);
            taken.map_err(|error| error.in_document(index))?;
        }
        Ok(sorted)
    }

    /// Takes a resource, or the items of a list, whose depth the reader bounds.
    fn take_all(
        &mut self,
        resource: Resource<'_>,
        number: &mut usize,
        workload: &Workload,
    ) -> Result<(), ImportError> {
        let Some(items) = resource.items()? else {
            *number += 1;
            return self.take(Resource { number: *number, ..resource }, workload);
        };
        for json in items {
            let item = Resource { json, list: Some(resource.json), ..resource };
            self.take_all(item, number, workload)?;
        }
        Ok(())
    }

    fn take(&mut self, resource: Resource<'_>, workload: &Workload) -> Result<(), ImportError> {
        let label = resource.label(workload);
        let strict = workload.purpose == Purpose::Admit;
        match resource.sort(&label)? {
            Sort::Empty => Ok(()),
            Sort::Other(kind) => {
                self.skipped.push(Skipped { kind: kind.to_owned(), document: label });
                Ok(())
            }
            // Where it does not speak of the workload, nothing of it needs to be understood.
            _ if !strict && document::is_for_others(resource.json, workload) => {
                match resource.text("kind") {
                    Some(POLICY) => self.outside.push(label),
                    kind => {
                        let kind = kind.unwrap_or_default().to_owned();
                        self.skipped.push(Skipped { kind, document: label });
                    }
                }
                Ok(())
            }
            Sort::Proxy(kind) => {
                let message =
                    format!("a `{kind}` may refuse or admit by itself: it cannot be kept");
                Err(resource
                    .fault(&label, "kind", message)
                    .hinted("leave it out of the input if it decides nothing"))
            }
            Sort::Authentication(kind) => {
                self.warnings.push(authentication::warning(kind, resource.json, &label));
                Ok(())
            }
            Sort::Policy => {
                if self.policies.len() == MAX_POLICIES {
                    let message = format!("more than {MAX_POLICIES} policies");
                    return Err(ImportError::new(Kind::TooLarge, "", "", message));
                }
                let version = resource.text("apiVersion");
                let mut document = Document::read(resource.json, &label, version, workload)?;
                (document.index, document.number) = (resource.index, resource.number);
                self.policies.push(document);
                Ok(())
            }
        }
    }
}

/// What a resource is to an import.
enum Sort<'j> {
    Empty,
    Policy,
    /// Of a kind that says whom upstream believes to be whom.
    Authentication(&'static str),
    /// Of a kind that changes the proxy itself.
    Proxy(&'static str),
    /// Of any other kind.
    Other(&'j str),
}

impl<'j> Resource<'j> {
    fn text(&self, key: &str) -> Option<&'j str> {
        self.json.get(key).and_then(Json::as_str).or_else(|| self.inherited(key))
    }

    /// What the item of a typed list, as `AuthorizationPolicyList`, has of the list.
    fn inherited(&self, key: &str) -> Option<&'j str> {
        let list = self.list.filter(|_| self.json.get(key).is_none_or(Json::is_null))?;
        let kind = list.get("kind")?.as_str()?.strip_suffix("List").filter(|k| !k.is_empty())?;
        match key {
            "kind" => Some(kind),
            "apiVersion" => list.get(key)?.as_str(),
            _ => None,
        }
    }

    /// The items of a list, of any kind.
    fn items(&self) -> Result<Option<&'j [Json]>, ImportError> {
        let kind = self.json.get("kind").and_then(Json::as_str).unwrap_or_default();
        let ours = matches!(kind, "List" | "AuthorizationPolicyList");
        match self.json.get("items") {
            Some(Json::Array(items)) if kind.ends_with("List") => Ok(Some(items)),
            Some(Json::Null) if ours => Ok(Some(&[])),
            _ if ours => Err(self.fault(kind, "items", "a list without `items`")),
            _ => Ok(None),
        }
    }

    /// What it is, by its kind and API group.
    fn sort(&self, label: &str) -> Result<Sort<'j>, ImportError> {
        let Json::Object(fields) = self.json else {
            return match self.json {
                Json::Null => Ok(Sort::Empty),
                _ => Node::new(self.json, label).fields(None).map(|_| Sort::Empty),
            };
        };
        let version = self.text("apiVersion").unwrap_or_default();
        let Some(kind) = self.text("kind") else {
            // No resource at all, as the values of a chart; not one whose kind is misspelt.
            let resource = ["apiVersion", "kind", "metadata", "spec"];
            let meant = resource.iter().any(|key| fields.contains_key(*key));
            let top = Node::new(self.json, label);
            return match meant && !fields.is_empty() {
                true => top.require("kind")?.text().map(|_| Sort::Empty),
                false => Ok(Sort::Other("")),
            };
        };
        let group = version.split_once('/').map_or("", |(group, _)| group);
        match (group, kind) {
            (SECURITY, POLICY) => Ok(Sort::Policy),
            (SECURITY, kind) => match AUTHENTICATION.iter().find(|known| **known == kind) {
                Some(known) => Ok(Sort::Authentication(known)),
                None => Err(self.unknown(label, kind)),
            },
            // Its version is refused where it is read.
            (group, POLICY) if !NAMESAKES.contains(&group) => Ok(Sort::Policy),
            (group, kind) if !NAMESAKES.contains(&group) && is_slip(kind) => {
                Err(self.unknown(label, kind))
            }
            (group, kind) => Ok(match PROXY.iter().find(|(g, k)| (*g, *k) == (group, kind)) {
                Some((_, kind)) => Sort::Proxy(kind),
                None => Sort::Other(kind),
            }),
        }
    }

    fn unknown(&self, label: &str, kind: &str) -> ImportError {
        let message = format!("unknown kind `{}`", kind.escape_debug());
        let hint = match is_slip(kind) {
            true => format!("did you mean `{POLICY}`?"),
            false => format!("it is of the group `{SECURITY}`, and may decide on access"),
        };
        self.fault(label, "kind", message).hinted(hint)
    }

    fn fault(&self, label: &str, field: &str, message: impl Into<String>) -> ImportError {
        ImportError::new(Kind::WrongKind, label, field, message)
    }

    /// `namespace/name`, or the number where it has no name.
    fn label(&self, workload: &Workload) -> String {
        let metadata = |key: &str| self.json.get("metadata")?.get(key)?.as_str();
        let clean = |text: &str| text.escape_debug().to_string();
        match metadata("name").filter(|name| !name.is_empty()) {
            Some(name) => {
                let namespace = metadata("namespace").filter(|namespace| !namespace.is_empty());
                let namespace = namespace.unwrap_or(&workload.namespace);
                format!("{}/{}", clean(namespace), clean(name))
            }
            None => format!("document {}", self.number),
        }
    }
}

/// Whether the kind is `AuthorizationPolicy`, misspelt.
fn is_slip(kind: &str) -> bool {
    let near = |kind: &str| distance(&kind.to_ascii_lowercase(), &POLICY.to_ascii_lowercase());
    kind.len() <= POLICY.len() + SLIP && near(kind) <= SLIP
}
