//! What becomes of one request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body;
use meshguard_core::delivery::field::Rcpt;
use meshguard_core::delivery::{Decoder, Fault, PREFIX, RECORD, Receipt, ReceiptStatus, known};
use pin_project::pin_project;
use tokio::time::{Sleep, sleep, sleep_until};
use tower_service::Service;

use super::admit::{Admitted, admit};
use super::answer::{AnswerHook, Protected, SETTLE_TIME, protect, settle};
use super::claim::{BodyPlan, join_proved};
use super::content::{self, Violation};
use super::control::{Answer, control};
use super::denied::Denied;
use super::exchange::{Delivery, Proven, no_room};
use super::hook::RequestHook;
use super::observed::Fate;
use super::refuse::{DPOP_NONCE, Refused, say_limit, trailers_only};
use super::strip::strip_request;
use super::{RequestBody, ResponseBody, strip};
use crate::aead::AWS_LC;
use crate::body::{
    Gather, Hold, HoldError, Incoming, Outgoing, Plain, stated_length, unmark_records, withdraw,
};
use crate::error::{BoxError, DeliveryError, DeliveryErrorKind};
use crate::head::check_answer;
use crate::mesh::Mesh;
use crate::sink::{Call, Direction};

/// The future of an [`Inbound`](super::Inbound) service. Nothing in it is boxed on the way of
/// an allowed call.
#[pin_project]
pub struct InboundFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    #[pin]
    state: State<S, B, S::Future>,
}

#[pin_project(project = StateProj)]
#[allow(clippy::large_enum_variant)] // boxing would cost every allowed call an allocation
enum State<S, B, F> {
    /// Another layer guards this request already.
    Through(#[pin] F),
    /// One of the protocol's own requests.
    Control(Answer),
    /// A known body is still coming; the application is not called.
    Hold(Option<Held<S, B>>),
    Run {
        #[pin]
        future: F,
        #[pin]
        deadline: Option<Sleep>,
        admitted: Option<Admitted>,
    },
    /// The deadline has passed while a body was held.
    Expired(Option<Admitted>),
    /// The answer has no body to carry the receipt, and the request has not ended.
    Settle(Option<Box<Settling>>),
    Refused(Option<Refused>),
}

/// An answer that waits a little for its request's end.
struct Settling {
    parts: http::response::Parts,
    admitted: Admitted,
    patience: Pin<Box<Sleep>>,
}

struct Held<S, B> {
    hold: Holding<B>,
    service: S,
    parts: Parts,
    admitted: Admitted,
    deadline: Option<Pin<Box<Sleep>>>,
}

enum Holding<B> {
    /// A known body, small.
    Known(Hold<B>),
    /// Any body of which a rule says what it must be. Boxed: the futures of all other calls
    /// would be longer by it.
    Content(Box<Gather<RequestBody<B>>>),
}

impl<S, B> InboundFuture<S, B>
where
    S: Service<Request<RequestBody<B>>> + Clone,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(mesh: &Mesh, inner: &mut S, request: Request<B>) -> Self {
        if request.extensions().get::<Delivery>().is_some() {
            return Self { state: State::Through(inner.call(request.map(Incoming::through))) };
        }
        if request.uri().path().starts_with(PREFIX) {
            return Self { state: State::Control(control(mesh, request)) };
        }
        let (mut parts, body) = request.into_parts();
        join_proved(mesh, &mut parts);
        let state = match admit(mesh, &parts) {
            Err(refused) => State::Refused(Some(refused)),
            Ok(admitted) => {
                let length = stated_length(&parts.headers);
                let marked = prepare(&mut parts, &admitted);
                match admitted.body {
                    BodyPlan::Known(digest) => {
                        let share = mesh.hold_for(admitted.exchange.principal.id());
                        let hold = Holding::Known(Hold::new(body, digest, length).counted(share));
                        held(inner, parts, hold, admitted)
                    }
                    // Whoever frames it may end it behind its head only.
                    BodyPlan::None if !body.is_end_stream() => {
                        admitted.exchange.is_short(ReceiptStatus::Partial, 0);
                        let share = mesh.hold_for(admitted.exchange.principal.id());
                        let hold = Hold::new(body, known::empty(), Some(0)).counted(share);
                        held(inner, parts, Holding::Known(hold), admitted)
                    }
                    BodyPlan::Records(..) if !marked => unmarked(admitted),
                    _ if admitted.content().is_some() => gather(inner, parts, body, admitted),
                    _ => run(inner, parts, body, admitted),
                }
            }
        };
        Self { state }
    }
}

