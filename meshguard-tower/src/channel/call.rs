//! One call: from a request to an answer whose head is verified.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use meshguard_core::Access;
use meshguard_core::delivery::{Admission, Outcome, Unknown};
use meshguard_core::policy::{DeliveryMode, DeliveryRule};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Verified};
use super::exchange::{Open, unknown};
use super::intent::Intent;
use super::join::{Joined, MAX_SESSIONS};
use super::reply::ReplyHook;
use super::request::{Source, prove};
use super::seen::Seen;
use super::{AnswerBody, CallError, CallErrorKind, ChannelBody, Lease, Shared, WireBody};
use crate::body::{Incoming, Plain, is_grpc_call, status_trailers};
use crate::clock::wall;
use crate::error::BoxError;
use crate::head::{settle as settle_fields, take_host};
use crate::inbound::{strip, strip_answer};
use crate::observe::Tally;
use crate::pool::Failed::{Lost, Refused, Unprocessed, Unsent};
use crate::pool::{ConnectError, Reply, SendError};
use crate::session::{AFFINITY, SessionError};
use crate::sink::{Call, Direction, Edge};
use crate::timeout::{exceeded, grpc_timeout};

/// How an attempt failed.
pub(super) enum Failed {
    /// For good.
    Call(CallError),
    /// Nothing of it was acted on: not a byte was sent, or the callee says so; what was noted so
    /// far.
    Unsent(Option<Seen>, ConnectError),
    /// What answered, with this status, does not know the session; what was noted so far.
    Renew(Option<Seen>, StatusCode),
    /// As `Renew`, from the callee itself, with proof that it did not act on the request.
    Refused(Option<Seen>, StatusCode),
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

pub(super) async fn call<B>(
    shared: Arc<Shared>,
    place: Option<OwnedSemaphorePermit>,
    request: Request<B>,
) -> Result<Response<ChannelBody>, CallError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    shared.settle_head(&mut parts)?;
    let grpc = is_grpc_call(&parts.method, &parts.headers);
    let limit = if grpc { grpc_timeout(&parts.headers) } else { None };
    let deadline = limit.map(|limit| Instant::now() + limit);
    let source = Source::of(body).await;
    let source = source.stating(&mut parts.headers).map_err(refused)?;
    let work = settle(&shared, place, parts, source, limit);
    let result = match deadline {
        None => work.await,
        Some(deadline) => match timeout_at(deadline, work).await {
            Ok(result) => result.map(|answer| answer.map(|body| body.until(deadline))),
            Err(_) => Ok(expired()),
        },
    };
    match result {
        Err(error) if grpc => in_words(error),
        result => result,
    }
}

/// A message above the callee's limit fails as gRPC says it; the error is in the extensions. Every
/// other error has its status with it.
fn in_words(error: CallError) -> Result<Response<ChannelBody>, CallError> {
    let status = match error.kind() {
        CallErrorKind::Body(body) if body.exceeded().is_some() => status_trailers(body),
        _ => None,
    };
    let Some(status) = status else { return Err(error.with_status()) };
    let mut response = Response::new(Incoming::nothing());
    *response.headers_mut() = status;
    let kind = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response.extensions_mut().insert(error);
    Ok(response)
}

/// With a session or without, as the edge's delivery says.
async fn settle(
    shared: &Arc<Shared>,
    place: Option<OwnedSemaphorePermit>,
    parts: Parts,
    source: Source,
    limit: Option<Duration>,
) -> Result<Response<ChannelBody>, CallError> {
    let config = &shared.config;
    let policy = shared.mesh.policy();
    let rule = policy.delivery(Some(shared.mesh.id()), Some(&config.callee));
    let grpc = is_grpc_call(&parts.method, &parts.headers);
    let route = parts.uri.path_and_query().filter(|_| grpc);
    let intent = Intent::new(shared, &parts.method, route);
    if rule.mode == DeliveryMode::Off {
        return plain(shared, parts, source, intent).await;
    }
    // What cannot be sent again goes out only where its session is known.
    let result = match shared.join(rule, source.is_stream(), false).await {
        Ok(joined) => {
            let call = Outbound { parts, source, limit, rule };
            proven(shared, joined, place, intent, call).await
        }
        Err(error) => {
            let absent = matches!(error.kind(), CallErrorKind::Session(SessionError::NotSpoken(_)));
            if rule.mode != DeliveryMode::Prefer || !absent {
                Err(intent.fail(error))
            } else if shared.mesh.pins().contains(&config.callee) {
                let kind = CallErrorKind::Downgrade;
                Err(intent.fail(CallError::new(kind, Outcome::NotDelivered)))
            } else {
                return plain(shared, parts, source, intent).await;
            }
        }
    };
    result.inspect_err(|error| shared.found(error.kind().as_str(), error))
}

