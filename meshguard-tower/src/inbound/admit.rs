//! Before a request is let in: whose it is, whether it is new, and whether it may.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use meshguard_core::delivery::{Receipt, ReceiptStatus, known};
use meshguard_core::ledger::{self, Entry};
use meshguard_core::policy::{DeliveryMode, METHOD_OVERRIDE_HEADERS};
use meshguard_core::{Access, Evidence, Policy, Reason, Timestamp};

use super::claim::{BodyPlan, Proved, prove};
use super::exchange::{Exchange, Proven};
use super::facts::Facts;
use super::observed::{Fate, Observed};
use super::refuse::Refused;
use crate::body::{evidence, is_grpc};
use crate::connection::Connection;
use crate::control::Cause;
use crate::decision::{Decision, Explanation};
use crate::mesh::Mesh;
use crate::sink::Direction;
use crate::timeout::grpc_timeout;
use crate::tls::now;

/// A request that was let in.
pub(super) struct Admitted {
    pub(super) exchange: Arc<Exchange>,
    pub(super) decision: Decision,
    pub(super) body: BodyPlan,
    pub(super) head: bool,
    pub(super) grpc: bool,
    pub(super) deadline: Option<Duration>,
}

/// Decides on a request by its head.
pub(super) fn admit(mesh: &Mesh, parts: &Parts) -> Result<Admitted, Refused> {
    let since = Instant::now();
    let grpc = parts.method == Method::POST && is_grpc(&parts.headers);
    let admitted = judge(mesh, parts, grpc, since);
    admitted.map_err(|refused| refused.grpc(grpc))
}

/// As [`admit`], for one of the protocol's own requests: proven, and so above policy.
pub(super) fn admit_own(mesh: &Mesh, parts: &Parts) -> Result<Admitted, Refused> {
    let connection = parts.extensions.get::<Connection>();
    let connection = connection.ok_or(Refused::new(StatusCode::FORBIDDEN, "no identity"))?;
    let policy = mesh.policy();
    let ruling = policy.decide(&Access::http(parts.method.as_str(), parts.uri.path())).ruling();
    let proved = prove(mesh, connection, &policy, parts, authority(parts)?, true, now())?;
    let observed = Observed::new(Instant::now(), Fate::Uncounted);
    let (body, exchange) = exchange(mesh, connection, proved, &parts.headers, observed);
    let decision = Decision::new(policy, ruling);
    Ok(Admitted { exchange, decision, body, head: false, grpc: false, deadline: None })
}

fn judge(mesh: &Mesh, parts: &Parts, grpc: bool, since: Instant) -> Result<Admitted, Refused> {
    let Some(connection) = parts.extensions.get::<Connection>() else {
        tracing::error!(target: "meshguard::decision", "no mesh connection under this request");
        return Err(Refused::new(StatusCode::FORBIDDEN, "no identity"));
    };
    let now = now();
    let policy = mesh.policy();
    let authority = authority(parts)?;
    let proved = prove(mesh, connection, &policy, parts, authority, false, now)?;
    let observed = Observed::new(since, Fate::Asked);
    let (plan, exchange) = exchange(mesh, connection, proved, &parts.headers, observed);
    let refused = |e| refuse(mesh, &exchange, parts, &policy, &e, now);
    // First: what the loop has cut off is not measured any more.
    restrict(mesh, &exchange).map_err(refused)?;
    let facts = Facts::of(parts, grpc);
    let ruling = decide(mesh, &policy, &exchange, &facts, &parts.headers, now).map_err(refused)?;
    let delivery = ruling.delivery();
    demand(mesh, connection, &policy, &exchange, parts, delivery.mode).map_err(refused)?;
    let head = parts.method == Method::HEAD;
    let deadline = grpc.then(|| grpc_timeout(&parts.headers)).flatten();
    let decision = Decision::new(policy, ruling);
    exchange.observed.let_in(decision.clone());
    // A request is let in once.
    let _ = exchange.facts.set(facts.keep_headers(&parts.headers, decision.policy()));
    Ok(Admitted { exchange, decision, body: plan, head, grpc, deadline })
}

/// What is asked on the wire must be one thing, whoever reads it.
fn authority(parts: &Parts) -> Result<&str, Refused> {
    let bad = |text| Err(Refused::new(StatusCode::BAD_REQUEST, text));
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return bad("more than one host"),
        (Some(host), None) => match host.to_str() {
            Ok(host) => Some(host),
            Err(_) => return bad("malformed host"),
        },
        (None, None) => None,
    };
    let authority = match (parts.uri.authority().map(http::uri::Authority::as_str), host) {
        (Some(a), Some(h)) if !a.eq_ignore_ascii_case(h) => {
            return bad("host and authority differ");
        }
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return bad("no host"),
    };
    if METHOD_OVERRIDE_HEADERS.iter().any(|name| parts.headers.contains_key(*name)) {
        return bad("a header that overrides the method");
    }
    Ok(authority)
}