fn held<S, B>(
    inner: &mut S,
    parts: Parts,
    hold: Holding<B>,
    admitted: Admitted,
) -> State<S, B, S::Future>
where
    S: Service<Request<RequestBody<B>>> + Clone,
{
    let service = inner.clone();
    // The clone stays behind: the one that is ready goes along.
    let service = std::mem::replace(inner, service);
    let deadline = admitted.deadline.map(|deadline| Box::pin(sleep_until(deadline)));
    State::Hold(Some(Held { hold, service, parts, admitted, deadline }))
}

/// A body that is held, whatever proves it, until it is what its rule asks for.
fn gather<S, B>(inner: &mut S, parts: Parts, body: B, admitted: Admitted) -> State<S, B, S::Future>
where
    S: Service<Request<RequestBody<B>>> + Clone,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    let exchange = &admitted.exchange;
    let longest = admitted.content().map_or(0, |content| content.max_bytes);
    // A length that is stated is held to: no more than that needs a place.
    let most = stated_length(&parts.headers).map_or(longest, |length| length.min(longest));
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let share = exchange.mesh.hold_for(exchange.principal.id());
    let hook = RequestHook::gathering(exchange);
    let Some(body) = incoming(&parts, body, &admitted, hook) else { return surplus(admitted) };
    let gather = Gather::new(body, most, share);
    held(inner, parts, Holding::Content(Box::new(gather)), admitted)
}

/// Makes a head what the application may see of it; whether records were marked as such.
fn prepare(parts: &mut Parts, admitted: &Admitted) -> bool {
    let exchange = &admitted.exchange;
    // A hop could have put anything there.
    if exchange.via.is_none() && exchange.mesh.is_forwarder(exchange.principal.id()) {
        strip(&mut parts.headers);
    } else {
        strip_request(&mut parts.headers);
    }
    withdraw(&mut parts.headers);
    let marked = match admitted.body {
        BodyPlan::Records(_, size) => unmark_records(&mut parts.headers, admitted.grpc, size),
        _ => true,
    };
    exchange.connection.describe_in(&mut parts.extensions);
    parts.extensions.insert(admitted.exchange.principal.clone());
    parts.extensions.insert(admitted.decision.clone());
    parts.extensions.insert(Delivery(Arc::clone(&admitted.exchange)));
    marked
}

fn unmarked<S, B, F>(admitted: Admitted) -> State<S, B, F> {
    let text = "records without their content coding";
    let denied = Denied::new(StatusCode::BAD_REQUEST, text, "unmarked");
    refused(admitted, denied)
}

/// Refuses what was let in, before the application is called.
fn refused<S, B, F>(admitted: Admitted, denied: Denied) -> State<S, B, F> {
    let refused = admitted.asked().refuse(denied).grpc(admitted.grpc).head(admitted.head);
    State::Refused(Some(refused.proven(admitted.exchange)))
}

/// Its caller has lost the right to an answer: the application that was called is given up.
fn withdrawn<S, B, F>(admitted: Admitted) -> State<S, B, F> {
    State::Refused(Some(no_longer(&admitted).given_up(admitted.exchange)))
}

