//! Answers of our own: what is refused, and how that is said.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use meshguard_core::delivery::ReceiptStatus;
use meshguard_core::delivery::field::{Body, Rcpt};
use meshguard_core::delivery::known;

use super::answer::{answered, prove};
use super::denied::Challenge;
use super::exchange::Exchange;
use crate::body::status_trailers;
use crate::decision::DecisionId;
use crate::error::DeliveryError;
use crate::session::SESSION;

/// The header that names the decision behind a refusal.
pub(crate) const DECISION: &str = "meshguard-decision";
/// The header that hands out a nonce (RFC 9449 §8.2).
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// An answer of our own. Says no more to the caller than the decision's number.
pub(super) struct Refused {
    status: StatusCode,
    text: &'static str,
    /// `None` where nothing is refused.
    decision: Option<DecisionId>,
    retry_after: Option<u64>,
    renew: bool,
    grpc: bool,
    /// To a HEAD, whose answer has no body.
    head: bool,
    proven: Option<Box<Proved>>,
    challenge: Option<Box<Challenge>>,
}

/// What is proved of an answer of our own.
struct Proved {
    exchange: Arc<Exchange>,
    /// `None`: what came of the request by the time when it is answered.
    rcpt: Option<Rcpt>,
    dup: bool,
}

impl Refused {
    /// By the decision of this number, which [`Asked`](super::denied::Asked) gives.
    pub(super) fn by(decision: DecisionId, status: StatusCode, text: &'static str) -> Self {
        Self { decision: Some(decision), ..Self::done(status, text) }
    }

    /// The whole answer to one of the protocol's own requests that was taken.
    pub(super) fn taken() -> Self {
        Self::done(StatusCode::NO_CONTENT, "")
    }

    /// The answer to one of the protocol's own requests that was cut: nobody's fault.
    pub(super) fn cut() -> Self {
        Self::done(StatusCode::REQUEST_TIMEOUT, "")
    }

    fn done(status: StatusCode, text: &'static str) -> Self {
        Self {
            status,
            text,
            decision: None,
            retry_after: None,
            renew: false,
            grpc: false,
            head: false,
            proven: None,
            challenge: None,
        }
    }

    /// Asks for another session. A hint: anyone could have made it.
    pub(super) fn renew(mut self) -> Self {
        self.renew = true;
        self
    }

    /// After so many seconds another try may pass (RFC 9110 §10.2.3).
    pub(super) fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.retry_after = seconds;
        self
    }

    pub(super) fn decision(&self) -> Option<DecisionId> {
        self.decision
    }

    /// Tells its caller what it has to know to do better.
    pub(super) fn challenging(mut self, challenge: Option<Box<Challenge>>) -> Self {
        self.challenge = challenge;
        self
    }

    pub(super) fn grpc(mut self, grpc: bool) -> Self {
        self.grpc = grpc;
        self
    }

    pub(super) fn head(mut self, head: bool) -> Self {
        self.head = head;
        self
    }

    /// Proves the answer to a request whose own proof held, and of which nothing was read.
    pub(super) fn proven(self, exchange: Arc<Exchange>) -> Self {
        self.stating(exchange, Rcpt::short(ReceiptStatus::Partial, 0, 0), false)
    }

    /// As [`proven`](Self::proven), with another receipt.
    pub(super) fn stating(mut self, exchange: Arc<Exchange>, rcpt: Rcpt, dup: bool) -> Self {
        self.proven = Some(Box::new(Proved { exchange, rcpt: Some(rcpt), dup }));
        self
    }

    /// To a request that the application was called with, and that was given up: the receipt
    /// states what came of it. Plain where it was not proven.
    pub(super) fn given_up(mut self, exchange: Arc<Exchange>) -> Self {
        if exchange.proven.is_some() {
            self.proven = Some(Box::new(Proved { exchange, rcpt: None, dup: false }));
        } else {
            exchange.observed.refused_with(self.status);
        }
        self
    }

    pub(super) fn into_response(self) -> (Response<()>, Bytes) {
        let mut response = Response::new(());
        let headers = response.headers_mut();
        if let Some(id) = self.decision {
            headers.insert(DECISION, id.header());
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            let Challenge { authenticate, nonce } = *challenge;
            let named = [(header::WWW_AUTHENTICATE, authenticate), (DPOP_NONCE, nonce)];
            headers.extend(named.into_iter().filter_map(|(name, value)| Some((name, value?))));
        }
        // A proven answer has no body, and so a number rather than words.
        let text = if self.proven.is_some() || self.grpc || self.head { "" } else { self.text };
        if self.grpc {
            trailers_only(headers, self.status, self.text);
        } else {
            *response.status_mut() = self.status;
        }
        if self.renew {
            let headers = response.headers_mut();
            headers.insert(SESSION, HeaderValue::from_static("renew"));
        }
        if !text.is_empty() {
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, plain);
        }
        if let Some(proven) = self.proven {
            let Proved { exchange, rcpt, dup } = *proven;
            let rcpt = rcpt.unwrap_or_else(|| given_up(&exchange));
            exchange.observed.refused_with(self.status);
            prove(&exchange, &mut response, &Body::None, &rcpt, dup);
            answered(&exchange, 0, known::empty());
        }
        (response, Bytes::from_static(text.as_bytes()))
    }
}

