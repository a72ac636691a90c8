//! A request on its way: what stands in its head, what was sent of its body.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use meshguard_core::delivery::base::RequestHead;
use meshguard_core::delivery::field::{self, Body, RequestField, put_proof};
use meshguard_core::delivery::grpc::Splitter;
use meshguard_core::delivery::{
    Admission, Encoder, Failure, Outcome, Proof, Receipt, ReceiptStatus, Ticket, context, known,
};

use super::untouched::Untouched;
use super::{CallError, CallErrorKind, WireBody};
use crate::aead::AWS_LC;
use crate::body::{
    Eager, Framing, OutHook, Outgoing, eager, is_grpc_call, mark_records, may_exceed,
};
use crate::error::{BoxError, DeliveryError};
use crate::head::{keep_request, take_length};
use crate::inbound::with_scratch;
use crate::session::ClientSession;

/// A body, as far as it is known before the head is made.
pub(super) enum Source {
    /// All of it: it can be sent again.
    Known(Bytes, Option<HeaderMap>),
    /// The beginning of more.
    Stream {
        first: VecDeque<Bytes>,
        end: Option<Result<HeaderMap, DeliveryError>>,
        rest: Untouched,
        /// How long all of it is, where that is known.
        size: Option<u64>,
    },
}

impl Source {
    /// Polls a body without waiting.
    pub(super) async fn of<B>(mut body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let size = body.size_hint().exact();
        let found = std::future::poll_fn(|cx| Poll::Ready(eager(&mut body, cx))).await;
        match found {
            Eager::All(data, trailers) => Self::Known(data, trailers),
            Eager::Some(first, end) => {
                let passed = |e: B::Error| DeliveryError::own(&*Into::<BoxError>::into(e));
                let end = end.map(|e| e.map_err(passed));
                let rest = Untouched::new(body.map_err(passed).boxed_unsync());
                Self::Stream { first, end, rest, size }
            }
        }
    }

    /// Held against the length that its head states; a stream is held to it as it goes.
    pub(super) fn stating(mut self, headers: &mut HeaderMap) -> Result<Self, &'static str> {
        let Some(stated) = take_length(headers)? else { return Ok(self) };
        let known = match &mut self {
            Self::Known(data, _) => Some(data.len() as u64),
            Self::Stream { size, .. } => size.replace(stated),
        };
        match known {
            Some(known) if known != stated => Err("its content-length is not its body's length"),
            _ => Ok(self),
        }
    }

    /// What the head proves of a body that goes as records. gRPC states no length.
    fn size(&self, grpc: bool) -> Option<u64> {
        match self {
            _ if grpc => None,
            Self::Known(data, _) => Some(data.len() as u64),
            Self::Stream { size, .. } => *size,
        }
    }

    /// The same again, to be [claimed](Self::claim) before it is sent.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Known(data, trailers) => Self::Known(data.clone(), trailers.clone()),
            Self::Stream { first, end, rest, size } => {
                let (first, end) = (first.clone(), end.clone());
                Self::Stream { first, end, rest: rest.again(), size: *size }
            }
        }
    }

    /// All of it, if nothing that comes from the application was sent before.
    pub(super) fn claim(self) -> Option<Self> {
        match self {
            Self::Stream { first, end, rest, size } => {
                Some(Self::Stream { first, end, rest: rest.claim()?, size })
            }
            known => Some(known),
        }
    }

    /// Whether more of it comes from the application while it is sent.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }

    /// As it is, where the edge's delivery is off.
    pub(super) fn plain(self) -> WireBody {
        match self {
            Self::Known(data, None) if data.is_empty() => Outgoing::empty(),
            Self::Known(data, trailers) => Outgoing::known(data, trailers),
            Self::Stream { first, end, rest, .. } => Outgoing::plain(replay(first, end, rest)),
        }
    }
}

/// What was polled, and then the rest.
fn replay(
    first: VecDeque<Bytes>,
    end: Option<Result<HeaderMap, DeliveryError>>,
    rest: Untouched,
) -> Untouched {
    Untouched::new(Replay { first, end, rest: Some(rest) }.boxed_unsync())
}

struct Replay {
    first: VecDeque<Bytes>,
    end: Option<Result<HeaderMap, DeliveryError>>,
    rest: Option<Untouched>,
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = DeliveryError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, DeliveryError>>> {
        if let Some(data) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(data))));
        }
        if let Some(end) = self.end.take() {
            self.rest = None;
            return Poll::Ready(Some(end.map(http_body::Frame::trailers)));
        }
        match &mut self.rest {
            Some(rest) => std::pin::Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty()
            && self.end.is_none()
            && self.rest.as_ref().is_none_or(http_body::Body::is_end_stream)
    }
}

/// What was sent of a request's body, as its receipt must state it.
#[derive(Clone, Default)]
pub(super) struct Sent(Arc<Mutex<Sending>>);

#[derive(Default)]
struct Sending {
    state: SentState,
    /// Why the body broke off on this side.
    broken: Option<DeliveryError>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct SentState {
    /// Set once all of it is out.
    pub(super) whole: Option<Receipt>,
    /// The application's body failed.
    pub(super) aborted: bool,
    /// Records and bytes so far, where the body has ended.
    pub(super) totals: Option<(u64, u64)>,
}

impl Sent {
    pub(super) fn state(&self) -> SentState {
        self.lock().state
    }

    fn set(&self, state: SentState) {
        self.lock().state = state;
    }