/// As [`withdrawn`], before the application was called.
fn withdrawn_unread<S, B, F>(admitted: Admitted) -> State<S, B, F> {
    State::Refused(Some(no_longer(&admitted).proven(admitted.exchange)))
}

fn no_longer(admitted: &Admitted) -> Refused {
    let (status, text) = (StatusCode::FORBIDDEN, "withdrawn");
    let refused = match admitted.exchange.ending.id() {
        Some(id) => Refused::by(id, status, text),
        // Its session is gone, and nobody has looked through what was open in it yet.
        None => admitted.asked().refuse(Denied::new(status, text, "withdrawn")),
    };
    refused.grpc(admitted.grpc).head(admitted.head)
}

/// Calls the application.
fn run<S, B>(inner: &mut S, parts: Parts, body: B, admitted: Admitted) -> State<S, B, S::Future>
where
    S: Service<Request<RequestBody<B>>>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    let hook = RequestHook::new(&admitted.exchange);
    match incoming(&parts, body, &admitted, hook) {
        Some(body) => call(inner, Request::from_parts(parts, body), admitted),
        None => surplus(admitted),
    }
}

/// A request's body on its way in; `None` where there is one that should not be.
fn incoming<B>(
    parts: &Parts,
    body: B,
    admitted: &Admitted,
    hook: RequestHook,
) -> Option<RequestBody<B>>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    let exchange = &admitted.exchange;
    Some(match (&admitted.body, &exchange.proven) {
        (BodyPlan::Records(context, size), Some(proven)) => {
            let keys = &proven.session.keys;
            let limit = if admitted.grpc { exchange.mesh.message_limit() } else { RECORD };
            let decoder = Decoder::new(keys.suite(), &keys.request_body, context, &AWS_LC, limit);
            let decoder = if admitted.grpc { decoder.of_messages() } else { decoder };
            let share = exchange.mesh.sessions().gathered().share(proven.session.peer.id());
            Incoming::records(body, decoder, admitted.grpc, hook).sized(*size).counted(share)
        }
        (BodyPlan::None, _) if body.is_end_stream() => Incoming::empty(hook),
        (BodyPlan::None, _) => return None,
        _ => Incoming::plain(Plain::new(body, &parts.headers, true), hook),
    })
}

/// There is a body where the head's proof says that there is none.
fn surplus<S, B, F>(admitted: Admitted) -> State<S, B, F> {
    let error = DeliveryError::new(DeliveryErrorKind::Long, 0, Some(0));
    bad(admitted, &error, 0)
}

/// A body that failed before the application was called.
fn bad<S, B, F>(admitted: Admitted, error: &DeliveryError, got: usize) -> State<S, B, F> {
    admitted.exchange.fail(error);
    let kind = error.kind();
    admitted.exchange.is_short(kind.receipt(), got as u64);
    let rcpt = Rcpt::short(kind.receipt(), u64::from(got > 0), got as u64);
    let text = match kind.verdict().fault {
        Fault::Nobody | Fault::Path => "the body did not come whole",
        Fault::Sender | Fault::Mistake | Fault::Tampered => "the body is not what was sent",
    };
    let status = StatusCode::from_u16(kind.verdict().status).unwrap_or(StatusCode::BAD_REQUEST);
    let refused = admitted.asked().refuse(Denied::told(status, text, error));
    let refused =
        refused.grpc(admitted.grpc).head(admitted.head).stating(admitted.exchange, rcpt, false);
    State::Refused(Some(refused))
}

/// A body that is not what its rule asks for. The application is not called.
fn violated<S, B, F>(admitted: Admitted, violation: &Violation) -> State<S, B, F> {
    admitted.exchange.observed.becomes(Fate::Refused);
    let refused =
        admitted.asked().refuse(violation.denied()).grpc(admitted.grpc).head(admitted.head);
    State::Refused(Some(refused.given_up(admitted.exchange)))
}

