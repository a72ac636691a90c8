//! Claims about the import.
#![allow(clippy::needless_pass_by_value)] // documents are written where they are used

mod refusals;
mod scope;
mod warnings;

use serde_json::{Value as Json, json};

use super::*;
use crate::access::Access;
use crate::identity::SpiffeId;

const SLEEP: &SpiffeId = &SpiffeId::from_static("spiffe://cluster.local/ns/shop/sa/sleep");

/// An AuthorizationPolicy `shop/p` with this `spec`.
fn document(spec: Json) -> Json {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": { "name": "p", "namespace": "shop" }, "spec": spec,
    })
}

/// With this one rule.
fn rule(action: &str, rule: Json) -> Json {
    document(json!({ "action": action, "rules": [rule] }))
}

fn workload(purpose: Purpose) -> Workload {
    let mut workload = Workload::new("shop");
    workload.purpose = purpose;
    workload.allow_none = purpose != Purpose::Enforce;
    workload
}

fn imported(documents: &[Json], workload: &Workload) -> Imported {
    import_documents(documents, workload).unwrap_or_else(|e| panic!("{e}"))
}

fn names(imported: &Imported) -> Vec<&str> {
    imported.policy.rules().collect()
}