/// A request and how it goes out.
struct Outbound {
    parts: Parts,
    source: Source,
    limit: Option<Duration>,
    rule: DeliveryRule,
}

/// Whether policy says of the call's route that it may be made twice.
fn is_declared(shared: &Shared, parts: &Parts) -> bool {
    let (policy, path) = (shared.mesh.policy(), parts.uri.path());
    let access = match is_grpc_call(&parts.method, &parts.headers) {
        true => Access::grpc(path),
        false => Access::http(parts.method.as_str(), path),
    };
    policy.route_options(&access).idempotent
}

/// A call is moved to another connection so often, where those before took nothing of it.
const MOVES: usize = 3;

/// A call is begun again so often in another session, on a direct channel: each that it has kept
/// may be of an instance that is gone. Through a hop, which may hint as often as it likes, once.
const RENEWALS: usize = MAX_SESSIONS;

/// In a session; once more in another where the first is not known, and over other connections
/// where the ones before took nothing.
async fn proven(
    shared: &Arc<Shared>,
    mut joined: Joined,
    mut permit: Option<OwnedSemaphorePermit>,
    mut intent: Intent,
    Outbound { mut parts, mut source, limit, rule }: Outbound,
) -> Result<Response<ChannelBody>, CallError> {
    let again = shared.may_repeat(&parts);
    let most = if shared.config.via.is_none() { RENEWALS } else { 1 };
    let (mut moves, mut renewals) = (0, 0);
    loop {
        let spare = (parts.clone(), source.again());
        let (lease, open) = begin(shared, joined, permit.take(), intent, rule).await?;
        let (seen, error, repeats) = match attempt(lease, open, parts, source, limit).await {
            Ok(response) => return Ok(response),
            Err(Failed::Call(error)) => return Err(error),
            Err(Failed::Unsent(seen, error)) => {
                moves += 1;
                (seen, CallError::from(error), again && moves <= MOVES)
            }
            Err(Failed::Renew(seen, status)) => {
                renewals += 1;
                (seen, shared.hinted(status), again && renewals <= most)
            }
            Err(Failed::Refused(seen, status)) => {
                let kind = CallErrorKind::Refused(status);
                let error = CallError::new(kind, Outcome::NotDelivered);
                renewals += 1;
                (seen, error, renewals <= most)
            }
        };
        intent = Intent::again(shared, seen, error.outcome());
        let spare = repeats.then_some(spare);
        let spare = spare.and_then(|(parts, source)| Some((parts, source.claim()?)));
        let Some(spare) = spare else { return Err(intent.fail(error)) };
        (parts, source) = spare;
        joined = match shared.join(rule, renewals > 0 || source.is_stream(), moves > 0).await {
            Ok(joined) => joined,
            Err(error) => return Err(intent.fail(error)),
        };
    }
}

/// Begins an exchange; in another session where one call that is not answered holds up the
/// window of this one.
async fn begin(
    shared: &Arc<Shared>,
    joined: Joined,
    permit: Option<OwnedSemaphorePermit>,
    intent: Intent,
    rule: DeliveryRule,
) -> Result<(Lease, (Open, Admission)), CallError> {
    let Joined { lease, session } = if joined.session.sender().has_room() {
        joined
    } else {
        shared.forget(&joined.session);
        shared.pool.give_back(joined.lease);
        match shared.join(rule, false, false).await {
            Ok(joined) => joined,
            Err(error) => return Err(intent.fail(error)),
        }
    };
    if let Err(error) = shared.admits(session.instance()) {
        shared.leave(lease, &session);
        return Err(intent.fail(error));
    }
    let open = Open::begin(shared, &session, permit, Some(intent))?;
    Ok((lease, open))
}

