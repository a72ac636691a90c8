//! Cases by which anybody can check the import: documents, the workload and mesh that they are
//! for, a request, and what is expected of it. The form is JSON and belongs to the tests, so
//! what is not known in it is ignored and what is left out has a default.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde_json::Value as Json;

use super::error::{ImportError, ImportErrorKind};
use super::{Imported, Protocol, Purpose, Workload, import_documents};
use crate::access::OwnedAccess;
use crate::identity::SpiffeId;
use crate::policy::Policy;
use crate::policy::model::{Effect, Normalization};

/// One case.
#[derive(Debug)]
#[non_exhaustive]
pub struct Case {
    /// Its name; empty where it has none.
    pub id: String,
    /// What is asked.
    pub kind: CaseKind,
    /// The documents.
    pub policies: Vec<Json>,
    /// What they are imported for.
    pub workload: Workload,
    /// What is decided.
    pub request: Request,
    /// Whether the safe decision is expected, and not upstream's.
    pub hardened: bool,
}

/// What a case asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaseKind {
    /// Is the request allowed?
    Decide,
    /// Would upstream admit the documents?
    Load,
}

/// A request as a case has it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// What policy is asked.
    pub access: OwnedAccess,
    /// The caller's name where it is no SPIFFE ID: upstream compares names as texts.
    pub name: Option<String>,
}

/// In whose way a request is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// Upstream's: [`Policy::decide`].
    Upstream,
    /// On all that a server may take it for: [`Policy::decide_hardened`].
    Hardened,
    /// As a service's listener does: [`Policy::decide_served`].
    Served,
}

/// Why a case cannot be read: the field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseError {
    field: String,
    message: String,
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.field, self.message)
    }
}

impl std::error::Error for CaseError {}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// A field of another type than it has, or a missing `policies`.
    pub fn read(json: &Json) -> Result<Self, CaseError> {
        let top = Fields { json, name: "case" };
        let kind = match top.text("kind")? {
            None | Some("decide") => CaseKind::Decide,
            Some("load") => CaseKind::Load,
            Some(_) => return Err(top.wrong("kind", "`decide` or `load`")),
        };
        let context = json.get("context").unwrap_or(&Json::Null);
        let mut workload = Workload::from_context(context)?;
        if kind == CaseKind::Load {
            workload.purpose = Purpose::Admit;
        }
        let Some(Json::Array(policies)) = json.get("policies") else {
            return Err(top.wrong("policies", "a list of documents"));
        };
        Ok(Self {
            id: top.text("id")?.unwrap_or_default().to_owned(),
            kind,
            policies: policies.clone(),
            request: Request::read(json.get("request").unwrap_or(&Json::Null), context)?,
            workload,
            hardened: top.text("mode")? == Some("hardened"),
        })
    }

    /// Imports the case's documents and decides. A document that is to be loaded is allowed if
    /// upstream would admit it.
    ///
    /// # Errors
    /// Documents of a `decide` case that cannot be imported.
    pub fn decide(&self, hardened: bool) -> Result<Effect, ImportError> {
        self.decide_as(if hardened { How::Hardened } else { How::Upstream })
    }

    /// As [`decide`](Self::decide), in one of three ways.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub fn decide_as(&self, how: How) -> Result<Effect, ImportError> {
        let imported = import_documents(&self.policies, &self.workload);
        match self.kind {
            CaseKind::Load if imported.is_err() => Ok(Effect::Deny),
            CaseKind::Load => Ok(Effect::Allow),
            CaseKind::Decide => {
                let Imported { policy, skipped, .. } = imported?;
                if !skipped.is_empty() && skipped.len() == self.policies.len() {
                    let message = "none of the case's documents is an AuthorizationPolicy";
                    return Err(ImportError::new(ImportErrorKind::WrongKind, "", "", message));
                }
                Ok(self.request.decide_as(&policy, how))
            }
        }
    }
}

