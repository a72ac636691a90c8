//! Before a request is let in: whose it is, whether it is new, and whether it may.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use meshguard_core::access::head::{self, HeadError};
use meshguard_core::delivery::{Receipt, ReceiptStatus, known};
use meshguard_core::policy::{self, Content, DeliveryMode, Limit, Ruling};
use meshguard_core::{Access, Evidence, Policy, Reason, SpiffeId};

use super::again;
use super::claim::{BodyPlan, Proved, prove};
use super::content;
use super::denied::{Asked, Denied, refuse};
use super::early::{refuse_early, restrict};
use super::ending::{Part, Running};
use super::exchange::{Exchange, Proven, short};
use super::facts::Facts;
use super::observed::{Fate, Observed};
use super::refuse::Refused;
use super::route;
use super::tokens;
use crate::body::{evidence, is_grpc_call};
use crate::clock::{Now, now};
use crate::connection::Connection;
use crate::decision::Decision;
use crate::mesh::Mesh;
use crate::session::NotLive;
use crate::timeout::grpc_timeout;

/// A request that was let in.
pub(super) struct Admitted {
    pub(super) exchange: Arc<Exchange>,
    /// It is open at least until its answer's head.
    pub(super) running: Running,
    pub(super) decision: Decision,
    pub(super) body: BodyPlan,
    pub(super) head: bool,
    pub(super) grpc: bool,
    pub(super) deadline: Option<tokio::time::Instant>,
}

/// What the answer to a request depends on.
#[derive(Clone, Copy)]
pub(super) struct Asks {
    /// For a head only.
    pub(super) head: bool,
    /// It is a call of gRPC.
    pub(super) grpc: bool,
}

impl Admitted {
    /// What the body must be.
    pub(super) fn content(&self) -> Option<&Content> {
        self.decision.obligations()?.content
    }

    /// What its answer depends on.
    pub(super) fn asks(&self) -> Asks {
        Asks { head: self.head, grpc: self.grpc }
    }

    /// What was asked.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked::under_way(&self.exchange, self.decision.policy())
    }
}

/// Decides on a request by its head.
pub(super) fn admit(mesh: &Mesh, parts: &Parts) -> Result<Admitted, Refused> {
    let since = Instant::now();
    let grpc = is_grpc_call(&parts.method, &parts.headers);
    let admitted = judge(mesh, parts, grpc, since);
    admitted.map_err(|refused| refused.grpc(grpc).head(parts.method == Method::HEAD))
}

/// As [`admit`], for one of the protocol's own requests: proven, and so above policy.
pub(super) fn admit_own(mesh: &Mesh, parts: &Parts) -> Result<Admitted, Refused> {
    let policy = mesh.policy();
    let connection = connection(mesh, &policy, parts)?;
    let ruling = policy.decide(&Access::http(parts.method.as_str(), parts.uri.path())).ruling();
    let authority = authority(mesh, &policy, connection, parts)?;
    let proved = prove(mesh, connection, &policy, parts, authority, true, now())?;
    let observed = Observed::new(Instant::now(), Fate::Uncounted);
    let (body, exchange) = exchange(mesh, connection, proved, &parts.headers, observed);
    let decision = Decision::new(policy, ruling);
    let running = Running::new(&exchange, Part::Call);
    let deadline = None;
    Ok(Admitted { exchange, running, decision, body, head: false, grpc: false, deadline })
}

