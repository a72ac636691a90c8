//! What was asked, and what was known of it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use crate::access::{Access, Operation};
use crate::escape::escape;
use crate::policy::model::Rule;

/// The headers, and the claims, that are told of, at most.
const MAX_NAMES: usize = 32;

/// What was asked, and what was known of it: names, no values that may be secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inputs {
    /// The operation, as `POST /orders`, `grpc /shop.v1.Orders/Get` or `tcp`,
    /// [escaped](crate::escape).
    pub operation: String,
    /// The end-to-end caller.
    pub from: Option<String>,
    /// The hop.
    pub via: Option<String>,
    /// The callee.
    pub to: Option<String>,
    /// The caller itself holds the other end of the connection.
    pub direct: bool,
    /// How complete the delivery is proved to be.
    pub evidence: &'static str,
    /// How far the caller is trusted.
    pub trust: Option<f32>,
    /// The headers that the rules told of look at, and whether the caller proved one of that name.
    pub headers: Vec<Named>,
    /// The claims that they look at, and whether a verified token has them.
    pub claims: Vec<Named>,
    /// What binds a token to its caller.
    pub proofs: Vec<&'static str>,
    /// The address of the connection's other end.
    pub source: Option<IpAddr>,
}

/// Something that rules look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Whether it is there, and proved.
    pub proved: bool,
}

impl Inputs {
    pub(super) fn of(rules: &[&Rule], access: &Access<'_>) -> Self {
        let text = |id: Option<&crate::SpiffeId>| id.map(|id| id.as_str().to_owned());
        let bound = access.proved_binding();
        let proofs = [("dpop", bound.dpop), ("certificate", bound.certificate)];
        Self {
            operation: match access.operation() {
                Operation::Http { method, path } => {
                    format!("{} {}", escape(method), escape(path))
                }
                Operation::Grpc { path } => format!("grpc {}", escape(path)),
                Operation::Tcp => "tcp".to_owned(),
            },
            from: text(access.principal()),
            via: text(access.hop()),
            to: text(access.callee()),
            direct: access.is_direct() && access.hop().is_none(),
            evidence: access.proved().as_str(),
            trust: access.trusted(),
            headers: headers(rules, access),
            claims: claims(rules, access),
            proofs: proofs.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect(),
            source: access.source_ip(),
        }
    }
}

/// The headers that these rules look at.
fn headers(rules: &[&Rule], access: &Access<'_>) -> Vec<Named> {
    let names = rules.iter().flat_map(|rule| &rule.when.headers).map(|header| header.name.as_str());
    named(names, |name| access.any_header(name, |_| true))
}

/// The claims that these rules look at.
fn claims(rules: &[&Rule], access: &Access<'_>) -> Vec<Named> {
    let names = rules.iter().flat_map(|rule| &rule.when.claims).map(|claim| &*claim.name);
    named(names, |name| access.verified_claims().is_some_and(|claims| has(claims, name)))
}

fn named<'a>(names: impl Iterator<Item = &'a str>, proved: impl Fn(&str) -> bool) -> Vec<Named> {
    let names: BTreeSet<&str> = names.collect();
    let named = |name: &str| Named { name: name.to_owned(), proved: proved(name) };
    names.into_iter().take(MAX_NAMES).map(named).collect()
}

/// A name with a leading `/` is a JSON Pointer (RFC 6901).
fn has(claims: &Value, name: &str) -> bool {
    let found = if name.starts_with('/') { claims.pointer(name) } else { claims.get(name) };
    found.is_some_and(|value| !value.is_null())
}
