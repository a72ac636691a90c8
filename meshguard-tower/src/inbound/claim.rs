//! Whether a request's head is its caller's, and new.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use http::request::Parts;
use meshguard_core::delivery::base::RequestHead;
use meshguard_core::delivery::field::{self, Body, Rcpt, RequestField};
use meshguard_core::delivery::{
    BAD_PROOF, Claim, Fault, Proof, Receipt, ReceiptStatus, Refusal, Verdict, context, known,
};
use meshguard_core::{Evidence, Policy};

use super::denied::{Asked, Denied};
use super::early::refuse_early;
use super::exchange::{Exchange, Proven};
use super::observed::{Fate, Observed};
use super::refuse::Refused;
use super::with_scratch;
use crate::clock::{Now, now};
use crate::connection::Connection;
use crate::mesh::Mesh;
use crate::observe::Measured;
use crate::session::{NotLive, ServerSession};
use crate::sink::Edge;

/// What to do with its body.
pub(super) enum BodyPlan {
    None,
    Known([u8; 32]),
    /// Keyed by this context; its length in bytes, where the head proves it.
    Records([u8; 32], Option<u64>),
    Plain,
}

/// A head whose proof held, its seq claimed.
pub(super) struct Proved {
    pub(super) session: Arc<ServerSession>,
    pub(super) claim: Claim,
    pub(super) proof: Proof,
    pub(super) body: BodyPlan,
}

/// Checks the proof and claims the seq; `own` says that it is one of the protocol's requests.
/// `None`: the request carries no proof.
pub(super) fn prove(
    mesh: &Mesh,
    connection: &Connection,
    policy: &Arc<Policy>,
    parts: &Parts,
    authority: &str,
    own: bool,
    now: Now,
) -> Result<Option<Proved>, Refused> {
    let mut fields = parts.headers.get_all(field::NAME).iter();
    let Some(value) = fields.next() else { return Ok(None) };
    let asked = || Asked::unproven(mesh, policy, Some(connection), parts);
    let unproven = |name, detail: &dyn fmt::Display, text| {
        Denied::new(status(BAD_PROOF), text, name).because(detail)
    };
    let early = |denied| refuse_early(mesh, policy, connection, parts, denied);
    let malformed = |detail: &dyn fmt::Display| early(unproven("field", detail, "malformed proof"));
    if fields.next().is_some() {
        return Err(malformed(&"more than one meshguard field"));
    }
    let field = RequestField::parse(value.as_bytes()).map_err(|e| malformed(&e))?;
    let session = mesh.sessions().live(&field.sid, now);
    let session = session.map_err(|why| asked().renew(&field.sid, why))?;
    let plain = &value.as_bytes()[..field.covered];
    let head = RequestHead {
        method: &parts.method,
        authority,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
    };
    let plan = with_scratch(|s| {
        head.write(&session.cover, plain, &mut s.base);
        (session.keys.request_head.prove(&s.base) == field.proof).then(|| match field.body {
            Body::None => BodyPlan::None,
            Body::Known(digest) => BodyPlan::Known(digest),
            Body::Records(size) => BodyPlan::Records(context(&s.base), size),
        })
    });
    let Some(body) = plan else {
        let detail = "the request's head is not what its caller proved";
        // It is charged as a failure below.
        let refused = asked().refuse(unproven("bad-proof", &detail, "the proof does not hold"));
        charge(mesh, connection, &session);
        if connection.peer().id() != session.peer.id() {
            return Err(refused);
        }
        mesh.tampered(&session, detail);
        return Err(refused.renew()); // its session is over
    };
    may_carry(connection, policy, mesh, &session).map_err(|why| match why {
        // It was opened before policy had bodies sealed here; the next one is.
        NotCarried::NotSealed if session.hop.is_some() => {
            asked().renew(&field.sid, NotLive::NotSealed)
        }
        _ => early(unproven("hop", &why.as_str(), "this hop may not carry it")),
    })?;
    match claim(mesh, connection, &session, &field, own, now) {
        Ok(claim) => Ok(Some(Proved { session, claim, proof: field.proof, body })),
        Err(refusal) => Err(not_claimed(asked(), connection, session, &field, refusal)),
    }
}