fn judge(mesh: &Mesh, parts: &Parts, grpc: bool, since: Instant) -> Result<Admitted, Refused> {
    // First of all: what changes from here on is noticed at the end.
    let epoch = mesh.0.rejudge.epoch();
    let (policy, now) = (mesh.policy(), now());
    let connection = connection(mesh, &policy, parts)?;
    let authority = authority(mesh, &policy, connection, parts)?;
    let proved = prove(mesh, connection, &policy, parts, authority, false, now)?;
    let observed = Observed::new(since, Fate::Asked);
    let (plan, exchange) = exchange(mesh, connection, proved, &parts.headers, observed);
    let facts = Facts::of(parts, grpc);
    let refused = |denied| refuse(&exchange, parts, &policy, Some(&facts), denied);
    // First: what the loop has cut off is not measured any more.
    let (caller, direct) = (exchange.principal.id(), exchange.via.is_none());
    restrict(mesh, caller, exchange.evidence, direct).map_err(refused)?;
    let token = tokens::check(&exchange, &policy, parts, authority, now);
    let token = token.map_err(|denied| refused(denied.timed(&exchange)))?;
    let facts = facts.token(token);
    let refused = |denied| refuse(&exchange, parts, &policy, Some(&facts), denied);
    let ruling = decide(mesh, &policy, &exchange, &facts, parts, now).map_err(|denied| {
        elsewhere(&exchange, parts, &policy).unwrap_or_else(|| refused(denied))
    })?;
    let delivery = ruling.delivery();
    demand(mesh, connection, &policy, &exchange, delivery.mode).map_err(refused)?;
    let owed = policy.decision(ruling).map(|decision| decision.obligations());
    if let Some(content) = owed.and_then(|owed| owed.content) {
        let checked = content::check_head(content, &parts.headers, grpc);
        checked.map_err(|violation| refused(violation.denied()))?;
    }
    // What is refused anyway uses no proof up.
    let used = tokens::claim(&exchange, &facts, now.steady);
    used.map_err(|denied| refused(denied.timed(&exchange)))?;
    // Last: what is refused anyway is not counted.
    if let Some((owed, limit)) = owed.and_then(|owed| Some((owed, owed.limit?))) {
        let metered = meter(mesh, owed.rule, limit, exchange.principal.id());
        metered.map_err(|denied| refused(denied.timed(&exchange)))?;
    }
    let head = parts.method == Method::HEAD;
    let limit = grpc.then(|| grpc_timeout(&parts.headers)).flatten();
    let deadline = limit.map(|limit| tokio::time::Instant::now() + limit);
    // A request is let in once.
    let _ = exchange.facts.set(facts.keep_headers(&parts.headers, &policy));
    let refused = |denied| refuse(&exchange, parts, &policy, exchange.facts.get(), denied);
    let running = again::open(&exchange, epoch).map_err(refused)?;
    if let Some(until) = exchange.token_until() {
        mesh.expect_token(until);
    }
    let decision = Decision::new(policy, ruling);
    exchange.observed.let_in(decision.clone());
    Ok(Admitted { exchange, running, decision, body: plan, head, grpc, deadline })
}

/// The connection that a request came over: without one of ours, nobody is known.
fn connection<'a>(
    mesh: &Mesh,
    policy: &Arc<Policy>,
    parts: &'a Parts,
) -> Result<&'a Connection, Refused> {
    parts.extensions.get::<Connection>().ok_or_else(|| {
        tracing::error!(target: "meshguard::decision", "no mesh connection under this request");
        let denied = Denied::new(StatusCode::FORBIDDEN, "no identity", "no-identity");
        Asked::unproven(mesh, policy, None, parts).refuse(denied)
    })
}

/// The authority that is asked, where the head has one reading.
fn authority<'a>(
    mesh: &Mesh,
    policy: &Arc<Policy>,
    connection: &Connection,
    parts: &'a Parts,
) -> Result<&'a str, Refused> {
    // Where no route permits it, whoever asks.
    let read = match route::overrides(&parts.headers) && !route::permits_override(policy) {
        true => Err(HeadError::MethodOverride),
        false => head::read(&parts.method, &parts.uri, &parts.headers),
    };
    read.map_err(|error| {
        let denied = Denied::new(StatusCode::BAD_REQUEST, error.as_str(), "ambiguous-head");
        refuse_early(mesh, policy, connection, parts, denied)
    })
}

/// Asks policy.
fn decide(
    mesh: &Mesh,
    policy: &Policy,
    exchange: &Exchange,
    facts: &Facts,
    parts: &Parts,
    now: Now,
) -> Result<Ruling, Denied> {
    let headers = Some(&parts.headers);
    let access = trusted(mesh, policy, facts.access_with(exchange, headers, now.reached));
    let decision = policy.decide_served(&access);
    mesh.shadowed(policy, exchange.edge(), &access, decision.is_allowed(), now.steady);
    allowed(mesh, facts, &decision, exchange.via.is_none(), policy.reads_proved_parts_alone())?;
    Ok(decision.ruling())
}