/// The application's answer cannot go out as it is.
fn wrong<S, B, F>(why: &'static str, admitted: Admitted) -> State<S, B, F> {
    let denied = Denied::new(StatusCode::INTERNAL_SERVER_ERROR, why, "answer-length");
    let refused = admitted.asked().refuse(denied).grpc(admitted.grpc).head(admitted.head);
    State::Refused(Some(refused.given_up(admitted.exchange)))
}

/// There is no room to hold it.
fn full<S, B, F>(admitted: Admitted, got: usize) -> State<S, B, F> {
    let text = "too many bodies are held already";
    admitted.exchange.fail(&no_room(got));
    refused(admitted, Denied::told(StatusCode::SERVICE_UNAVAILABLE, text, &text))
}

fn call<S, B>(
    inner: &mut S,
    request: Request<RequestBody<B>>,
    admitted: Admitted,
) -> State<S, B, S::Future>
where
    S: Service<Request<RequestBody<B>>>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    if let Some(proven) = &admitted.exchange.proven {
        proven.session.receiver().started(proven.claim);
    }
    let deadline = admitted.deadline.map(sleep_until);
    State::Run { future: inner.call(request), deadline, admitted: Some(admitted) }
}

impl<S, B> Held<S, B>
where
    S: Service<Request<RequestBody<B>>>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Bytes, Trailers), HoldError>> {
        let hold = match &mut self.hold {
            Holding::Known(hold) => hold,
            Holding::Content(gather) => return gather.poll(cx),
        };
        let polled = hold.poll(cx);
        if polled.is_pending() {
            // Nobody may come back to say how far it got.
            self.admitted.exchange.is_short(ReceiptStatus::Partial, hold.got() as u64);
        }
        polled
    }

    fn go(mut self, held: Result<(Bytes, Trailers), HoldError>) -> State<S, B, S::Future> {
        let got = match &self.hold {
            Holding::Known(hold) => hold.got(),
            Holding::Content(gather) => gather.got(),
        };
        match held {
            Ok((data, trailers)) => {
                self.admitted.exchange.observed.request_bytes(data.len() as u64);
                self.set_received(data.len());
                let checked = self.admitted.content().map(|c| content::check_body(c, &data));
                if let Some(Err(violation)) = checked {
                    return violated(self.admitted, &violation);
                }
                let hook = RequestHook::new(&self.admitted.exchange);
                let body = Incoming::held(data, trailers, hook);
                call(&mut self.service, Request::from_parts(self.parts, body), self.admitted)
            }
            Err(HoldError::Full) => full(self.admitted, got),
            Err(HoldError::Long) => {
                let most = self.admitted.content().map_or(0, |content| content.max_bytes);
                drop(self.hold);
                violated(self.admitted, &Violation::Long(most))
            }
            Err(HoldError::Body(error)) => bad(self.admitted, &error, got),
        }
    }

    /// The whole body has come, and is what its head was proved with.
    fn set_received(&self, len: usize) {
        let digest = match self.admitted.body {
            BodyPlan::Known(digest) => digest,
            BodyPlan::None => known::empty(),
            BodyPlan::Records(..) | BodyPlan::Plain => return,
        };
        if let Some(proven) = &self.admitted.exchange.proven {
            let (status, att) = (ReceiptStatus::Received, proven.claim.att);
            proven.set_receipt(Receipt::known(status, att, len as u64, digest));
        }
    }
}

type Trailers = Option<http::HeaderMap>;

impl<S, B, R> Future for InboundFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_answer(cx).map_ok(|response| {
            check_answer(&response);
            response
        })
    }
}

