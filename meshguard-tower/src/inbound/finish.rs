//! The end of an exchange at its receiver: measured, charged to whom it can be, written down.

use meshguard_core::Reason;
use meshguard_core::baseline::EdgeKey;
use meshguard_core::delivery::{ReceiptStatus, RecordErrorKind};
use meshguard_core::ledger::{End, Entry, Received};
use meshguard_core::reflex::Signal;

use super::exchange::Exchange;
use super::observed::Fate;
use crate::decision::Decision;
use crate::error::{DeliveryError, DeliveryErrorKind};
use crate::observe::Measured;
use crate::tls::now;

/// Who may have made a body fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Culprit {
    /// This side.
    Own,
    /// The caller: it says so itself, with proof.
    Caller,
    /// Whoever can end a connection.
    Cut,
    /// Whoever can change what is on its way: on a direct connection nobody but the caller.
    Forger,
}

impl Exchange {
    /// Measures the exchange. A failure counts against the caller only where it is the caller's
    /// own, with proof; through a hop, anything else counts against the hop, and a connection
    /// that was cut against nobody else.
    pub(super) fn measure(&self) {
        let caller = match &self.proven {
            Some(proven) => &proven.session.caller,
            None => self.connection.caller(&self.mesh.0.gate.edges),
        };
        match self.observed.fate() {
            Fate::Uncounted | Fate::Asked | Fate::Restricted => return,
            Fate::Refused => return caller.refused(),
            Fate::LetIn => {}
        }
        let culprit = self.failure.get().map(|error| culprit(error.kind()));
        let direct = self.via.is_none();
        let of_caller = match culprit {
            None => self.observed.blames_caller(),
            Some(Culprit::Caller) => true,
            Some(Culprit::Forger) => direct,
            Some(Culprit::Own | Culprit::Cut) => false,
        };
        let (request_bytes, response_bytes) = self.observed.bytes();
        let call = Measured {
            latency: self.observed.latency(),
            failed: of_caller,
            request_bytes,
            response_bytes,
            receipt: self.proven.is_some(),
        };
        caller.call(&call);
        if !direct {
            let astray = matches!(culprit, Some(Culprit::Cut | Culprit::Forger));
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
            if let Some(access) = self.access(decision.policy(), now()) {
                expectations.came(&access);
            }
        }
    }

    /// On a direct connection, nobody but the caller itself can have made a proven body another.
    pub(super) fn accuse(&self, error: &DeliveryError) {
        let forged = culprit(error.kind()) == Culprit::Forger;
        if forged && self.via.is_none() && self.proven.is_some() {
            let caller = EdgeKey::Caller(self.principal.id().clone());
            self.mesh.signal(&caller, Signal::Forged, &error.to_string());
        }
    }

    /// Writes the exchange down.
    pub(super) fn write_down(&self) {
        if self.observed.fate() != Fate::Uncounted {
            self.mesh.record(|| Entry::Received(self.received()));
        }
    }

    fn received(&self) -> Received<'_> {
        let receipt = self.proven.as_ref().map(|proven| (proven, proven.receipt()));
        let decision = self.observed.decision();
        let (request_bytes, response_bytes) = self.observed.bytes();
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
            request_bytes: receipt.and_then(|(_, r)| r).map_or(request_bytes, |r| r.len),
            response_bytes,
            latency: self.observed.latency().unwrap_or_default(),
            digest: receipt.and_then(|(_, r)| r).map(|r| r.digest),
            failure: self.failure.get().map(|error| error.kind().as_str()),
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

fn culprit(kind: DeliveryErrorKind) -> Culprit {
    use DeliveryErrorKind as Kind;
    use RecordErrorKind as Record;
    match kind {
        Kind::Timeout | Kind::Withdrawn | Kind::NoReceipt => Culprit::Own,
        Kind::Records(Record::Aborted) => Culprit::Caller,
        Kind::Records(Record::Truncated) | Kind::Short | Kind::Transport => Culprit::Cut,
        _ => Culprit::Forger,
    }
}
