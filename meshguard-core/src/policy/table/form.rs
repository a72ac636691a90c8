//! The form of a case, as it is written.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::access::{Evidence, OwnedAccess};
use crate::identity::SpiffeId;
use crate::policy::Effect;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableForm {
    #[serde(default)]
    pub(super) peers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) case: Vec<CaseForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseForm {
    pub(super) name: Option<String>,
    pub(super) expect: Option<Expected>,
    pub(super) rule: Option<String>,
    pub(super) reason: Option<String>,
    from: Option<String>,
    via: Option<String>,
    to: Option<String>,
    http: Option<String>,
    grpc: Option<String>,
    tcp: Option<bool>,
    #[serde(default)]
    direct: bool,
    evidence: Option<Proved>,
    trust: Option<f32>,
    #[serde(default)]
    headers: BTreeMap<String, OneOrMany<String>>,
    claims: Option<BTreeMap<String, Value>>,
    proof: Option<OneOrMany<Bound>>,
    source: Option<IpAddr>,
    client: Option<IpAddr>,
    destination: Option<IpAddr>,
    scheme: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    server_name: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expected {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Proved {
    None,
    Length,
    Digest,
    Verified,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Bound {
    Dpop,
    Certificate,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// What is wrong with a case, and at which of its keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) key: &'static str,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into() }
    }
}

/// Whom a name stands for; the key is where it stands.
type Names<'n> = &'n dyn Fn(&'static str, &str) -> Result<SpiffeId, Fault>;

impl CaseForm {
    pub(super) fn access(self, names: Names<'_>) -> Result<OwnedAccess, Fault> {
        let mut access = operation(self.http.as_deref(), self.grpc.as_deref(), self.tcp)?;
        let id = |key, name: Option<String>| name.map(|name| names(key, &name)).transpose();
        access.from = id("from", self.from)?;
        access.via = id("via", self.via)?;
        access.to = id("to", self.to)?;
        if self.direct && access.via.is_some() {
            return Err(Fault::new("direct", "a call through a hop is not direct"));
        }
        access.direct = self.direct;
        access.evidence = self.evidence.map_or(Evidence::None, Evidence::from);
        if self.trust.is_some_and(|trust| !(0.0..=1.0).contains(&trust)) {
            return Err(Fault::new("trust", "`trust` is from 0 to 1"));
        }
        access.trust = self.trust;
        for (name, values) in self.headers {
            let header = |value| (name.clone(), value);
            access.headers.extend(values.list().into_iter().map(header));
        }
        access.claims = self.claims.map(|claims| Value::Object(claims.into_iter().collect()));
        for bound in self.proof.map(OneOrMany::list).unwrap_or_default() {
            match bound {
                Bound::Dpop => access.proofs.dpop = true,
                Bound::Certificate => access.proofs.certificate = true,
            }
        }
        (access.source, access.client) = (self.source, self.client);
        (access.destination, access.port) = (self.destination, self.port);
        access.scheme = self.scheme.or(access.scheme);
        access.host = self.host.or(access.host);
        access.server_name = self.server_name;
        Ok(access.read_as_sent())
    }
}

fn operation(
    http: Option<&str>,
    grpc: Option<&str>,
    tcp: Option<bool>,
) -> Result<OwnedAccess, Fault> {
    match (http, grpc, tcp) {
        (Some(http), None, None) => match http.split_once(' ') {
            Some((method, target)) => Ok(OwnedAccess::request(method, target)),
            None => Err(Fault::new("http", "`http` is a method and a path: `GET /orders/7`")),
        },
        (None, Some(grpc), None) => {
            OwnedAccess::call(grpc).map_err(|error| Fault::new("grpc", error.to_string()))
        }
        (None, None, Some(true)) => Ok(OwnedAccess::tcp()),
        _ => Err(Fault::new("name", "what is asked is one of `http`, `grpc` and `tcp = true`")),
    }
}

impl<T> OneOrMany<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl From<Expected> for Effect {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Allow => Self::Allow,
            Expected::Deny => Self::Deny,
        }
    }
}

impl From<Proved> for Evidence {
    fn from(proved: Proved) -> Self {
        match proved {
            Proved::None => Self::None,
            Proved::Length => Self::Length,
            Proved::Digest => Self::Digest,
            Proved::Verified => Self::Verified,
        }
    }
}