impl Request {
    /// Reads a request to the destination of `context`.
    ///
    /// # Errors
    /// A field of another type than it has.
    pub fn read(json: &Json, context: &Json) -> Result<Self, CaseError> {
        let (top, context) =
            (Fields { json, name: "request" }, Fields { json: context, name: "context" });
        let text = |key: &str| Ok::<_, CaseError>(top.text(key)?.map(ToOwned::to_owned));
        let mut access = match context.protocol()? {
            Protocol::Tcp => OwnedAccess::tcp(),
            Protocol::Http => {
                let grpc = context.text("protocol")?.is_some_and(|p| p.starts_with("grpc"));
                // What is left out has a default, what is null is missing.
                let text = |key: &str, default| match json.get(key) {
                    None => Ok(default),
                    Some(_) => Ok(top.text(key)?.unwrap_or_default()),
                };
                let method = text("method", if grpc { "POST" } else { "GET" })?;
                OwnedAccess::http(method, text("path", "/")?)
            }
        };
        access.headers = top.headers()?;
        access.scheme = text("scheme")?;
        access.host = text("host")?;
        access.server_name = text("sni")?;
        access.port = top.port()?;
        access.source = top.ip("source_ip")?;
        access.client = top.ip("remote_ip")?;
        access.destination = context.ip("dest_ip")?;
        access.claims = match json.get("claims") {
            None | Some(Json::Null) => None,
            Some(claims @ Json::Object(_)) => Some(claims.clone()),
            Some(_) => return Err(top.wrong("claims", "an object")),
        };
        let mut other = None;
        // Upstream knows a caller by its certificate alone.
        let proved = json.get("mtls").and_then(Json::as_bool).unwrap_or(true);
        match top.text("source_principal")?.filter(|name| proved && !name.is_empty()) {
            None => {}
            Some(name) => match format!("spiffe://{name}").parse::<SpiffeId>() {
                Ok(id) => access.from = Some(id),
                Err(_) => other = Some(name.to_owned()),
            },
        }
        Ok(Self { access, name: other })
    }

    /// Decides.
    #[must_use]
    pub fn decide(&self, policy: &Policy, hardened: bool) -> Effect {
        self.decide_as(policy, if hardened { How::Hardened } else { How::Upstream })
    }

    /// Decides in one of three ways.
    #[must_use]
    pub fn decide_as(&self, policy: &Policy, how: How) -> Effect {
        let access = self.access.access();
        let access = match &self.name {
            Some(name) => access.named(name),
            None => access,
        };
        match how {
            How::Upstream => policy.decide(&access).effect(),
            How::Hardened => policy.decide_hardened(&access).effect(),
            How::Served => policy.decide_served(&access).effect(),
        }
    }
}

impl Workload {
    /// The destination, and the mesh that it is in, of a case's `context`. The purpose is
    /// [`Purpose::Decide`].
    ///
    /// # Errors
    /// A field of another type than it has.
    pub fn from_context(context: &Json) -> Result<Self, CaseError> {
        let top = Fields { json: context, name: "context" };
        let mut workload = Self::new(top.text("dest_namespace")?.unwrap_or("default"));
        workload.purpose = Purpose::Decide;
        // A case may have no policies, and asks what upstream decides then.
        workload.allow_none = true;
        workload.labels = top.map("dest_labels")?;
        if let Some(root) = top.text("root_namespace")? {
            workload.root_namespace = root.to_owned();
        }
        if let Some(domain) = top.text("trust_domain")? {
            workload.trust_domain = domain.to_owned();
        }
        workload.trust_domain_aliases = top.texts("trust_domain_aliases")?;
        workload.protocol = top.protocol()?;
        workload.normalization = top.normalization()?;
        for (name, decision) in top.map("ext_authz")? {
            let effect = match decision.as_str() {
                "allow" => Effect::Allow,
                "deny" => Effect::Deny,
                _ => return Err(top.wrong("ext_authz", "`allow` or `deny` for each provider")),
            };
            workload.providers.insert(name, effect);
        }
        Ok(workload)
    }
}