/// What had come of a request by the time when it was given up.
fn given_up(exchange: &Exchange) -> Rcpt {
    let stated = exchange.proven.as_ref().and_then(|proven| {
        proven.give_up();
        proven.rcpt_now()
    });
    stated.unwrap_or(Rcpt::short(ReceiptStatus::Partial, 0, 0))
}

/// An application that fails because its request's body was above a limit says so only in its own
/// way: the status of gRPC names the limit.
pub(super) fn say_limit(headers: &mut HeaderMap, failure: &DeliveryError) {
    let failed = headers.get("grpc-status").is_some_and(|code| code != "0");
    if failed && let Some(status) = status_trailers(failure) {
        for name in status.keys() {
            headers.remove(name);
        }
        headers.extend(status);
    }
}

/// gRPC's way: 200, and the status in the head (gRPC over HTTP/2, "Trailers-Only").
pub(super) fn trailers_only(headers: &mut HeaderMap, status: StatusCode, text: &'static str) {
    let code = grpc_code(status);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(code));
    if let Ok(text) = HeaderValue::from_str(text) {
        headers.insert("grpc-message", text);
    }
}

/// The code of gRPC that stands for a status of HTTP.
pub(crate) fn grpc_code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "3", // INVALID_ARGUMENT
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => "4", // DEADLINE_EXCEEDED
        StatusCode::FORBIDDEN => "7",   // PERMISSION_DENIED
        StatusCode::CONFLICT => "10",   // ABORTED
        StatusCode::TOO_MANY_REQUESTS => "8", // RESOURCE_EXHAUSTED
        StatusCode::PAYLOAD_TOO_LARGE => "8",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "9", // FAILED_PRECONDITION
        StatusCode::UNPROCESSABLE_ENTITY => "3",
        StatusCode::UNAUTHORIZED => "16",        // UNAUTHENTICATED
        StatusCode::SERVICE_UNAVAILABLE => "14", // UNAVAILABLE
        StatusCode::INTERNAL_SERVER_ERROR => "13", // INTERNAL
        _ => "2",                                // UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use meshguard_core::delivery::RecordErrorKind;

    use super::*;
    use crate::DeliveryErrorKind;

    const TOO_LARGE: DeliveryErrorKind = DeliveryErrorKind::Records(RecordErrorKind::TooLarge);

    /// What a handler answers on its own account, with this status of gRPC.
    fn own(code: &str) -> HeaderMap {
        let fields = [("grpc-status", code), ("grpc-message", "it broke"), ("x-own", "kept")];
        fields
            .into_iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn a_body_above_a_limit_is_the_status_of_a_handler_that_failed() {
        let large = DeliveryError::new(TOO_LARGE, 3, None);
        let mut failed = own("13");
        say_limit(&mut failed, &large);
        assert_eq!(failed["grpc-status"], "8");
        assert_eq!(failed["grpc-message"].to_str().unwrap(), large.to_string());
        assert_eq!(failed["x-own"], "kept");
        assert_eq!(failed.len(), 3);
    }

    #[test]
    fn what_is_no_limit_or_no_failure_stays_the_handlers_own() {
        let large = DeliveryError::new(TOO_LARGE, 3, None);
        let cut = DeliveryError::new(DeliveryErrorKind::Short, 3, None);
        for (code, failure) in [("0", &large), ("13", &cut)] {
            let mut answer = own(code);
            say_limit(&mut answer, failure);
            assert_eq!(answer, own(code), "{code} {failure}");
        }
    }
}