/// Sends a request once and verifies its answer's head.
pub(super) async fn attempt(
    lease: Lease,
    (mut open, admission): (Open, Admission),
    mut parts: Parts,
    source: Source,
    limit: Option<Duration>,
) -> Result<Response<ChannelBody>, Failed> {
    if let Some(affinity) = &open.session.affinity {
        parts.headers.insert(AFFINITY, affinity.clone());
    }
    let head = parts.method == Method::HEAD;
    let grpc = is_grpc_call(&parts.method, &parts.headers);
    // The caller's deadline, rounded up to the second that it ends in.
    let by = limit.map(|d| (wall() + d).as_unix_secs() + 1);
    let request = Request::from_parts(parts, ());
    if let Some(seen) = open.seen() {
        seen.within(limit);
    }
    let Some(ticket) = open.ticket.as_ref() else {
        return Err(CallError::new(CallErrorKind::NotAdmitted, Outcome::NotDelivered).into());
    };
    let Some(proved) = prove(&open.session, ticket, admission, request, source, by) else {
        let kind = CallErrorKind::Request("its head has no proof");
        return Err(open.fail(CallError::new(kind, Outcome::NotDelivered)).into());
    };
    let binding = Arc::clone(lease.binding());
    match open.shared.send(lease, proved.request).await {
        Ok(response) => {
            let verified = Verified { binding, proof: proved.proof, sent: proved.sent, head, grpc };
            answer::take(open, verified, response).await
        }
        Err(SendError::NotSent { error, .. }) if open.shared.config.via.is_none() => {
            open.shared.pool.discard(&binding);
            Err(Failed::Unsent(open.take_back(), error))
        }
        Err(SendError::NotSent { error, .. }) => Err(open.fail(CallError::from(error)).into()),
        Err(SendError::Refused { kind }) => Err(open.fail(CallError::refused(kind)).into()),
        // On a direct connection that is the callee's own word.
        Err(SendError::Unprocessed { error }) if open.shared.config.via.is_none() => {
            open.shared.pool.discard(&binding);
            Err(Failed::Unsent(open.take_back(), ConnectError::Http(Arc::new(error))))
        }
        Err(SendError::Unprocessed { error } | SendError::Lost { error }) => {
            let outcome = unknown(Unknown::NoAnswer);
            let lost = || CallError::caused(CallErrorKind::NoAnswer, outcome, error);
            // This side's own body ended it, if it broke off.
            Err(open.fail(proved.sent.own_failure().unwrap_or_else(lost)).into())
        }
    }
}

/// Without a session: as far as the connection's identity goes, and no further. In no books.
async fn plain(
    shared: &Arc<Shared>,
    parts: Parts,
    source: Source,
    intent: Intent,
) -> Result<Response<ChannelBody>, CallError> {
    let Some(mut seen) = intent.goes() else {
        return Err(CallError::new(CallErrorKind::NotAdmitted, Outcome::NotDelivered));
    };
    let admitted = shared.admits(seen.edge_instance().unwrap_or_default());
    admitted.inspect_err(|error| seen.failed(error.kind()))?;
    let head = parts.method == Method::HEAD;
    let request = Request::from_parts(parts, source.plain());
    let sent = shared.pool.send(request).await.map_err(|e| match e {
        SendError::NotSent { error, .. } => CallError::from(error),
        SendError::Refused { kind } => CallError::refused(kind),
        SendError::Unprocessed { error } if shared.config.via.is_none() => {
            CallError::from(ConnectError::Http(Arc::new(error)))
        }
        SendError::Unprocessed { error } | SendError::Lost { error } => {
            let outcome = unknown(Unknown::NoAnswer);
            CallError::caused(CallErrorKind::NoAnswer, outcome, error)
        }
    });
    let response = sent.inspect_err(|error| seen.failed(error.kind()))?;
    let evidence = crate::body::evidence(response.headers());
    seen.answered(response.status(), response.headers(), evidence);
    shared.called(&seen, None);
    let (mut parts, body) = response.into_parts();
    strip_answer(&mut parts.headers);
    let framed = !head
        && !parts.status.is_informational()
        && parts.status != StatusCode::NO_CONTENT
        && parts.status != StatusCode::NOT_MODIFIED;
    let body = Plain::new(AnswerBody(body), &parts.headers, framed);
    Ok(Response::from_parts(parts, Incoming::plain(body, ReplyHook::plain(shared, seen))))
}

/// What cannot be sent as it is.
fn refused(why: &'static str) -> CallError {
    CallError::new(CallErrorKind::Request(why), Outcome::NotDelivered)
}

/// The caller's deadline has passed: gRPC's way of saying so.
fn expired() -> Response<ChannelBody> {
    let mut response = Response::new(Incoming::nothing());
    *response.headers_mut() = exceeded();
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}

