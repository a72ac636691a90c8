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
use meshguard_core::delivery::{Admission, Failure, Outcome, Unknown};
use meshguard_core::policy::{DeliveryMode, DeliveryRule};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::answer::{self, Verified};
use super::exchange::{Open, unknown};
use super::intent::Intent;
use super::reply::ReplyHook;
use super::request::{Source, prove};
use super::seen::Seen;
use super::{AnswerBody, CallError, CallErrorKind, ChannelBody, Shared};
use crate::body::{Incoming, Plain, is_grpc};
use crate::error::BoxError;
use crate::head::{settle as settle_fields, take_host};
use crate::inbound::{strip, strip_answer};
use crate::observe::Tally;
use crate::pool::SendError;
use crate::session::{AFFINITY, ClientSession, SessionError};
use crate::sink::{Call, Direction, Edge};
use crate::timeout::grpc_timeout;
use crate::tls::now;

/// Through a hop, a session is given up for a hint at most so often.
const RENEW_AT_MOST: Duration = Duration::from_secs(1);

/// How an attempt failed.
pub(super) enum Failed {
    /// For good.
    Call(CallError),
    /// The session is not known to whoever answered; what was noted so far.
    Renew(Option<Seen>),
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
    let grpc = is_grpc(&parts.headers);
    let limit = if grpc { grpc_timeout(&parts.headers) } else { None };
    let source = Source::of(body).await;
    let source = source.stating(&mut parts.headers).map_err(refused)?;
    let work = settle(&shared, place, parts, source, limit);
    match limit {
        None => work.await,
        Some(limit) => match timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Ok(expired()),
        },
    }
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
    let route = parts.uri.path_and_query().filter(|_| is_grpc(&parts.headers));
    let intent = Intent::new(shared, &parts.method, route);
    if rule.mode == DeliveryMode::Off {
        return plain(shared, parts, source, intent).await;
    }
    let result = match shared.session(rule).await {
        Ok(session) => {
            let call = Outbound { parts, source, limit, rule };
            proven(shared, session, place, intent, call).await
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
    let access = match is_grpc(&parts.headers) {
        true => Access::grpc(path),
        false => Access::http(parts.method.as_str(), path),
    };
    policy.route_options(&access).idempotent
}

/// In a session; once more in another where the first is not known, and that is safe.
async fn proven(
    shared: &Arc<Shared>,
    session: Arc<ClientSession>,
    place: Option<OwnedSemaphorePermit>,
    intent: Intent,
    Outbound { parts, source, limit, rule }: Outbound,
) -> Result<Response<ChannelBody>, CallError> {
    let config = &shared.config;
    // A hint proves nothing. On a direct connection it is the callee's own word; else only what
    // may be done twice is sent twice.
    let repeatable = config.via.is_none()
        || config.idempotent
        || parts.method.is_safe()
        || is_declared(shared, &parts);
    let again = source.again().filter(|_| repeatable).map(|s| (parts.clone(), s));
    let (session, open) = begin(shared, session, place, intent, rule).await?;
    match attempt(open, parts, source, limit).await {
        Ok(response) => Ok(response),
        Err(Failed::Call(error)) => Err(error),
        Err(Failed::Renew(seen)) => {
            let direct = config.via.is_none();
            let outcome = if direct { Outcome::NotDelivered } else { unknown(Unknown::Unproven) };
            let unproven = CallErrorKind::Unproven(StatusCode::UNAUTHORIZED);
            let hinted = || CallError::new(unproven.clone(), outcome);
            let intent = Intent::again(shared, seen, outcome);
            if !shared.heeds_hint(&session) {
                return Err(intent.fail(hinted()));
            }
            shared.forget(&session);
            let Some((parts, source)) = again else { return Err(intent.fail(hinted())) };
            let session = match shared.session(rule).await {
                Ok(session) => session,
                Err(error) => return Err(intent.fail(error)),
            };
            let (_, open) = begin(shared, session, None, intent, rule).await?;
            attempt(open, parts, source, limit).await.map_err(|failed| match failed {
                Failed::Call(error) => error,
                Failed::Renew(seen) => Intent::again(shared, seen, outcome).fail(hinted()),
            })
        }
    }
}

/// Begins an exchange; in another session where one call that is not answered holds up the
/// window of this one.
async fn begin(
    shared: &Arc<Shared>,
    session: Arc<ClientSession>,
    place: Option<OwnedSemaphorePermit>,
    intent: Intent,
    rule: DeliveryRule,
) -> Result<(Arc<ClientSession>, (Open, Admission)), CallError> {
    let session = if session.sender().has_room() {
        session
    } else {
        shared.forget(&session);
        match shared.session(rule).await {
            Ok(session) => session,
            Err(error) => return Err(intent.fail(error)),
        }
    };
    if let Err(error) = shared.admits(&session.instance) {
        return Err(intent.fail(error));
    }
    let open = Open::begin(shared, &session, place, Some(intent))?;
    Ok((session, open))
}

/// Sends a request once and verifies its answer's head.
pub(super) async fn attempt(
    (open, admission): (Open, Admission),
    mut parts: Parts,
    source: Source,
    limit: Option<Duration>,
) -> Result<Response<ChannelBody>, Failed> {
    if let Some(affinity) = &open.session.affinity {
        parts.headers.insert(AFFINITY, affinity.clone());
    }
    let head = parts.method == Method::HEAD;
    // The caller's deadline, rounded up to the second that it ends in.
    let by = limit.map(|d| (now() + d).as_unix_secs() + 1);
    let request = Request::from_parts(parts, ());
    let Some(ticket) = open.ticket.as_ref() else {
        return Err(CallError::new(CallErrorKind::NotAdmitted, Outcome::NotDelivered).into());
    };
    let Some(proved) = prove(&open.session, ticket, admission, request, source, by) else {
        let kind = CallErrorKind::Request("its head has no proof");
        return Err(open.fail_unsent(CallError::new(kind, Outcome::NotDelivered)).into());
    };
    match open.shared.pool.send(proved.request).await {
        Ok(response) => {
            let verified = Verified { proof: proved.proof, sent: proved.sent, head };
            answer::take(open, verified, response).await
        }
        Err(SendError::NotSent { error, .. }) => {
            Err(open.fail_unsent(CallError::from(error)).into())
        }
        Err(SendError::Lost { error }) if proved.sent.state().aborted => {
            let kind = CallErrorKind::Request("its body failed, or is not as long as it states");
            let outcome = Outcome::Failed(Failure::Aborted);
            Err(open.fail(CallError::caused(kind, outcome, error)).into())
        }
        Err(SendError::Lost { error }) => {
            let outcome = unknown(Unknown::NoAnswer);
            Err(open.fail(CallError::caused(CallErrorKind::NoAnswer, outcome, error)).into())
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
    let admitted = shared.admits(seen.instance().unwrap_or_default());
    admitted.inspect_err(|error| seen.failed(error.kind()))?;
    let head = parts.method == Method::HEAD;
    let request = Request::from_parts(parts, source.plain());
    let sent = shared.pool.send(request).await.map_err(|e| match e {
        SendError::NotSent { error, .. } => CallError::from(error),
        SendError::Lost { error } => {
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
    let headers = response.headers_mut();
    let value = http::HeaderValue::from_static;
    headers.insert(http::header::CONTENT_TYPE, value("application/grpc"));
    headers.insert("grpc-status", value("4"));
    headers.insert("grpc-message", value("deadline exceeded"));
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
    /// Whether a hint ends a session: through a hop, whoever hints does so again and again.
    pub(super) fn heeds_hint(&self, session: &ClientSession) -> bool {
        self.config.via.is_none() || !session.is_younger_than(RENEW_AT_MOST)
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
