//! What is refused: each refusal has a number of its own, and what stood behind it is kept.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use meshguard_core::delivery::Sid;
use meshguard_core::escape::Escaped;
use meshguard_core::{Access, Policy};

use super::exchange::{Exchange, Proven};
use super::facts::Facts;
use super::observed::Fate;
use super::refuse::Refused;
use crate::clock::{reached, wall};
use crate::connection::Connection;
use crate::decision::{DecisionId, Explanation, Question, asked, cut};
use crate::ledger::Refusal;
use crate::mesh::Mesh;
use crate::session::NotLive;
use crate::sink::{Direction, Edge};

/// A request, as far as an explanation speaks of it.
pub(super) struct Asked<'a> {
    pub(super) mesh: &'a Mesh,
    edge: Edge<'a>,
    method: Option<&'a Method>,
    path: &'a str,
    policy: &'a Arc<Policy>,
    question: Option<Box<Question>>,
    /// Where its caller is known.
    exchange: Option<&'a Exchange>,
}

/// Why a request is refused.
pub(super) struct Denied {
    pub(super) status: StatusCode,
    /// All that the caller is told.
    pub(super) text: &'static str,
    /// The finding's name; `None` where a finding was told already.
    name: Option<&'static str>,
    /// What the operator is told.
    reason: String,
    /// The policy's template for it, where policy was asked.
    route: Option<String>,
    pub(super) fate: Fate,
    retry_after: Option<u64>,
    challenge: Option<Box<Challenge>>,
}

/// What a caller is told that has no token which holds.
#[derive(Default)]
pub(super) struct Challenge {
    /// `WWW-Authenticate` (RFC 9110 §11.6.1).
    pub(super) authenticate: Option<HeaderValue>,
    /// `DPoP-Nonce` (RFC 9449 §8.2).
    pub(super) nonce: Option<HeaderValue>,
}

impl Denied {
    pub(super) fn new(status: StatusCode, text: &'static str, name: &'static str) -> Self {
        let (reason, route, fate) = (text.to_owned(), None, Fate::Refused);
        let (name, retry_after, challenge) = (Some(name), None, None);
        Self { status, text, name, reason, route, fate, retry_after, challenge }
    }

    /// The route that it asked for.
    pub(super) fn on_route(mut self, route: Option<&str>) -> Self {
        self.route = route.map(ToOwned::to_owned);
        self
    }

    /// What the operator is told beyond the caller.
    pub(super) fn because(mut self, reason: &dyn fmt::Display) -> Self {
        self.reason = reason.to_string();
        self
    }

    /// With what its caller has to know to do better.
    pub(super) fn challenging(mut self, challenge: Challenge) -> Self {
        self.challenge = Some(Box::new(challenge));
        self
    }

    pub(super) fn fate(mut self, fate: Fate) -> Self {
        self.fate = fate;
        self
    }

    /// It hangs on when the request came, which a hop decides of what it carries.
    pub(super) fn timed(self, exchange: &Exchange) -> Self {
        if exchange.via.is_some() { self.fate(Fate::Unclear) } else { self }
    }

    /// After so many seconds another try may pass.
    pub(super) fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.retry_after = seconds;
        self
    }

    /// It was told already: there is only its number to give.
    pub(super) fn told(status: StatusCode, text: &'static str, reason: &dyn fmt::Display) -> Self {
        Self { name: None, ..Self::new(status, text, "").because(reason) }
    }
}

impl<'a> Asked<'a> {
    /// A request of which nobody has proved whose it is: its connection's other end brought it.
    pub(super) fn unproven(
        mesh: &'a Mesh,
        policy: &'a Arc<Policy>,
        connection: Option<&'a Connection>,
        parts: &'a Parts,
    ) -> Self {
        let outer = connection.map(|connection| connection.peer().id());
        // A peer that is no hop asks for itself.
        let via = outer.filter(|peer| policy.is_hop(peer));
        let from = outer.filter(|_| via.is_none());
        let edge = Edge { from, to: mesh.id(), via };
        Self::on(mesh, policy, edge, parts)
    }

    /// A request whose caller is known.
    pub(super) fn of(exchange: &'a Exchange, policy: &'a Arc<Policy>, parts: &'a Parts) -> Self {
        let asked = Self::on(&exchange.mesh, policy, exchange.edge(), parts);
        Self { exchange: Some(exchange), ..asked }
    }

    fn on(mesh: &'a Mesh, policy: &'a Arc<Policy>, edge: Edge<'a>, parts: &'a Parts) -> Self {
        let (method, path) = (Some(&parts.method), parts.uri.path());
        let (question, exchange) = (None, None);
        Self { mesh, edge, method, path, policy, question, exchange }
    }

