//! An AuthorizationPolicy, read strictly. What upstream's admission refuses is refused here.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::error::{ImportError, ImportErrorKind as Kind};
use super::node::Node;
use super::rule::{Rule, rule};
use super::{Purpose, Workload};

const API_VERSIONS: [&str; 2] = ["security.istio.io/v1", "security.istio.io/v1beta1"];
const DRY_RUN: &str = "istio.io/dry-run";
/// What Kubernetes adds, and what people annotate: nothing of it decides.
const METADATA: [&str; 16] = [
    "name",
    "namespace",
    "annotations",
    "labels",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "ownerReferences",
    "finalizers",
    "generateName",
    "selfLink",
    "clusterName",
];

#[derive(Debug)]
pub(super) struct Document {
    /// In which of the input's documents it stands, from 0.
    pub(super) index: usize,
    /// Which of the input's resources it is, from 1.
    pub(super) number: usize,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) dry_run: DryRun,
    /// Which labels a workload must have; `None` is every workload.
    pub(super) selector: BTreeMap<String, String>,
    /// Bound to a gateway or a service instead.
    pub(super) targeted: bool,
    pub(super) action: Action,
    pub(super) provider: Option<String>,
    /// `None`: the field is absent, which matches nothing.
    pub(super) rules: Vec<Rule>,
    pub(super) has_rules: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DryRun {
    Absent,
    Off,
    On,
    /// Not a boolean; upstream then enforces.
    Unreadable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Deny,
    Audit,
    Custom,
}

impl Document {
    /// What it is called in messages and in the names of its rules.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether it speaks of the workload.
    pub(super) fn covers(&self, workload: &Workload) -> bool {
        let home =
            self.namespace == workload.namespace || self.namespace == workload.root_namespace;
        let selected = |(key, value): (&String, &String)| workload.labels.get(key) == Some(value);
        home && !self.targeted && self.selector.iter().all(selected)
    }

    /// Reads the document, which is called `label` in messages and is of this `apiVersion`.
    pub(super) fn read(
        json: &Json,
        label: &str,
        version: Option<&str>,
        workload: &Workload,
    ) -> Result<Self, ImportError> {
        let top = Node::new(json, label);
        top.fields(Some(&["apiVersion", "kind", "metadata", "spec", "status"]))?;
        check_version(&top, version)?;
        let metadata = top.require("metadata")?;
        metadata.fields(Some(&METADATA))?;
        let name = metadata.require("name")?;
        let namespace = metadata.get("namespace").map(|n| n.text()).transpose()?;
        let namespace = namespace.filter(|n| !n.is_empty()).unwrap_or(&workload.namespace);
        let mut document = Self {
            index: 0,
            number: 0,
            namespace: namespace.to_owned(),
            name: non_empty(&name)?.to_owned(),
            dry_run: dry_run(&metadata)?,
            selector: BTreeMap::new(),
            targeted: false,
            action: Action::Allow,
            provider: None,
            rules: Vec::new(),
            has_rules: false,
        };
        if let Some(spec) = top.get("spec") {
            document.read_spec(&spec, workload.purpose)?;
        }
        Ok(document)
    }

    fn read_spec(&mut self, spec: &Node<'_>, purpose: Purpose) -> Result<(), ImportError> {
        spec.fields(Some(&["selector", "targetRef", "targetRefs", "rules", "action", "provider"]))?;
        self.read_scope(spec, purpose)?;
        self.action = match spec.get("action") {
            Some(action) => read_action(&action)?,
            None => Action::Allow,
        };
        self.provider = provider(spec, self.action)?;
        let rules = spec.get("rules");
        let rules = rules.map(|rules| rules.list()).transpose()?.unwrap_or_default();
        self.has_rules = !rules.is_empty();
        if self.action == Action::Custom && self.provider.is_none() && purpose != Purpose::Decide {
            let mut field = spec.clone();
            field.field.push_str(".provider.name");
            return Err(field.fault(Kind::MissingField, "a CUSTOM policy must name its provider"));
        }
        if !self.has_rules && matches!(self.action, Action::Deny | Action::Custom) {
            self.meaningless(spec, purpose)?;
        }
        for node in &rules {
            self.rules.push(rule(node, self, purpose)?);
        }
        Ok(())
    }

    fn read_scope(&mut self, spec: &Node<'_>, purpose: Purpose) -> Result<(), ImportError> {
        let refs = spec.get("targetRefs").filter(|refs| !is_nothing(refs.json));
        if let (Some(one), Some(_)) = (spec.get("targetRef"), &refs) {
            return Err(
                one.fault(Kind::Conflict, "`targetRef` and `targetRefs` exclude each other")
            );
        }
        let target = refs.or(spec.get("targetRef"));
        self.targeted = target.is_some();
        if let Some(selector) = spec.get("selector") {
            if target.is_some() {
                let message = "`selector` and `targetRefs` exclude each other";
                return Err(selector.fault(Kind::Conflict, message));
            }
            selector.fields(Some(&["matchLabels"]))?;
            self.selector = match selector.get("matchLabels") {
                Some(labels) => match_labels(&labels)?,
                None => BTreeMap::new(),
            };
        }
        match target {
            Some(target) if purpose == Purpose::Enforce => {
                let message = "a policy that is bound to a gateway or a service cannot be kept";
                Err(target.fault(Kind::Unsupported, message).hinted("select workloads by labels"))
            }
            _ => Ok(()),
        }
    }