/// The fields of a part of a case; what is null is absent.
struct Fields<'j> {
    json: &'j Json,
    name: &'static str,
}

impl<'j> Fields<'j> {
    fn get(&self, key: &str) -> Option<&'j Json> {
        self.json.get(key).filter(|json| !json.is_null())
    }

    fn wrong(&self, key: &str, wanted: &str) -> CaseError {
        CaseError { field: format!("{}.{key}", self.name), message: format!("it must be {wanted}") }
    }

    fn text(&self, key: &str) -> Result<Option<&'j str>, CaseError> {
        let text = |json: &'j Json| json.as_str().ok_or_else(|| self.wrong(key, "a string"));
        self.get(key).map(text).transpose()
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, CaseError> {
        let wrong = || self.wrong(key, "a list of strings");
        let Some(json) = self.get(key) else { return Ok(Vec::new()) };
        let list = json.as_array().ok_or_else(wrong)?;
        list.iter().map(|v| v.as_str().map(ToOwned::to_owned).ok_or_else(wrong)).collect()
    }

    fn map(&self, key: &str) -> Result<BTreeMap<String, String>, CaseError> {
        let wrong = || self.wrong(key, "an object of strings");
        let Some(json) = self.get(key) else { return Ok(BTreeMap::new()) };
        let map = json.as_object().ok_or_else(wrong)?;
        let text = |(k, v): (&String, &Json)| Ok((k.clone(), v.as_str().ok_or_else(wrong)?.into()));
        map.iter().map(text).collect()
    }

    fn ip(&self, key: &str) -> Result<Option<IpAddr>, CaseError> {
        let Some(text) = self.text(key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.wrong(key, "an address"))
    }

    fn port(&self) -> Result<Option<u16>, CaseError> {
        let wrong = || self.wrong("port", "a number from 0 to 65535");
        let number = |json: &Json| match json {
            Json::String(text) => text.parse().ok(),
            json => json.as_u64().and_then(|n| u16::try_from(n).ok()),
        };
        self.get("port").map(|json| number(json).ok_or_else(wrong)).transpose()
    }

    /// Pairs, or an object.
    fn headers(&self) -> Result<Vec<(String, String)>, CaseError> {
        let wrong = || self.wrong("headers", "a list of pairs of strings");
        let pair = |json: &Json| {
            let [name, value] = json.as_array()?.as_slice() else { return None };
            Some((name.as_str()?.to_owned(), value.as_str()?.to_owned()))
        };
        match self.get("headers") {
            None => Ok(Vec::new()),
            Some(Json::Array(pairs)) => pairs.iter().map(|p| pair(p).ok_or_else(wrong)).collect(),
            Some(_) => Ok(self.map("headers").map_err(|_| wrong())?.into_iter().collect()),
        }
    }

    fn protocol(&self) -> Result<Protocol, CaseError> {
        let word = self.text("protocol")?.unwrap_or("http").to_ascii_lowercase();
        match word.as_str() {
            "http" | "http2" | "http3" | "grpc" | "grpc-web" => Ok(Protocol::Http),
            "tcp" | "tls" | "https" => Ok(Protocol::Tcp),
            _ => Err(self.wrong("protocol", "http, http2, grpc or tcp")),
        }
    }

    fn normalization(&self) -> Result<Normalization, CaseError> {
        let word = self.text("normalization")?.unwrap_or("base").to_ascii_lowercase();
        let known = Normalization::WORDS.iter().find(|(name, _)| *name == word);
        match (known, word.as_str()) {
            (Some((_, found)), _) => Ok(*found),
            (None, "default") => Ok(Normalization::Base),
            _ => Err(self
                .wrong("normalization", "NONE, BASE, MERGE_SLASHES or DECODE_AND_MERGE_SLASHES")),
        }
    }
}
