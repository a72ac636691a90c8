//! What is noted of a call while it is under way; measured once it has ended, however it did.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use meshguard_core::baseline::EdgeKey;
use meshguard_core::delivery::{Failure, Fault, Outcome, Sid, Unknown};
use meshguard_core::ledger::{Entry, Exchange, Sent};
use meshguard_core::{Evidence, SpiffeId};

use super::request::SentState;
use super::{CallErrorKind, Shared};
use crate::error::DeliveryError;
use crate::observe::{Measured, Tally, blames_callee, grpc_code, name_of};
use crate::session::ClientSession;

/// A call as its caller sees it. It is measured when this is dropped.
pub(super) struct Seen {
    shared: Arc<Shared>,
    /// Where the callee's instance is measured.
    callee: Arc<Tally>,
    pub(super) exchange: Option<(Sid, u64)>,
    since: Instant,
    /// How long its caller waits, in milliseconds.
    limit: Option<NonZeroU32>,
    pub(super) method: Method,
    /// The path of a gRPC call, which is its route.
    pub(super) route: Option<PathAndQuery>,
    pub(super) outcome: Option<Outcome>,
    pub(super) status: Option<StatusCode>,
    code: Option<u8>,
    pub(super) evidence: Evidence,
    pub(super) latency: Option<Duration>,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    /// Of the request, from its verified receipt.
    pub(super) digest: Option<[u8; 32]>,
    /// The call failed, and the callee did not say so itself: anybody on the way to it may be
    /// to blame.
    astray: bool,
    /// The callee gave its answer up, and said so.
    aborted: bool,
    /// The loop did not let it out.
    restricted: bool,
}

impl Seen {
    pub(super) fn new(shared: &Arc<Shared>, method: &Method, grpc: Option<&PathAndQuery>) -> Self {
        Self {
            shared: Arc::clone(shared),
            callee: shared.last_callee(),
            exchange: None,
            since: Instant::now(),
            limit: None,
            method: method.clone(),
            route: grpc.cloned(),
            outcome: None,
            status: None,
            code: None,
            evidence: Evidence::None,
            latency: None,
            request_bytes: 0,
            response_bytes: 0,
            digest: None,
            astray: false,
            aborted: false,
            restricted: false,
        }
    }

    /// An attempt goes out in a session.
    pub(super) fn begins(&mut self, session: &ClientSession, seq: u64) {
        self.callee = Arc::clone(&session.callee);
        self.exchange = Some((session.sid, seq));
        self.since = Instant::now();
    }

    /// Its caller waits for so long.
    pub(super) fn within(&mut self, limit: Option<Duration>) {
        let millis = |limit: Duration| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        self.limit = limit.and_then(|limit| NonZeroU32::new(millis(limit)));
    }

    /// The answer has a head.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap, evidence: Evidence) {
        self.latency = Some(self.since.elapsed());
        self.status = Some(status);
        self.evidence = evidence;
        self.trailers(headers);
    }

    /// Trailers, or a head that stands for them, may say how a gRPC call ended.
    pub(super) fn trailers(&mut self, headers: &HeaderMap) {
        self.code = grpc_code(headers).or(self.code);
    }

    /// What went out of the request so far, and whether its receipt has confirmed it.
    pub(super) fn sent(&mut self, sent: &SentState, confirmed: bool) {
        self.request_bytes = sent.totals.map_or(0, |(_, len)| len);
        if confirmed {
            self.digest = sent.whole.map(|receipt| receipt.digest);
        }
    }

    /// The call failed.
    pub(super) fn failed(&mut self, kind: &CallErrorKind) {
        use CallErrorKind as Kind;
        match kind {
            // The callee's own refusal; or the application's own request.
            Kind::NotAdmitted | Kind::Refused(_) | Kind::Request(_) | Kind::Body(_) => {}
            Kind::Restricted => self.restricted = true,
            _ => self.astray = true,
        }
    }

    /// The answer's body failed after so many bytes.
    pub(super) fn body_failed(&mut self, error: &DeliveryError) {
        self.response_bytes = error.got();
        match error.kind().verdict().fault {
            Fault::Nobody => {}
            // The callee's own word, with proof.
            Fault::Sender => self.aborted = true,
            Fault::Path | Fault::Mistake | Fault::Tampered => self.astray = true,
        }
    }

    /// The request has not been confirmed, although it was sent.
    fn is_unconfirmed(&self) -> bool {
        match self.outcome {
            _ if self.is_given_up() => false,
            Some(Outcome::Failed(failure)) => failure != Failure::Aborted,
            // The caller dropped an answer that had come: what it did not wait for is not missing.
            Some(Outcome::Indeterminate(Unknown::Dropped)) => {
                self.exchange.is_some() && self.status.is_none()
            }
            Some(Outcome::Indeterminate(_)) => self.exchange.is_some(),
            _ => false,
        }
    }

    /// The application wanted no more of the call, and no deadline of its own had passed.
    fn is_given_up(&self) -> bool {
        self.outcome == Some(Outcome::Indeterminate(Unknown::Dropped))
            && self.limit.is_none_or(|limit| self.since.elapsed().as_millis() < limit.get().into())
    }

    /// The callee's instance, as it names itself, as far as it is known.
    fn instance(&self) -> Option<&str> {
        self.edge_instance().map(name_of)
    }

    /// The same, as its edge has it.
    pub(super) fn edge_instance(&self) -> Option<&str> {
        match self.callee.key() {
            EdgeKey::Callee { instance, .. } => Some(instance),
            _ => None,
        }
    }

    fn sent_entry(&self) -> Sent<'_> {
        let config = &self.shared.config;
        Sent {
            to: config.callee.as_str(),
            via: config.via.as_ref().map(SpiffeId::as_str),
            instance: self.instance(),
            method: Some(self.method.as_str()),
            route: self.route.as_ref().map(PathAndQuery::path),
            exchange: self.exchange.map(|(sid, seq)| Exchange { sid, seq, attempt: 0 }),
            outcome: self.outcome.unwrap_or(Outcome::Indeterminate(Unknown::Unproven)),
            status: self.status.map(|status| status.as_u16()),
            evidence: self.evidence,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            latency: self.latency.unwrap_or_default(),
            digest: self.digest,
        }
    }

    fn measure(&self) {
        let unanswered = matches!(self.outcome, Some(Outcome::Indeterminate(_)));
        let unanswered = unanswered && self.status.is_none() && !self.is_given_up();
        let astray = self.astray || unanswered;
        let by_answer = self.status.is_some_and(|s| blames_callee(s.as_u16(), self.code));
        let hop = self.shared.hop();
        let failed = by_answer || self.aborted || (astray && hop.is_none());
        let call = Measured {
            latency: self.latency,
            failed,
            unanswered: self.status.is_none() && !failed,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            receipt: self.exchange.is_some(),
        };
        // How long it took is the hop's word where there is one.
        self.callee.call(&Measured { latency: call.latency.filter(|_| hop.is_none()), ..call });
        if let Some(hop) = hop {
            hop.call(&Measured { failed: astray, ..call });
        }
        if self.is_unconfirmed() {
            hop.unwrap_or(&self.callee).receipts_missing(1);
        }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        // Our own doing is not measured.
        if !self.restricted {
            self.measure();
        }
        self.shared.mesh.record(|| Entry::Sent(self.sent_entry()));
    }
}
