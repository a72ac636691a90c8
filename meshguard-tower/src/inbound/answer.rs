//! Answers, proved: the receipt of the request, and a body that its caller can verify.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use meshguard_core::delivery::base::ResponseHead;
use meshguard_core::delivery::field::{self, Body, Rcpt, ResponseField, put_proof};
use meshguard_core::delivery::{Encoder, MAX_RECORD, Receipt, ReceiptStatus, context, grpc, known};
use tokio::time::{Instant, Sleep, sleep_until};

use super::admit::Asks;
use super::ending::{Part, Running};
use super::exchange::{Exchange, Proven};
use super::{ResponseBody, strip, with_scratch};
use crate::aead::AWS_LC;
use crate::body::{
    Eager, Framing, OutHook, Outgoing, eager, is_grpc_answer, mark_records, may_exceed,
};
use crate::clock::steady;
use crate::connection::Protocol;
use crate::error::{BoxError, DeliveryError, DeliveryErrorKind};
use crate::head::{keep_answer, settle_answer, take_length};
use crate::session::{SESSION, ServerSession};
use crate::sink::Direction;

/// An answer that may have no body waits so long for the end of a request that its application
/// does not read: there is no FIN to state a receipt.
pub(crate) const SETTLE_TIME: Duration = Duration::from_millis(100);

const WRONG_LENGTH: &str = "the answer's content-length is not its body's length";

/// What became of a response.
pub(super) enum Protected<R> {
    Ready(Response<ResponseBody<R>>),
    /// It may have no body, and must wait for the request's end to state a receipt.
    Settle(Parts),
    /// Its head says something else than its body.
    Wrong(&'static str),
}

/// Proves an answer to a request that asks so; at `deadline` the body is ended.
pub(super) fn protect<R>(
    exchange: &Arc<Exchange>,
    proven: &Proven,
    asks: Asks,
    deadline: Option<Instant>,
    response: Response<R>,
    cx: &mut Context<'_>,
) -> Protected<R>
where
    R: http_body::Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    let (mut parts, mut body) = response.into_parts();
    strip(&mut parts.headers);
    settle_answer(&mut parts.headers, parts.status, exchange.connection.protocol() == Protocol::H1);
    let now = proven.rcpt_now();
    if asks.head || bodyless(parts.status) {
        let Some(rcpt) = now else { return Protected::Settle(parts) };
        return Protected::Ready(without_body(exchange, parts, &rcpt));
    }
    let stated = match take_length(&mut parts.headers) {
        Ok(stated) => stated,
        Err(why) => return Protected::Wrong(why),
    };
    let exact = body.size_hint().exact();
    let differs = |length: Option<u64>| stated.zip(length).is_some_and(|(stated, is)| stated != is);
    if differs(exact) {
        return Protected::Wrong(WRONG_LENGTH);
    }
    let sealed = proven.session.keys.suite().is_sealed();
    let grpc = is_grpc_answer(asks.grpc, &parts.headers);
    let (first, end, inner) = match (now, sealed) {
        (Some(rcpt), _) if body.is_end_stream() => {
            return Protected::Ready(without_body(exchange, parts, &rcpt));
        }
        (Some(rcpt), false) => match eager(&mut body, cx) {
            Eager::All(data, _) if differs(Some(data.len() as u64)) => {
                return Protected::Wrong(WRONG_LENGTH);
            }
            Eager::All(data, trailers) if grpc && may_exceed(&data, proven.session.message) => {
                ([data].into(), trailers.map(Ok), None)
            }
            Eager::All(data, None) if data.is_empty() => {
                return Protected::Ready(without_body(exchange, parts, &rcpt));
            }
            Eager::All(data, trailers) => {
                return Protected::Ready(with_known(exchange, parts, &rcpt, data, trailers));
            }
            Eager::Some(first, end) => (first, end.map(|e| e.map_err(Into::into)), Some(body)),
        },
        _ => (Default::default(), None, Some(body)),
    };
    let rcpt = now.unwrap_or(Rcpt::Later);
    mark_records(&mut parts.headers, sealed, grpc);
    let size = stated.or(exact).filter(|_| !grpc);
    let framing = framing(&proven.session, grpc);
    let mut response = Response::from_parts(parts, ());
    let Some(context) = prove(exchange, &mut response, &Body::Records(size), &rcpt, false) else {
        return Protected::Ready(response.map(|()| Outgoing::empty()));
    };
    let keys = &proven.session.keys;
    let encoder = Encoder::new(keys.suite(), &keys.response_body, &context, &AWS_LC);
    let hook = AnswerHook::new(exchange, rcpt == Rcpt::Later, deadline);
    let body = Outgoing::records(encoder, framing, first, inner, end, hook).sized(size);
    Protected::Ready(response.map(|()| body))
}

/// An answer that was waiting for its request's end.
pub(super) fn settle<R>(
    exchange: &Arc<Exchange>,
    parts: Parts,
    receipt: &Receipt,
    proven: &Proven,
) -> Response<ResponseBody<R>> {
    proven.set_receipt(*receipt);
    let rcpt = proven.rcpt_now().unwrap_or(Rcpt::short(ReceiptStatus::Partial, 0, 0));
    without_body(exchange, parts, &rcpt)
}