/// Asks policy.
fn decide(
    mesh: &Mesh,
    policy: &Policy,
    exchange: &Exchange,
    facts: &Facts,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<meshguard_core::policy::Ruling, Denied> {
    let access = facts.access_with(exchange, Some(headers), now);
    let access = if policy.reads_trust() {
        access.trust(mesh.0.gate.overlay().trust(exchange.principal.id()))
    } else {
        access
    };
    let decision = policy.decide(&access);
    if decision.is_allowed() {
        return Ok(decision.ruling());
    }
    let (status, text) = match decision.reason() {
        Reason::Path(_) => (StatusCode::BAD_REQUEST, "ambiguous path"),
        _ => (StatusCode::FORBIDDEN, "denied by policy"),
    };
    let reason = decision.reason().to_string();
    Err(Denied { status, text, name: "denied", reason, fate: Fate::Refused })
}

/// A refusal that an operator can have explained.
struct Denied {
    status: StatusCode,
    text: &'static str,
    name: &'static str,
    reason: String,
    fate: Fate,
}

impl Denied {
    fn new(status: StatusCode, text: &'static str, name: &'static str) -> Self {
        Self { status, text, name, reason: text.to_owned(), fate: Fate::Refused }
    }
}

/// What the edge's delivery demands, beyond what policy allowed.
fn demand(
    mesh: &Mesh,
    connection: &Connection,
    policy: &Policy,
    exchange: &Exchange,
    parts: &Parts,
    mode: DeliveryMode,
) -> Result<(), Denied> {
    let outer = connection.peer().id();
    let unauthorized = StatusCode::UNAUTHORIZED;
    if mode == DeliveryMode::Require && upgrades(parts) {
        let text = "an upgrade has no delivery to verify";
        return Err(Denied::new(StatusCode::BAD_REQUEST, text, "upgrade"));
    }
    if exchange.proven.is_some() || mode == DeliveryMode::Off {
        return Ok(());
    }
    if policy.is_hop(outer) {
        let text = "a hop's request carries no proof of its caller";
        return Err(Denied::new(unauthorized, text, "unproven-hop"));
    }
    if mode == DeliveryMode::Prefer {
        if !mesh.pins().contains(outer) {
            return Ok(());
        }
        let text = "this peer has spoken the delivery protocol before";
        return Err(Denied::new(unauthorized, text, "downgrade"));
    }
    Err(Denied::new(unauthorized, "delivery is to be proved", "unproven"))
}

/// What the loop asks beyond policy.
fn restrict(mesh: &Mesh, exchange: &Exchange) -> Result<(), Denied> {
    let (caller, direct) = (exchange.principal.id(), exchange.via.is_none());
    let admitted = mesh.0.gate.overlay().admits_caller(caller, exchange.evidence, direct);
    admitted.map_err(|stopped| {
        let (status, text) = match stopped.cause {
            Cause::Rate(_) => (StatusCode::TOO_MANY_REQUESTS, "too many requests"),
            _ => (StatusCode::FORBIDDEN, "restricted"),
        };
        let reason = stopped.to_string();
        Denied { status, text, name: "restricted", reason, fate: Fate::Restricted }
    })
}

fn upgrades(parts: &Parts) -> bool {
    parts.method == Method::CONNECT
        || parts.headers.contains_key(header::UPGRADE)
        || parts.extensions.get::<hyper::ext::Protocol>().is_some()
}

fn exchange(
    mesh: &Mesh,
    connection: &Connection,
    proved: Option<Proved>,
    headers: &HeaderMap,
    observed: Observed,
) -> (BodyPlan, Arc<Exchange>) {
    let (plan, evidence, proven) = match proved {
        None => (BodyPlan::Plain, evidence(headers), None),
        Some(Proved { session, claim, proof, body }) => {
            let in_head = |d| Receipt::known(ReceiptStatus::Received, claim.att, 0, d);
            let proven = match body {
                BodyPlan::Known(d) => Proven::in_head(session, claim, proof, in_head(d)),
                BodyPlan::Records(_) => Proven::records(session, claim, proof),
                _ => Proven::in_head(session, claim, proof, in_head(known::empty())),
            };
            (body, Evidence::Verified, Some(proven))
        }
    };
    (plan, Arc::new(Exchange::new(mesh, connection, evidence, proven, observed)))
}

/// Refuses with a number that an operator can look up.
fn refuse(
    mesh: &Mesh,
    exchange: &Arc<Exchange>,
    parts: &Parts,
    policy: &Policy,
    denied: &Denied,
    now: Timestamp,
) -> Refused {
    exchange.observed.becomes(denied.fate);
    exchange.observed.refused_with(denied.status);
    let id = mesh.decision_id();
    let edge = exchange.edge();
    let explanation = Explanation {
        id,
        at: now,
        from: edge.from.map(ToString::to_string),
        via: edge.via.map(ToString::to_string),
        asked: format!("{} {}", parts.method, parts.uri.path()),
        reason: denied.reason.clone(),
        policy_version: policy.version(),
    };
    mesh.record(|| {
        Entry::Decision(ledger::Decision {
            id: id.number(),
            from: explanation.from.as_deref(),
            via: explanation.via.as_deref(),
            allowed: false,
            reason: &explanation.reason,
            route: None,
            policy_version: explanation.policy_version,
        })
    });
    mesh.found(Direction::Inbound, edge, denied.name, &explanation);
    mesh.explanations().keep(explanation);
    let refused = Refused::new(denied.status, denied.text).by(id);
    if exchange.proven.is_some() { refused.proven(Arc::clone(exchange)) } else { refused }
}
