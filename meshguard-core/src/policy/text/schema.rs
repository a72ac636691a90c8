//! The document's form, as a JSON Schema: for editors, and for whoever checks before they load.
//!
//! These types are read by nothing but the tests, which hold them against the reader.

#![allow(dead_code)] // their fields are there to be described

mod plan;
mod rules;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use self::plan::{Governor, Reflex, Trust};
use self::rules::{Allow, Deny};
use self::tables::{Delivery, Expect, Route};

/// A meshguard policy: who may talk to whom, for what, and under which conditions. All that no
/// rule allows is denied.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "meshguard policy")]
pub(in crate::policy) struct Form {
    /// The trust domain. Callers of another one are denied before any rule.
    mesh: String,
    /// Further trust domains whose callers are accepted.
    #[serde(default)]
    federates: Vec<String>,
    /// The document's own number, which grows with each change.
    version: u64,
    /// How rules read what is not known. `istio` is for imported documents.
    semantics: Option<Semantics>,
    /// How paths are read; only with `semantics = "istio"`.
    normalization: Option<Normalization>,
    /// Who may carry other peers' calls. Absent: nobody.
    #[serde(default)]
    hops: Vec<String>,
    /// Names for SPIFFE IDs. `*` is one path segment, a final `**` one or more.
    #[serde(default)]
    peers: BTreeMap<String, String>,
    /// What may pass.
    #[serde(default)]
    allow: Vec<Allow>,
    /// What may not. A deny rule that matches beats every allow rule.
    #[serde(default)]
    deny: Vec<Deny>,
    /// What must not stay silent.
    #[serde(default)]
    expect: Vec<Expect>,
    /// How edges deliver. The first that matches an edge counts.
    #[serde(default)]
    delivery: Vec<Delivery>,
    /// What holds for operations, whoever calls.
    #[serde(default)]
    route: Vec<Route>,
    /// What the loop does about what it measures.
    #[serde(default)]
    reflex: Vec<Reflex>,
    /// What the loop may do at most.
    governor: Option<Governor>,
    /// Where an edge's trust starts.
    trust: Option<Trust>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Semantics {
    Native,
    Istio,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Normalization {
    Strict,
    None,
    Base,
    MergeSlashes,
    DecodeAndMergeSlashes,
}

pub(in crate::policy) fn schema() -> serde_json::Value {
    schemars::schema_for!(Form).to_value()
}