/// Whether a head asks for another protocol. `h2c` asks for a version of this one, which whoever
/// does not have it ignores (RFC 9110 §7.8).
fn switches(headers: &HeaderMap) -> bool {
    let mut asked = headers.get_all(UPGRADE).iter();
    asked.any(|to| !to.as_bytes().trim_ascii().eq_ignore_ascii_case(b"h2c"))
}

fn absolute(authority: Authority, path: &str) -> Result<Uri, CallError> {
    let builder = Uri::builder().scheme(Scheme::HTTPS).authority(authority);
    let uri = match path.starts_with('?') {
        true => builder.path_and_query(format!("/{path}")),
        false => builder.path_and_query(path),
    };
    uri.build().map_err(|_| refused("no such path"))
}

impl Shared {
    /// Whether a call may be sent twice, where the first answer was a hint. That proves nothing:
    /// on a direct connection it is the callee's own word; else only what is safe is repeated.
    fn may_repeat(&self, parts: &Parts) -> bool {
        self.config.via.is_none()
            || self.config.idempotent
            || parts.method.is_safe()
            || is_declared(self, parts)
    }

    /// The error of a call that was answered with a hint of this status.
    fn hinted(&self, status: StatusCode) -> CallError {
        let outcome = match self.config.via {
            None => Outcome::NotDelivered,
            Some(_) => unknown(Unknown::Unproven),
        };
        CallError::new(CallErrorKind::Unproven(status), outcome)
    }

    /// Sends over this connection. Through a hop, any other of its connections serves as well; a
    /// direct one may end at another instance, where another session lives.
    async fn send(
        &self,
        lease: Lease,
        request: Request<WireBody>,
    ) -> Result<Response<Reply>, SendError<WireBody>> {
        if self.config.via.is_some() {
            return self.pool.send_first(lease, request).await;
        }
        self.pool.send_over(lease, request).await.map_err(|failed| match failed {
            Unsent(request, error) => {
                SendError::NotSent { error: ConnectError::Http(Arc::new(error)), request }
            }
            Refused(kind) => SendError::Refused { kind },
            Unprocessed(error) => SendError::Unprocessed { error },
            Lost(error) => SendError::Lost { error },
        })
    }

    /// Makes of a request's head what leaves, whatever the HTTP version: only so can it be proved.
    fn settle_head(&self, parts: &mut Parts) -> Result<(), CallError> {
        if parts.method == Method::CONNECT || switches(&parts.headers) {
            return Err(refused("a channel carries no CONNECT and no upgrade to another protocol"));
        }
        settle_fields(&mut parts.headers);
        let host = take_host(&mut parts.headers).map_err(refused)?;
        let authority = host.unwrap_or_else(|| self.config.authority.clone());
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        parts.uri = absolute(authority, path)?;
        parts.version = Version::default();
        // A request that came in speaks of its own connection there.
        parts.extensions.clear();
        Ok(())
    }

    /// The URI on the wire of one of the protocol's own requests.
    pub(super) fn absolute(&self, path: &str) -> Result<Uri, CallError> {
        absolute(self.config.authority.clone(), path)
    }

    pub(super) fn edge(&self) -> Edge<'_> {
        let via = self.config.via.as_ref();
        Edge { from: Some(self.mesh.id()), to: &self.config.callee, via }
    }

    pub(super) fn found(&self, name: &str, detail: &dyn std::fmt::Display) {
        self.mesh.found(Direction::Outbound, self.edge(), name, detail);
    }

    /// Whether the loop lets this instance of the callee be called.
    fn admits(&self, instance: &str) -> Result<(), CallError> {
        let overlay = self.mesh.0.gate.overlay();
        overlay.admits_callee(&self.config.callee, instance).map_err(|stopped| {
            let (kind, outcome) = (CallErrorKind::Restricted, Outcome::NotDelivered);
            CallError::caused(kind, outcome, stopped.to_string())
        })
    }

    /// Tells of an answer.
    pub(super) fn called(&self, seen: &Seen, outcome: Option<Outcome>) {
        self.mesh.called(&Call {
            direction: Direction::Outbound,
            edge: self.edge(),
            route: None,
            status: seen.status.unwrap_or_default(),
            latency: seen.latency.unwrap_or_default(),
            evidence: seen.evidence,
            outcome,
        });
    }

    /// Where the hop is measured that this channel goes through.
    pub(super) fn hop(&self) -> Option<&Arc<Tally>> {
        self.hop.as_ref()
    }

    /// Where the callee is measured that was reached last.
    pub(super) fn last_callee(&self) -> Arc<Tally> {
        self.last_callee.load_full()
    }
}
