//! What an exchange is measured by, once it has ended.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};

use crate::decision::Decision;
use crate::observe::grpc_code;

/// No gRPC status is known.
const NO_CODE: u8 = u8::MAX;

/// What is noted of a request while it is under way, by whoever learns it.
pub(super) struct Observed {
    since: Instant,
    fate: AtomicU8,
    status: AtomicU16,
    code: AtomicU8,
    /// Nanoseconds until the answer's head.
    latency: AtomicU64,
    /// Those that came: what a head states is its caller's word.
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    decision: OnceLock<Decision>,
    /// Whether its refusal was counted, and has no entry of its own in the ledger.
    counted: AtomicBool,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Fate {
    /// One of the protocol's own, or a repetition: it stands in no books.
    Uncounted,
    /// Nobody has decided yet.
    Asked,
    /// Policy refused it.
    Refused,
    /// The loop refused it.
    Restricted,
    /// It was let in.
    LetIn,
    /// Refused for what its caller or the hop that carried it has said: nobody's.
    Unclear,
}

impl Observed {
    pub(super) fn new(since: Instant, fate: Fate) -> Self {
        Self {
            since,
            fate: AtomicU8::new(fate as u8),
            status: AtomicU16::new(0),
            code: AtomicU8::new(NO_CODE),
            latency: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            decision: OnceLock::new(),
            counted: AtomicBool::new(false),
        }
    }

    /// It was let in.
    pub(super) fn let_in(&self, decision: Decision) {
        // A request is decided upon once.
        let _ = self.decision.set(decision);
        self.becomes(Fate::LetIn);
    }

    pub(super) fn becomes(&self, fate: Fate) {
        self.fate.store(fate as u8, Relaxed);
    }

    /// Its refusal was counted with others.
    pub(super) fn counted(&self) {
        self.counted.store(true, Relaxed);
    }

    /// Whether it stands in the books, and was not let in.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.fate(), Fate::Asked | Fate::Refused | Fate::Restricted | Fate::Unclear)
    }

    /// Whether the ledger is to have an entry of it. One that was let in has, whatever ended it.
    pub(super) fn is_written_down(&self) -> bool {
        match self.fate() {
            Fate::Uncounted => false,
            Fate::LetIn => true,
            Fate::Asked | Fate::Refused | Fate::Restricted | Fate::Unclear => {
                !self.counted.load(Relaxed)
            }
        }
    }

    /// The answer has a head.
    pub(super) fn answered(&self, status: StatusCode, headers: &HeaderMap) -> Duration {
        let latency = self.since.elapsed();
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency.store(nanos.max(1), Relaxed);
        self.status.store(status.as_u16(), Relaxed);
        self.trailers(headers);
        latency
    }

    /// It is answered by the layer itself.
    pub(super) fn refused_with(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Relaxed);
    }

    /// Trailers, or a head that stands for them, may say how a gRPC call ended.
    pub(super) fn trailers(&self, headers: &HeaderMap) {
        if let Some(code) = grpc_code(headers) {
            self.code.store(code, Relaxed);
        }
    }

    pub(super) fn request_bytes(&self, bytes: u64) {
        self.request_bytes.store(bytes, Relaxed);
    }

    pub(super) fn response_bytes(&self, bytes: u64) {
        self.response_bytes.store(bytes, Relaxed);
    }

    pub(super) fn fate(&self) -> Fate {
        match self.fate.load(Relaxed) {
            1 => Fate::Asked,
            2 => Fate::Refused,
            3 => Fate::Restricted,
            4 => Fate::LetIn,
            5 => Fate::Unclear,
            _ => Fate::Uncounted,
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        Some(self.status.load(Relaxed)).filter(|status| *status != 0)
    }

    /// Until the answer's head, where there was one.
    pub(super) fn latency(&self) -> Option<Duration> {
        let nanos = self.latency.load(Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.request_bytes.load(Relaxed), self.response_bytes.load(Relaxed))
    }

    pub(super) fn decision(&self) -> Option<&Decision> {
        self.decision.get()
    }

    /// Whether the answer says that it was done what was asked.
    pub(super) fn went_well(&self) -> bool {
        let status = self.status.load(Relaxed);
        matches!(self.code.load(Relaxed), 0 | NO_CODE) && (200..400).contains(&status)
    }

    /// Whether the answer blames its caller: for what it asked, not for being refused.
    pub(super) fn blames_caller(&self) -> bool {
        match (self.code.load(Relaxed), self.status.load(Relaxed)) {
            // INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, OUT_OF_RANGE,
            // UNIMPLEMENTED.
            (3 | 5 | 6 | 9 | 11 | 12, _) => true,
            (NO_CODE, 401 | 403 | 407 | 429) => false,
            (NO_CODE, status) => (400..500).contains(&status),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(status: u16, code: Option<&'static str>) -> bool {
        let observed = Observed::new(Instant::now(), Fate::LetIn);
        let mut headers = HeaderMap::new();
        if let Some(code) = code {
            headers.insert("grpc-status", http::HeaderValue::from_static(code));
        }
        observed.answered(StatusCode::from_u16(status).unwrap(), &headers);
        observed.blames_caller()
    }

    #[test]
    fn a_caller_is_to_blame_for_what_it_asked_and_not_for_being_refused() {
        for status in [400, 404, 409, 415, 422] {
            assert!(blamed(status, None), "{status}");
        }
        for status in [200, 302, 401, 403, 429, 500, 502, 503] {
            assert!(!blamed(status, None), "{status}");
        }
        assert!(blamed(200, Some("3")) && blamed(200, Some("5")));
        for code in ["0", "1", "2", "4", "7", "8", "13", "14", "16"] {
            assert!(!blamed(200, Some(code)), "{code}");
        }
    }
}