impl<S, B, R> InboundFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    fn poll_answer(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<R>>, S::Error>> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Through(future) => {
                    return future.poll(cx).map_ok(|r| r.map(Outgoing::plain));
                }
                StateProj::Control(answer) => {
                    let (response, body) = ready!(answer.as_mut().poll(cx));
                    return Poll::Ready(Ok(own(response, body)));
                }
                StateProj::Refused(refused) => {
                    let refused = refused.take().map(Refused::into_response);
                    let (response, body) = refused.unwrap_or_default();
                    return Poll::Ready(Ok(own(response, body)));
                }
                StateProj::Hold(held) => ready!(poll_hold(held, cx)),
                StateProj::Run { future, deadline, admitted } => {
                    let response = match future.poll(cx) {
                        Poll::Ready(result) => result?.map(Some),
                        Poll::Pending if is_over(admitted.as_ref(), cx) => expired(),
                        Poll::Pending => match deadline.as_pin_mut() {
                            Some(deadline) => {
                                ready!(deadline.poll(cx));
                                expired()
                            }
                            None => return Poll::Pending,
                        },
                    };
                    let Some(admitted) = admitted.take() else { return Poll::Pending };
                    match answer(admitted, response, cx) {
                        Answered::Ready(response) => return Poll::Ready(Ok(response)),
                        Answered::Settle(settling) => State::Settle(Some(settling)),
                        Answered::Withdrawn(admitted) => withdrawn(admitted),
                        Answered::Wrong(why, admitted) => wrong(why, admitted),
                    }
                }
                StateProj::Expired(admitted) => {
                    let Some(admitted) = admitted.take() else { return Poll::Pending };
                    match answer(admitted, expired(), cx) {
                        Answered::Ready(response) => return Poll::Ready(Ok(response)),
                        Answered::Settle(settling) => State::Settle(Some(settling)),
                        Answered::Withdrawn(admitted) => withdrawn_unread(admitted),
                        Answered::Wrong(why, admitted) => wrong(why, admitted),
                    }
                }
                StateProj::Settle(settling) => match ready!(poll_settle(settling, cx)) {
                    Ok(response) => return Poll::Ready(Ok(response)),
                    Err(withdrawn) => withdrawn,
                },
            };
            state.set(next);
        }
    }
}

/// The application is called once a known body is whole, and only then.
fn poll_hold<S, B>(
    held: &mut Option<Held<S, B>>,
    cx: &mut Context<'_>,
) -> Poll<State<S, B, S::Future>>
where
    S: Service<Request<RequestBody<B>>>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    let Some(waiting) = held else { return Poll::Pending };
    let result = match waiting.poll(cx) {
        _ if waiting.admitted.running.poll_ended(cx) => None,
        Poll::Ready(result) => Some(result),
        Poll::Pending => {
            let Some(deadline) = &mut waiting.deadline else { return Poll::Pending };
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(State::Expired(held.take().map(|held| held.admitted)));
        }
    };
    match (held.take(), result) {
        (Some(held), Some(result)) => Poll::Ready(held.go(result)),
        (Some(held), None) => Poll::Ready(withdrawn_unread(held.admitted)),
        (None, _) => Poll::Pending,
    }
}

/// An answer, or what the request becomes instead.
type Settled<S, B, F, R> = Result<Response<ResponseBody<R>>, State<S, B, F>>;

/// The answer once its receipt is known; `Err` where the request was ended meanwhile.
fn poll_settle<S, B, F, R>(
    settling: &mut Option<Box<Settling>>,
    cx: &mut Context<'_>,
) -> Poll<Settled<S, B, F, R>> {
    let Some(waiting) = settling else { return Poll::Pending };
    let admitted = &waiting.admitted;
    let receipt = match &admitted.exchange.proven {
        _ if admitted.running.poll_ended(cx) => None,
        Some(proven) => Some(match proven.poll_receipt(cx) {
            Poll::Ready(receipt) => receipt,
            Poll::Pending => {
                ready!(waiting.patience.as_mut().poll(cx));
                proven.give_up()
            }
        }),
        None => Some(Receipt::known(ReceiptStatus::Received, 0, 0, known::empty())),
    };
    let Some(waited) = settling.take() else { return Poll::Pending };
    let Settling { parts, admitted, .. } = *waited;
    Poll::Ready(match receipt {
        Some(receipt) => Ok(settled(parts, &admitted, &receipt)),
        None => Err(withdrawn(admitted)),
    })
}