    /// A request that was let in, and whose head is the application's by now.
    pub(super) fn under_way(exchange: &'a Exchange, policy: &'a Arc<Policy>) -> Self {
        let facts = exchange.facts.get();
        let asked = Self {
            mesh: &exchange.mesh,
            edge: exchange.edge(),
            method: facts.map(Facts::method),
            path: facts.map_or("", Facts::path),
            policy,
            question: None,
            exchange: Some(exchange),
        };
        asked.asking(exchange.access(policy, reached()))
    }

    /// With what policy was asked, so that it can say more when somebody wants to know.
    fn asking(mut self, access: Option<Access<'_>>) -> Self {
        let trust = |id| self.mesh.0.gate.overlay().trust(id);
        self.question = access.and_then(|access| {
            // Only what policy reads is kept up to date.
            let access = match access.principal().filter(|_| self.policy.reads_trust()) {
                Some(caller) => access.trust(trust(caller)),
                None => access,
            };
            Question::new(&access, self.policy)
        });
        self
    }

    /// The same request, whose proof has told more.
    pub(super) fn with(self, edge: Edge<'a>) -> Self {
        Self { edge, ..self }
    }

    /// Refuses it. Tells the mesh, writes it down, and keeps why.
    pub(super) fn refuse(self, denied: Denied) -> Refused {
        let id = self.mesh.decision_id();
        let route = denied.route.as_deref();
        self.keep(id, denied.name, denied.status, denied.reason, route);
        let refused = Refused::by(id, denied.status, denied.text);
        refused.retry_after(denied.retry_after).challenging(denied.challenge)
    }

    /// It was ended under way, by the decision of this number: there is no answer to refuse.
    pub(super) fn ended(self, id: DecisionId, reason: String) {
        self.keep(id, Some("withdrawn"), StatusCode::FORBIDDEN, reason, None);
    }

    fn keep(
        self,
        id: DecisionId,
        name: Option<&'static str>,
        status: StatusCode,
        reason: String,
        route: Option<&str>,
    ) {
        let explanation = self.explanation(id, reason);
        if let Some(name) = name {
            self.write_down(&explanation, status, route);
            self.mesh.found(Direction::Inbound, self.edge, name, &explanation);
        }
        let asked = self.question.map(|question| (question, self.policy));
        self.mesh.explanations().keep(explanation, asked);
    }

    /// Refuses it because of what anybody could have caused, and what mends itself: another
    /// session is opened.
    pub(super) fn renew(self, sid: &Sid, why: NotLive) -> Refused {
        self.mesh.sessions().asks_to_renew();
        self.mesh.log(Direction::Inbound, self.edge, "renew", |about, left_out| {
            let (outer, path) = (&*about.via, Escaped(self.path));
            tracing::info!(
                target: "meshguard::session",
                { peer.via = outer, session.sid = %sid, path = %path, left_out },
                "answered renew: {why}"
            );
        });
        let text = "no such session";
        self.refuse(Denied::told(StatusCode::UNAUTHORIZED, text, &why)).renew()
    }

    fn explanation(&self, id: DecisionId, reason: String) -> Explanation {
        let Edge { from, via, .. } = self.edge;
        Explanation {
            id,
            at: wall(),
            from: from.map(ToString::to_string),
            via: via.map(ToString::to_string),
            asked: asked(self.method, self.path),
            reason: cut(reason),
            policy_version: self.policy.version(),
            judged: None,
        }
    }

    /// Writes it down, or counts it where its caller is refused too often; then its exchange, too,
    /// needs no entry.
    fn write_down(&self, explanation: &Explanation, status: StatusCode, route: Option<&str>) {
        let proven = self.exchange.and_then(|exchange| exchange.proven.as_ref());
        let refusal = Refusal {
            from: explanation.from.as_deref(),
            via: explanation.via.as_deref(),
            route,
            code: status.as_u16(),
            reason: &explanation.reason,
            policy_version: explanation.policy_version,
            exchange: proven.map(Proven::exchange),
            accepted: proven.is_some() && self.exchange.is_some_and(|e| e.observed.is_refused()),
        };
        let id = explanation.id.number();
        if self.mesh.record_refusal(id, &refusal, explanation.at)
            && let Some(exchange) = self.exchange
        {
            exchange.observed.counted();
        }
    }
}

/// Refuses a request whose caller is known, and with proof where its own head had one.
pub(super) fn refuse(
    exchange: &Arc<Exchange>,
    parts: &Parts,
    policy: &Arc<Policy>,
    facts: Option<&Facts>,
    denied: Denied,
) -> Refused {
    exchange.observed.becomes(denied.fate);
    exchange.observed.refused_with(denied.status);
    let access = facts.map(|facts| facts.access_with(exchange, Some(&parts.headers), reached()));
    let asked = Asked::of(exchange, policy, parts).asking(access);
    let refused = asked.refuse(denied);
    if exchange.proven.is_some() { refused.proven(Arc::clone(exchange)) } else { refused }
}