    /// What upstream's admission refuses, and its generator reads as matching nothing.
    fn meaningless(&self, spec: &Node<'_>, purpose: Purpose) -> Result<(), ImportError> {
        if purpose == Purpose::Decide {
            return Ok(());
        }
        let mut field = spec.clone();
        field.field.push_str(".rules");
        let message = "without rules it never matches";
        Err(field.fault(Kind::Meaningless, message).hinted("a rule `{}` matches every request"))
    }
}

/// Whether a resource is for other workloads by what it says in any case, however the rest of it
/// reads: it is of a namespace that is neither the workload's nor the root, or selects others by
/// their labels.
pub(super) fn is_for_others(json: &Json, workload: &Workload) -> bool {
    let namespace = match json.get("metadata").and_then(|metadata| metadata.get("namespace")) {
        Some(Json::String(name)) if !name.is_empty() => name,
        None | Some(Json::Null | Json::String(_)) => &workload.namespace,
        Some(_) => return false,
    };
    if *namespace != workload.namespace && *namespace != workload.root_namespace {
        return true;
    }
    let field = |key: &str| json.get("spec")?.get(key).filter(|json| !is_nothing(json));
    if field("targetRef").or(field("targetRefs")).is_some() {
        return false;
    }
    let Some(selector) = field("selector").and_then(Json::as_object) else { return false };
    let labels = selector.get("matchLabels").and_then(Json::as_object);
    let Some(labels) = labels.filter(|_| selector.len() == 1) else { return false };
    let plain = |(key, value): (&String, &Json)| {
        !key.contains('*') && value.as_str().is_some_and(|value| !value.contains('*'))
    };
    let has = |(key, value): (&String, &Json)| {
        workload.labels.get(key).map(String::as_str) == value.as_str()
    };
    labels.iter().all(plain) && !labels.iter().all(has)
}

/// What upstream's decoder reads as absent.
pub(super) fn is_nothing(json: &Json) -> bool {
    json.is_null() || json.as_array().is_some_and(Vec::is_empty)
}

fn check_version(top: &Node<'_>, version: Option<&str>) -> Result<(), ImportError> {
    let version = match version {
        Some(version) => version,
        None => top.require("apiVersion")?.text()?,
    };
    if !API_VERSIONS.contains(&version) {
        let mut field = top.clone();
        field.field.push_str("apiVersion");
        let message = format!("unknown version `{}`", version.escape_debug());
        let hint = format!("it is {}", API_VERSIONS.join(" or "));
        return Err(field.fault(Kind::WrongKind, message).hinted(hint));
    }
    Ok(())
}

fn non_empty<'d>(node: &Node<'d>) -> Result<&'d str, ImportError> {
    match node.text()? {
        "" => Err(node.fault(Kind::Empty, "it is empty")),
        text => Ok(text),
    }
}

/// As Go's `strconv.ParseBool` reads it.
fn dry_run(metadata: &Node<'_>) -> Result<DryRun, ImportError> {
    let Some(annotations) = metadata.get("annotations") else { return Ok(DryRun::Absent) };
    annotations.fields(None)?;
    let Some(value) = annotations.get(DRY_RUN) else { return Ok(DryRun::Absent) };
    Ok(match value.text()? {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => DryRun::On,
        "0" | "f" | "F" | "FALSE" | "false" | "False" => DryRun::Off,
        _ => DryRun::Unreadable,
    })
}

fn read_action(node: &Node<'_>) -> Result<Action, ImportError> {
    match node.text()? {
        "ALLOW" => Ok(Action::Allow),
        "DENY" => Ok(Action::Deny),
        "AUDIT" => Ok(Action::Audit),
        "CUSTOM" => Ok(Action::Custom),
        other => {
            let message = format!("unknown action `{}`", other.escape_debug());
            Err(node.fault(Kind::UnknownValue, message).hinted("ALLOW, DENY, AUDIT or CUSTOM"))
        }
    }
}

fn provider(spec: &Node<'_>, action: Action) -> Result<Option<String>, ImportError> {
    let Some(node) = spec.get("provider") else { return Ok(None) };
    node.fields(Some(&["name"]))?;
    if action != Action::Custom {
        return Err(node.fault(Kind::Conflict, "only a CUSTOM policy has a provider"));
    }
    let name = node.get("name").map(|name| name.text().map(ToOwned::to_owned)).transpose()?;
    Ok(name.filter(|name| !name.is_empty()))
}

fn match_labels(node: &Node<'_>) -> Result<BTreeMap<String, String>, ImportError> {
    let mut labels = BTreeMap::new();
    for key in node.fields(None)?.keys() {
        let bad = |message| Err(node.fault(Kind::BadValue, message));
        if key.is_empty() {
            return bad("a label without a name");
        }
        let value = match node.get(key) {
            Some(value) => value.text()?.to_owned(),
            None => return bad("a label without a value"),
        };
        if key.contains('*') || value.contains('*') {
            return bad("a label has no wildcard");
        }
        labels.insert(key.clone(), value);
    }
    Ok(labels)
}