/// Whether a request was ended while the application works on it: no answer of it counts then.
fn is_over(admitted: Option<&Admitted>, cx: &Context<'_>) -> bool {
    admitted.is_some_and(|admitted| admitted.running.poll_ended(cx))
}

enum Answered<R> {
    Ready(Response<ResponseBody<R>>),
    /// Its caller has no right to it any more.
    Withdrawn(Admitted),
    Settle(Box<Settling>),
    /// The application's head is not true of its body.
    Wrong(&'static str, Admitted),
}

/// Proves an answer, or passes it on where its request was not proven.
fn answer<R>(admitted: Admitted, response: Response<Option<R>>, cx: &mut Context<'_>) -> Answered<R>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    let exchange = &admitted.exchange;
    if exchange.is_ended() {
        return Answered::Withdrawn(admitted);
    }
    let latency = exchange.observed.answered(response.status(), response.headers());
    exchange.mesh.called(&Call {
        direction: Direction::Inbound,
        edge: exchange.edge(),
        route: admitted.decision.route(),
        status: response.status(),
        latency,
        evidence: exchange.evidence,
        outcome: None,
    });
    let (mut parts, body) = response.into_parts();
    if admitted.grpc
        && let Some(failure) = exchange.failure.get()
    {
        say_limit(&mut parts.headers, failure);
    }
    if let Some(nonce) = exchange.nonce() {
        parts.headers.insert(DPOP_NONCE, nonce.clone());
    }
    match (&exchange.proven, body) {
        (None, body) => {
            strip(&mut parts.headers);
            let bytes = body.as_ref().and_then(|b| b.size_hint().exact());
            exchange.observed.response_bytes(bytes.unwrap_or_default());
            let deadline = admitted.deadline;
            let guarded =
                |body| Outgoing::guarded(body, AnswerHook::new(exchange, false, deadline));
            let body = body.map_or_else(Outgoing::empty, guarded);
            Answered::Ready(Response::from_parts(parts, body))
        }
        (Some(proven), Some(body)) => {
            let response = Response::from_parts(parts, body);
            match protect(exchange, proven, admitted.asks(), admitted.deadline, response, cx) {
                Protected::Ready(response) => Answered::Ready(response),
                Protected::Settle(parts) => {
                    let patience = Box::pin(sleep(SETTLE_TIME));
                    Answered::Settle(Box::new(Settling { parts, admitted, patience }))
                }
                Protected::Wrong(why) => Answered::Wrong(why, admitted),
            }
        }
        // The application was given up at its deadline, its request with it.
        (Some(proven), None) => {
            let receipt = proven.give_up();
            Answered::Ready(settle(exchange, parts, &receipt, proven))
        }
    }
}

fn settled<R>(
    parts: http::response::Parts,
    admitted: &Admitted,
    receipt: &Receipt,
) -> Response<ResponseBody<R>> {
    let settle_with = |proven: &Proven| settle(&admitted.exchange, parts, receipt, proven);
    match &admitted.exchange.proven {
        Some(proven) => settle_with(proven),
        None => Response::new(Outgoing::empty()),
    }
}

/// gRPC's deadline has passed.
fn expired<R>() -> Response<Option<R>> {
    let mut response = Response::new(None);
    trailers_only(response.headers_mut(), StatusCode::GATEWAY_TIMEOUT, "deadline exceeded");
    response
}

fn own<R>(response: Response<()>, body: Bytes) -> Response<ResponseBody<R>> {
    if body.is_empty() {
        response.map(|()| Outgoing::empty())
    } else {
        response.map(|()| Outgoing::known(body, None))
    }
}
