//! The end of an exchange at its receiver: measured, charged to whom it can be, written down.

use meshguard_core::Reason;
use meshguard_core::baseline::EdgeKey;
use meshguard_core::delivery::{Fault, ReceiptStatus};
use meshguard_core::ledger::{End, Entry, Received};
use meshguard_core::reflex::Signal;

use super::exchange::{Exchange, Proven};
use super::observed::Fate;
use crate::clock::{reached, steady};
use crate::decision::Decision;
use crate::error::DeliveryError;
use crate::mesh::Mesh;
use crate::observe::Measured;
use crate::session::ServerSession;
use crate::sink::Direction;

impl Exchange {
    /// Measures the exchange. Whom a failure counts against is its [verdict](Fault).
    pub(super) fn measure(&self) {
        let caller = match &self.proven {
            Some(proven) => &proven.session.caller,
            None => self.connection.caller(&self.mesh.0.gate.edges),
        };
        match self.observed.fate() {
            Fate::Uncounted | Fate::Asked | Fate::Restricted | Fate::Unclear => return,
            Fate::Refused => return caller.refused(),
            Fate::LetIn => {}
        }
        let fault = self.failure.get().map(|error| error.kind().verdict().fault);
        let direct = self.via.is_none();
        let of_caller = match fault {
            // An application answers what a hop may have put into the head, too.
            None => direct && self.observed.blames_caller(),
            Some(Fault::Sender) => true,
            Some(Fault::Mistake | Fault::Tampered) => direct,
            Some(Fault::Nobody | Fault::Path) => false,
        };
        let (_, response_bytes) = self.observed.bytes();
        let call = Measured {
            latency: self.observed.latency(),
            failed: of_caller,
            unanswered: false,
            request_bytes: self.request_bytes(),
            response_bytes,
            receipt: self.proven.is_some(),
        };
        // How long a request took to come is the hop's doing where there is one.
        caller.call(&Measured { latency: call.latency.filter(|_| direct), ..call });
        if !direct {
            // A caller that gives a request up has its hop break it off: the caller alone can tell
            // that from what the hop does by itself, and measures that.
            let given_up = self.failure.get().is_some_and(DeliveryError::is_broken_off);
            let astray =
                !given_up && matches!(fault, Some(Fault::Path | Fault::Mistake | Fault::Tampered));
            self.connection.hop(&self.mesh.0.gate.edges).call(&Measured { failed: astray, ..call });
        }
    }
}

impl Exchange {
    /// Shows what has come, all of it and answered well, to whoever expects it.
    pub(super) fn has_come(&self) {
        let expectations = &self.mesh.0.expectations;
        let Some(decision) = self.observed.decision().filter(|_| !expectations.is_empty()) else {
            return;
        };
        let proven = self.proven.as_ref();
        let whole = proven.is_none_or(|p| p.receipt().is_some_and(|r| r.status.is_whole()));
        let done = self.observed.fate() == Fate::LetIn && self.observed.went_well();
        if whole && done && self.failure.get().is_none() {
            // By the policy that let it in, nothing that it reads was left out.
            if let Some(access) = self.access(decision.policy(), reached()) {
                expectations.came(&access);
            }
        }
    }

    /// On a direct connection, nobody but the caller itself can have tampered with a proven body.
    pub(super) fn accuse(&self, error: &DeliveryError) {
        if error.kind().verdict().fault != Fault::Tampered || self.via.is_some() {
            return;
        }
        if let Some(proven) = &self.proven {
            self.mesh.tampered(&proven.session, &error.to_string());
        }
    }

    /// Writes the exchange down.
    pub(super) fn write_down(&self) {
        if self.observed.is_written_down() {
            self.mesh.record(|| Entry::Received(self.received()));
        }
    }

    /// Bytes of its body that have come.
    fn request_bytes(&self) -> u64 {
        let (came, _) = self.observed.bytes();
        self.proven.as_ref().map_or(0, Proven::bytes).max(came)
    }

    fn received(&self) -> Received<'_> {
        let receipt = self.proven.as_ref().map(|proven| (proven, proven.receipt()));
        let decision = self.observed.decision();
        let (_, response_bytes) = self.observed.bytes();
        let rule = decision.and_then(|decision| match decision.reason() {
            Reason::Rule(rule) => Some(rule),
            _ => None,
        });
        Received {
            from: Some(self.principal.id().as_str()),
            via: self.via.as_ref().map(|hop| hop.id().as_str()),
            route: decision.and_then(Decision::route),
            rule,
            exchange: receipt.map(|(proven, _)| proven.exchange()),
            status: self.observed.status(),
            evidence: self.evidence,
            end: match receipt {
                None => End::Plain,
                Some((_, None)) => End::Unread,
                Some((_, Some(receipt))) => end(receipt.status),
            },
            request_bytes: self.request_bytes(),
            response_bytes,
            latency: self.observed.latency().unwrap_or_default(),
            // Of less than the whole, nobody else knows one.
            digest: receipt.and_then(|(_, r)| r).filter(|r| r.status.is_whole()).map(|r| r.digest),
            failure: self.failure.get().map(|error| error.kind().as_str()),
        }
    }
}

impl Mesh {
    /// On a direct connection something was wrong that no honest peer could have sent. The peer
    /// has the session's keys: it is a bug more often than an attack. The first ends its session;
    /// three such sessions within ten minutes are forged.
    pub(super) fn tampered(&self, session: &ServerSession, detail: &str) {
        if self.sessions().end(&session.sid) {
            let edge = session.edge(self.id());
            self.found(Direction::Inbound, edge, "session-ended", &detail);
        }
        let caller = session.peer.id();
        if self.0.forgeries().notice(caller, session.sid, steady()) {
            self.signal(&EdgeKey::Caller(caller.clone()), Signal::Forged, detail);
        }
    }
}

fn end(status: ReceiptStatus) -> End {
    match status {
        ReceiptStatus::Consumed => End::Consumed,
        ReceiptStatus::Received => End::Received,
        ReceiptStatus::Partial => End::Partial,
        ReceiptStatus::Bad => End::Bad,
    }
}