/// With how far the caller is trusted, where that is asked.
fn trusted<'a>(mesh: &Mesh, policy: &Policy, access: Access<'a>) -> Access<'a> {
    match access.principal().filter(|_| policy.reads_trust()) {
        Some(caller) => access.trust(mesh.0.gate.overlay().trust(caller)),
        None => access,
    }
}

fn allowed(
    mesh: &Mesh,
    facts: &Facts,
    decision: &policy::Decision<'_>,
    direct: bool,
    by_proved: bool,
) -> Result<(), Denied> {
    let reason = decision.reason();
    if let Some(denied) = tokens::wanted(mesh, facts, &reason) {
        return Err(denied.on_route(decision.route()));
    }
    let (status, text) = match reason {
        Reason::Rule(_) => return Ok(()),
        Reason::Path(_) => (StatusCode::BAD_REQUEST, "ambiguous path"),
        // What makes a head ambiguous is not all covered by its proof.
        Reason::Head(error) if direct => return Err(ambiguous(error)),
        Reason::Head(error) => return Err(ambiguous(error).fate(Fate::Unclear)),
        _ => (StatusCode::FORBIDDEN, "denied by policy"),
    };
    let denied = Denied::new(status, text, "denied").because(&reason);
    let denied = denied.on_route(decision.route());
    Err(if direct || by_proved { denied } else { denied.fate(Fate::Unclear) })
}

/// A head that policy does not read, or whose route does not permit what it asks for.
fn ambiguous(error: HeadError) -> Denied {
    let name = match error {
        HeadError::Upgrade | HeadError::UpgradeUnproved => "upgrade",
        _ => "ambiguous-head",
    };
    Denied::new(StatusCode::BAD_REQUEST, error.as_str(), name)
}

/// Counts it against the limit of the rule that allows it.
fn meter(mesh: &Mesh, rule: &str, limit: Limit, caller: &SpiffeId) -> Result<(), Denied> {
    mesh.quotas().take(rule, limit, caller).map_err(|exceeded| {
        let text = "too many requests";
        let denied = Denied::new(StatusCode::TOO_MANY_REQUESTS, text, "limited");
        let reason = format!("{rule} lets through no {exceeded}");
        denied.because(&reason).retry_after(exceeded.retry_after())
    })
}

/// What the edge's delivery demands, beyond what policy allowed.
fn demand(
    mesh: &Mesh,
    connection: &Connection,
    policy: &Policy,
    exchange: &Exchange,
    mode: DeliveryMode,
) -> Result<(), Denied> {
    let outer = connection.peer().id();
    let unauthorized = StatusCode::UNAUTHORIZED;
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

/// What is denied in a session whose proofs do not cover what policy reads by now may be allowed
/// in the next one: its caller is asked to open that, with proof that nothing was acted on.
fn elsewhere(exchange: &Arc<Exchange>, parts: &Parts, policy: &Arc<Policy>) -> Option<Refused> {
    let proven = exchange.proven.as_ref().filter(|proven| proven.session.is_retiring())?;
    exchange.observed.becomes(Fate::Uncounted);
    let asked = Asked::of(exchange, policy, parts);
    let renew = asked.renew(&proven.session.sid, NotLive::Covers);
    Some(renew.proven(Arc::clone(exchange)))
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
            let proven = match body {
                BodyPlan::Records(..) => Proven::records(session, claim, proof),
                // Until it is there: what the head says of it is its caller's word.
                BodyPlan::Known(_) => {
                    let nothing = short(ReceiptStatus::Partial, claim.att, 0);
                    Proven::in_head(session, claim, proof, nothing)
                }
                BodyPlan::None | BodyPlan::Plain => {
                    let att = claim.att;
                    let empty = Receipt::known(ReceiptStatus::Received, att, 0, known::empty());
                    Proven::in_head(session, claim, proof, empty)
                }
            };
            (body, Evidence::Verified, Some(proven))
        }
    };
    (plan, Arc::new(Exchange::new(mesh, connection, evidence, proven, observed)))
}