/// Of a call that came through a hop, makes one line of each covered field that has several: all
/// that reads the head reads the value that was proved, however the hop has split it. The proof
/// is over that value, so it holds before and after.
pub(super) fn join_proved(mesh: &Mesh, parts: &mut Parts) {
    // Nearly every head has each field once.
    if parts.headers.keys_len() == parts.headers.len() {
        return;
    }
    let Some(outer) = parts.extensions.get::<Connection>() else { return };
    let field = parts.headers.get(field::NAME);
    let field = field.and_then(|value| RequestField::parse(value.as_bytes()).ok());
    let session = field.and_then(|field| mesh.sessions().live(&field.sid, now()).ok());
    if let Some(session) = session.filter(|session| session.peer.id() != outer.peer().id()) {
        session.cover.join_request(&mut parts.headers);
    }
}

/// Claims the seq, and tells what that brought to light.
fn claim(
    mesh: &Mesh,
    connection: &Connection,
    session: &Arc<ServerSession>,
    field: &RequestField<'_>,
    own: bool,
    now: Now,
) -> Result<Claim, Refusal> {
    let (claimed, noticed) = {
        let mut receiver = session.receiver();
        let key = &session.keys.receipt;
        let claimed = match own {
            true => receiver.claim_own(field, key, now.steady, now.wall),
            false => receiver.claim(field, key, now.steady, now.wall),
        };
        (claimed, receiver.has_findings())
    };
    if noticed {
        mesh.notice(session, edge(mesh, connection, session));
    }
    claimed
}

/// Why a connection's peer may not carry a session's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotCarried {
    NoHop,
    NotSealed,
}

impl NotCarried {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NoHop => "the connection's peer is not the caller, nor a hop that policy names",
            Self::NotSealed => "a session that is not sealed came through a hop",
        }
    }
}

/// Whether the connection's peer may carry this session's requests.
pub(super) fn may_carry(
    connection: &Connection,
    policy: &Policy,
    mesh: &Mesh,
    session: &ServerSession,
) -> Result<(), NotCarried> {
    let (outer, caller) = (connection.peer().id(), session.peer.id());
    if outer == caller {
        connection.carries(&session.carriers);
        return Ok(());
    }
    if !policy.is_hop(outer) {
        return Err(NotCarried::NoHop);
    }
    let sealed = session.keys.suite().is_sealed();
    if sealed || policy.delivery(Some(caller), Some(mesh.id())).seal == Some(false) {
        Ok(())
    } else {
        Err(NotCarried::NotSealed)
    }
}

fn status(verdict: Verdict) -> StatusCode {
    StatusCode::from_u16(verdict.status).unwrap_or(StatusCode::BAD_REQUEST)
}

/// Counts a head against whoever may have made it: the hop that brought it, else the caller.
fn charge(mesh: &Mesh, connection: &Connection, session: &ServerSession) {
    let failed = Measured { failed: true, ..Measured::default() };
    if connection.peer().id() == session.peer.id() {
        session.caller.call(&failed);
    } else {
        connection.hop(&mesh.0.gate.edges).call(&failed);
    }
}

fn edge<'a>(mesh: &'a Mesh, connection: &'a Connection, session: &'a ServerSession) -> Edge<'a> {
    let (caller, outer) = (session.peer.id(), connection.peer().id());
    Edge { from: Some(caller), to: mesh.id(), via: (caller != outer).then_some(outer) }
}

/// Answers a proven head whose seq was not to be claimed, with proof.
fn not_claimed(
    asked: Asked<'_>,
    connection: &Connection,
    session: Arc<ServerSession>,
    field: &RequestField<'_>,
    refusal: Refusal,
) -> Refused {
    let mesh = asked.mesh;
    let verdict = refusal.verdict();
    if verdict.fault == Fault::Mistake {
        charge(mesh, connection, &session);
    }
    let claim = Claim { seq: field.seq, att: field.att, own: true };
    let (rcpt, dup) = match refusal {
        Refusal::Duplicate { settled: true } => (Rcpt::of(ReceiptStatus::Consumed), true),
        Refusal::Duplicate { settled: false } => (Rcpt::Later, true),
        _ => (Rcpt::short(ReceiptStatus::Partial, 0, 0), false),
    };
    let empty = Receipt::known(ReceiptStatus::Received, field.att, 0, known::empty());
    let proven = Proven::answering(session, claim, field.proof, empty);
    let observed = Observed::new(Instant::now(), Fate::Uncounted);
    let exchange = Exchange::new(mesh, connection, Evidence::Verified, Some(proven), observed);
    let denied = Denied::new(status(verdict), "not admitted", refusal.as_str()).because(&refusal);
    let refused = asked.with(exchange.edge()).refuse(denied);
    refused.stating(Arc::new(exchange), rcpt, dup)
}