/// Puts the `meshguard` field into a response's head; returns what its records are keyed by.
/// `None` where there are none, and where the exchange is not proven and nothing was done.
pub(super) fn prove(
    exchange: &Exchange,
    response: &mut Response<()>,
    body: &Body,
    rcpt: &Rcpt,
    dup: bool,
) -> Option<[u8; 32]> {
    let proven = exchange.proven.as_ref()?;
    let (value, context) = with_scratch(|s| {
        ResponseField::write(&mut s.field, proven.claim.seq, body, rcpt, dup);
        let head = ResponseHead {
            status: response.status(),
            headers: response.headers(),
            request: &proven.proof,
        };
        let cover = &proven.session.answer_cover;
        head.write(cover, &s.field, &mut s.base);
        put_proof(&mut s.field, &proven.session.keys.response_head.prove(&s.base));
        let context = matches!(body, Body::Records(_)).then(|| context(&s.base));
        keep_answer(response.extensions_mut(), &s.base, cover, &proven.proof);
        (HeaderValue::from_bytes(&s.field), context)
    });
    let hint = match proven.session.is_retiring() {
        true => Some("renew"),
        false => exchange.mesh.health().is_draining().then_some("drain"),
    };
    if let Some(hint) = hint {
        response.headers_mut().insert(SESSION, HeaderValue::from_static(hint));
    }
    // The field's text is ASCII throughout.
    let mut value = value.ok()?;
    value.set_sensitive(true); // never repeats: not for HPACK's table
    response.headers_mut().insert(field::NAME, value);
    context
}

fn bodyless(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

fn framing(session: &ServerSession, grpc: bool) -> Framing {
    if grpc {
        Framing::Grpc { splitter: grpc::Splitter::new(session.message), batch: session.batch }
    } else {
        Framing::Http(session.record.min(MAX_RECORD))
    }
}

fn without_body<R>(exchange: &Exchange, parts: Parts, rcpt: &Rcpt) -> Response<ResponseBody<R>> {
    let mut response = Response::from_parts(parts, ());
    prove(exchange, &mut response, &Body::None, rcpt, false);
    answered(exchange, 0, known::empty());
    response.map(|()| Outgoing::empty())
}

fn with_known<R>(
    exchange: &Exchange,
    mut parts: Parts,
    rcpt: &Rcpt,
    data: Bytes,
    trailers: Option<HeaderMap>,
) -> Response<ResponseBody<R>> {
    let digest = known::digest(&data, trailers.as_ref());
    if let Some(trailers) = &trailers {
        exchange.observed.trailers(trailers);
        // HTTP/1.1 carries them behind chunks only.
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    let mut response = Response::from_parts(parts, ());
    prove(exchange, &mut response, &Body::Known(digest), rcpt, false);
    answered(exchange, data.len(), digest);
    response.map(|()| Outgoing::known(data, trailers))
}

/// The answer is complete with its head: its receipt is awaited.
pub(super) fn answered(exchange: &Exchange, len: usize, digest: [u8; 32]) {
    exchange.observed.response_bytes(len as u64);
    if let Some(proven) = exchange.proven.as_ref().filter(|p| p.is_claimed()) {
        let att = proven.claim.att;
        let receipt = Receipt::known(ReceiptStatus::Consumed, att, len as u64, digest);
        proven.session.receiver().answered(proven.claim, receipt, steady());
    }
}

/// An error of this service's answer, not of the request.
struct Of<'a>(&'a DeliveryError);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer: {}", self.0)
    }
}

/// An answer's body tells its exchange how it ended, and carries the request's receipt.
pub struct AnswerHook {
    running: Running,
    later: bool,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl AnswerHook {
    pub(super) fn new(exchange: &Arc<Exchange>, later: bool, deadline: Option<Instant>) -> Self {
        let deadline = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        Self { running: Running::new(exchange, Part::Answer), later, deadline }
    }
}

impl OutHook for AnswerHook {
    fn receipt(&mut self) -> Option<Receipt> {
        let proven = self.running.exchange().proven.as_ref();
        proven.filter(|_| self.later).map(Proven::give_up)
    }

    fn finished(&mut self, encoder: &Encoder, trailers: Option<&HeaderMap>) {
        let exchange = self.running.exchange();
        let observed = &exchange.observed;
        observed.response_bytes(encoder.totals().1);
        if let Some(trailers) = trailers {
            observed.trailers(trailers);
        }
        if let Some(proven) = &exchange.proven {
            let receipt = encoder.receipt(ReceiptStatus::Consumed, proven.claim.att);
            proven.session.receiver().answered(proven.claim, receipt, steady());
        }
    }

    fn broken(&mut self, error: &DeliveryError) {
        // What was withdrawn was told.
        if error.kind() != DeliveryErrorKind::Withdrawn {
            let exchange = self.running.exchange();
            let name = error.kind().as_str();
            exchange.mesh.found(Direction::Inbound, exchange.edge(), name, &Of(error));
        }
    }

    fn is_answer(&self) -> bool {
        true
    }

    fn aborted(&mut self, encoder: &Encoder) {
        // The caller learns it from FIN; there is no receipt to await.
        self.running.exchange().observed.response_bytes(encoder.totals().1);
    }

    fn is_ended(&self) -> bool {
        self.running.is_ended()
    }

    fn poll_ended(&mut self, cx: &Context<'_>) -> bool {
        self.running.poll_ended(cx)
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
    }
}