    /// Why the body broke off on this side, if it did.
    pub(super) fn broken(&self) -> Option<DeliveryError> {
        self.lock().broken.clone()
    }

    /// How a call ends whose own body broke off.
    pub(super) fn own_failure(&self) -> Option<CallError> {
        let kind = CallErrorKind::Body(self.broken()?);
        Some(CallError::new(kind, Outcome::Failed(Failure::Aborted)))
    }

    fn lock(&self) -> MutexGuard<'_, Sending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's body tells what was sent of it.
pub(super) struct SendHook {
    sent: Sent,
    att: u8,
}

impl OutHook for SendHook {
    fn receipt(&mut self) -> Option<Receipt> {
        None
    }

    fn finished(&mut self, encoder: &Encoder, _: Option<&HeaderMap>) {
        let whole = Some(encoder.receipt(ReceiptStatus::Consumed, self.att));
        let totals = Some(encoder.totals());
        self.sent.set(SentState { whole, aborted: false, totals });
    }

    fn broken(&mut self, error: &DeliveryError) {
        self.sent.lock().broken.get_or_insert_with(|| error.clone());
    }

    fn aborted(&mut self, encoder: &Encoder) {
        let totals = Some(encoder.totals());
        self.sent.set(SentState { whole: None, aborted: true, totals });
    }
}

/// A request with its proof, and what its answer will be held against.
pub(super) struct Proved {
    pub(super) request: Request<WireBody>,
    pub(super) proof: Proof,
    pub(super) sent: Sent,
}

/// Proves a request: its head is complete but for the `meshguard` field, its URI absolute.
pub(super) fn prove(
    session: &ClientSession,
    ticket: &Ticket,
    admission: Admission,
    request: Request<()>,
    source: Source,
    by: Option<u64>,
) -> Option<Proved> {
    let (mut parts, ()) = request.into_parts();
    let suite = session.keys.suite();
    let grpc = is_grpc_call(&parts.method, &parts.headers);
    let sent = Sent::default();
    let known = |data: &Bytes, d| {
        let whole = Receipt::known(ReceiptStatus::Consumed, admission.att, data.len() as u64, d);
        let totals = Some((whole.n, whole.len));
        sent.set(SentState { whole: Some(whole), aborted: false, totals });
    };
    let kind = match &source {
        Source::Known(data, None) if data.is_empty() => {
            known(data, known::empty());
            Body::None
        }
        Source::Known(data, trailers)
            if !(suite.is_sealed() || grpc && may_exceed(data, session.message)) =>
        {
            let digest = known::digest(data, trailers.as_ref());
            known(data, digest);
            Body::Known(digest)
        }
        _ => {
            mark_records(&mut parts.headers, suite.is_sealed(), grpc);
            Body::Records(source.size(grpc))
        }
    };
    let acks: Vec<u64> = ticket.acks().iter().map(|(seq, _)| *seq).collect();
    let acked = (!acks.is_empty()).then(|| {
        (&acks[..], session.keys.receipt.acks(ticket.acks().iter().map(|(s, r)| (*s, r))))
    });
    let numbers = (admission.seq, admission.att, admission.low);
    let (value, proof, context) = with_scratch(|s| {
        let void = ticket.void();
        RequestField::write(&mut s.field, &session.sid, numbers, void, &kind, acked, by);
        let head = RequestHead {
            method: &parts.method,
            authority: parts.uri.authority().map_or("", http::uri::Authority::as_str),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
        };
        head.write(&session.cover, &s.field, &mut s.base);
        let proof = session.keys.request_head.prove(&s.base);
        put_proof(&mut s.field, &proof);
        keep_request(&mut parts.extensions, &s.base, &session.cover);
        let context = matches!(kind, Body::Records(_)).then(|| context(&s.base));
        (HeaderValue::from_bytes(&s.field), proof, context)
    });
    let mut value = value.ok()?;
    value.set_sensitive(true); // never repeats: not for HPACK's table
    parts.headers.insert(field::NAME, value);
    let hook = SendHook { sent: sent.clone(), att: admission.att };
    let body = encode(session, source, context, grpc, hook)?;
    Some(Proved { request: Request::from_parts(parts, body), proof, sent })
}

/// The body behind a head: as records where they have a context, else as it is.
fn encode(
    session: &ClientSession,
    source: Source,
    context: Option<[u8; 32]>,
    grpc: bool,
    hook: SendHook,
) -> Option<WireBody> {
    let Some(context) = context else {
        return match source {
            Source::Known(data, trailers) => Some(Outgoing::known(data, trailers)),
            Source::Stream { .. } => None, // never without records
        };
    };
    let key = &session.keys.request_body;
    let encoder = Encoder::new(session.keys.suite(), key, &context, &AWS_LC);
    let framing = if grpc {
        Framing::Grpc { splitter: Splitter::new(session.message), batch: session.batch }
    } else {
        Framing::Http(session.record)
    };
    let size = source.size(grpc);
    Some(records(encoder, framing, source, hook).sized(size))
}

fn records(encoder: Encoder, framing: Framing, source: Source, hook: SendHook) -> WireBody {
    match source {
        Source::Known(data, trailers) => {
            Outgoing::records(encoder, framing, [data].into(), None, trailers.map(Ok), hook)
        }
        Source::Stream { first, end, rest, .. } => {
            let rest = (!rest.is_end_stream()).then_some(rest);
            let end = end.map(|e| e.map_err(Into::into));
            Outgoing::records(encoder, framing, first, rest, end, hook)
        }
    }
}
