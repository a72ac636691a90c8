//! Opening a channel's session: one handshake for all who wait.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared as SharedFuture};
use http::{HeaderMap, Method, Request, StatusCode, header};
use meshguard_core::delivery::Sid;
use meshguard_core::policy::DeliveryRule;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::driver::ROOM_TIME;
use super::join::Joined;
use super::{CallError, CallErrorKind, Lease, Shared, WireBody};
use crate::body::Outgoing;
use crate::clock::now;
use crate::decision::DecisionId;
use crate::inbound::DECISION;
use crate::mesh::random;
use crate::observe::name_of;
use crate::pool::{Asked, Failed};
use crate::session::{
    AFFINITY, ClientSession, DENIED, HANDSHAKE, HANDSHAKE_TIME, MAX_HANDSHAKE, MEDIA_TYPE,
    Opening as Tls, SESSION, SessionError, named_sid, path, sid_value,
};

/// A session that is being opened, for all who wait for it.
pub(super) type Opened = SharedFuture<BoxFuture<'static, Result<Arc<ClientSession>, CallError>>>;

/// The connection that a session was opened over, for who brought it.
type Back = Arc<Mutex<Option<Lease>>>;

/// The most POSTs of a handshake: two, and one more after a HelloRetryRequest.
const MAX_POSTS: usize = 3;

/// Through a hop, which may hint as often as it likes, a session is opened at most so often: calls
/// wait.
pub(crate) const OPEN_AT_MOST: Duration = Duration::from_secs(1);

/// A handshake whose parts met two instances, or a callee that has too many, begins again so often.
const AGAIN: u32 = 5;
/// Before the first time; twice as long before each other one.
const SPLIT_WAIT: Duration = Duration::from_millis(20);
/// As [`SPLIT_WAIT`], for a callee that has too many.
const BUSY_WAIT: Duration = Duration::from_millis(100);

/// What came of opening a session over one connection.
pub(super) enum Opening {
    Here(Joined),
    /// Somebody else has opened one, over another connection perhaps.
    Elsewhere(Lease),
    /// The connection was lost.
    Lost,
}

/// Why a handshake did not come to its end.
enum Stopped {
    Error(CallError),
    /// The connection was lost.
    Lost,
}

impl<E: Into<CallError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl Shared {
    /// Opens a session over this connection, unless that is being done already.
    pub(super) async fn open_over(
        self: &Arc<Self>,
        lease: Lease,
        rule: DeliveryRule,
    ) -> Result<Opening, CallError> {
        let (running, mine) = {
            let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
            match &*opening {
                Some(opened) if opened.peek().is_none() => (opened.clone(), Err(lease)),
                // Somebody else's may have been opened since this one was found to be missing.
                _ if self.candidate(lease.binding()).is_some() => {
                    return Ok(Opening::Elsewhere(lease));
                }
                _ => {
                    let back = Back::default();
                    let begun = self.begin(lease, rule, Arc::clone(&back));
                    (opening.insert(begun).clone(), Ok(back))
                }
            }
        };
        let opened = running.await;
        match (mine, opened) {
            (Err(lease), Ok(_)) => Ok(Opening::Elsewhere(lease)),
            (Err(lease), Err(error)) => {
                self.pool.give_back(lease);
                Err(error)
            }
            (Ok(_), Err(error)) => Err(error),
            (Ok(back), Ok(session)) => {
                let lease = back.lock().unwrap_or_else(PoisonError::into_inner).take();
                Ok(lease.map_or(Opening::Lost, |lease| Opening::Here(Joined { lease, session })))
            }
        }
    }

    /// Opens in a task of its own: a caller that gives up does not take the others along.
    fn begin(self: &Arc<Self>, lease: Lease, rule: DeliveryRule, back: Back) -> Opened {
        let shared = Arc::clone(self);
        shared.mesh.watch();
        let task = tokio::spawn(async move {
            shared.its_turn().await;
            let opened = timeout(HANDSHAKE_TIME, shared.open(lease, rule)).await;
            let opened = opened.unwrap_or_else(|_| Err(SessionError::Timeout.into()));
            let (lease, session) = opened.inspect_err(|error| shared.note_denied(error))?;
            *shared.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            *back.lock().unwrap_or_else(PoisonError::into_inner) = lease;
            Ok(session)
        });
        let interrupted = || SessionError::Protocol("the runtime is shutting down").into();
        async move { task.await.unwrap_or_else(|_| Err(interrupted())) }.boxed().shared()
    }

    fn note_denied(&self, error: &CallError) {
        if let CallErrorKind::Session(denied @ SessionError::Denied(_)) = error.kind() {
            self.keep_denied(denied.clone());
        }
    }

    fn keep_denied(&self, denied: SessionError) {
        let mut last = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((Instant::now(), denied));
    }

    /// A directly connected callee has answered a call of this session that it allows this side
    /// nothing any more.
    pub(super) fn denied(&self, session: &Arc<ClientSession>, denied: SessionError) {
        self.keep_denied(denied);
        self.forget(session);
    }

    /// Waits where a hop would have one session opened after the other.
    async fn its_turn(&self) {
        let last = *self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.filter(|_| self.config.via.is_some()) {
            sleep_until(last + OPEN_AT_MOST).await;
        }
    }

    /// Begins again where something has split the handshake, as what drains one instance beside the
    /// next one does for a moment, and later where its callee has too many at once.
    async fn open(
        self: &Arc<Self>,
        mut lease: Lease,
        rule: DeliveryRule,
    ) -> Result<(Option<Lease>, Arc<ClientSession>), CallError> {
        for attempt in 0..AGAIN {
            let opened = self.open_once(lease, rule).await;
            let wait = match &opened {
                Err(error) => match error.kind() {
                    CallErrorKind::Session(SessionError::Split) => SPLIT_WAIT,
                    CallErrorKind::Session(SessionError::Refused(status))
                        if *status == StatusCode::TOO_MANY_REQUESTS =>
                    {
                        BUSY_WAIT
                    }
                    _ => return opened,
                },
                Ok(_) => return opened,
            };
            sleep(spread(wait * (1 << attempt))).await;
            lease = self.lease(false).await?;
        }
        self.open_once(lease, rule).await
    }

    /// Over this connection, or over a new one where it turns out to be lost; or over one of its own,
    /// where calls that go over this one hold the handshake up.
    async fn open_once(
        self: &Arc<Self>,
        lease: Lease,
        rule: DeliveryRule,
    ) -> Result<(Option<Lease>, Arc<ClientSession>), CallError> {
        // A callee that is met for the first time is only slow.
        let met = !self.sessions.load().is_empty() || lease.binding().session().is_some();
        let time = if met && lease.is_shared() { ROOM_TIME } else { HANDSHAKE_TIME };
        let first = match timeout(time, handshake(self, rule, lease)).await {
            Err(_elapsed) => {
                let lease = self.pool.apart().await?;
                handshake(self, rule, lease).await
            }
            Ok(Err(Stopped::Lost)) => {
                let lease = self.lease(true).await?;
                handshake(self, rule, lease).await
            }
            Ok(other) => other,
        };
        first.map_err(|stopped| match stopped {
            Stopped::Error(error) => error,
            Stopped::Lost => SessionError::Protocol("the connection was lost").into(),
        })
    }
}

/// Between half of it and all: callers that were turned away together come back one by one.
fn spread(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + 0.5 * f64::from(u16::from_ne_bytes(random())) / f64::from(u16::MAX))
}

async fn handshake(
    shared: &Arc<Shared>,
    rule: DeliveryRule,
    lease: Lease,
) -> Result<(Option<Lease>, Arc<ClientSession>), Stopped> {
    let config = &shared.config;
    let seal = rule.seal.unwrap_or(config.via.is_some());
    let of_mesh = &shared.mesh.0;
    let mut tls = Tls::new(
        &of_mesh.tls,
        &config.callee,
        Arc::clone(&of_mesh.instance),
        of_mesh.ledger_key,
        shared.mesh.message_limit(),
        seal,
        shared.affinity.clone(),
    )?;
    let (mut sid, mut lease) = (None, Some(lease));
    for _ in 0..MAX_POSTS {
        let request = request(shared, sid.as_ref(), tls.next(sid.as_ref())?.into(), &tls)?;
        // Where a connection ends after each answer, only affinity keeps the posts together.
        let over = match lease.take() {
            Some(lease) => lease,
            None => shared.lease(false).await?,
        };
        let binding = Arc::clone(over.binding());
        let posted = post(shared, over, request, sid.is_some(), &mut tls).await;
        let (named, answer, kept) = posted.inspect_err(|stopped| {
            if let Stopped::Lost = stopped {
                shared.pool.discard(&binding);
            }
        })?;
        // What does not know the protocol may answer 200 all the same, as gRPC does.
        let named = named.ok_or(SessionError::NotSpoken(StatusCode::OK))?;
        if sid.is_some_and(|sid| sid != named) {
            return Err(SessionError::Split.into());
        }
        (sid, lease) = (Some(named), kept);
        if let Some(said) = tls.take(&answer)? {
            let ended = of_mesh.channels.ended();
            let edges = &of_mesh.gate.edges;
            let session = Arc::new(tls.finish(named, &said, now(), ended, edges)?);
            if session.contested {
                shared.found("instance-name", &TwoOfAName(name_of(session.instance())));
            }
            shared.last_callee.store(Arc::clone(&session.callee));
            shared.adopt(&binding, &session);
            return Ok((lease, session));
        }
    }
    Err(SessionError::Protocol("the handshake does not end").into())
}

/// Instances of a callee that give themselves the same name, and have a certificate each.
struct TwoOfAName<'a>(&'a str);

impl fmt::Display for TwoOfAName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "two certificates in turn claim to be the instance {}", self.0)
    }
}

/// One body of the handshake.
fn request(
    shared: &Shared,
    sid: Option<&Sid>,
    body: Bytes,
    tls: &Tls,
) -> Result<Request<WireBody>, CallError> {
    let mut request = Request::new(Outgoing::known(body, None));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = shared.absolute(&path(HANDSHAKE))?;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
    if let Some(sid) = sid {
        headers.insert(SESSION, sid_value(sid));
    }
    if let Some(affinity) = tls.affinity() {
        headers.insert(AFFINITY, affinity.clone());
    }
    Ok(request)
}

/// Posts one body; the sid and the body that answer it, and the connection again.
async fn post(
    shared: &Shared,
    lease: Lease,
    request: Request<WireBody>,
    second: bool,
    tls: &mut Tls,
) -> Result<(Option<Sid>, Bytes, Option<Lease>), Stopped> {
    let Asked { parts, body, lease } =
        shared.pool.ask(lease, request, MAX_HANDSHAKE).await.map_err(|failed| match failed {
            Failed::Refused(kind) => Stopped::Error(CallError::refused(kind)),
            Failed::Unsent(..) | Failed::Unprocessed(_) | Failed::Lost(_) => Stopped::Lost,
        })?;
    let body = body.ok_or(SessionError::Protocol("an unreadable answer"))?;
    if parts.status == StatusCode::OK {
        return Ok((named_sid(&parts.headers), body, lease));
    }
    if let Some(lease) = lease {
        shared.pool.give_back(lease);
    }
    Err(refusal(parts.status, &parts.headers, second, &body, tls).into())
}

fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    second: bool,
    body: &[u8],
    tls: &mut Tls,
) -> SessionError {
    match headers.get(SESSION) {
        None => return SessionError::NotSpoken(status),
        Some(value) if value == DENIED => {
            let decision = headers.get(DECISION).and_then(|id| id.to_str().ok());
            return SessionError::Denied(decision.and_then(DecisionId::parse));
        }
        Some(_) => {}
    }
    // The alert in the body says more than the status.
    match tls.take(body) {
        Err(error) => error,
        Ok(_) if status == StatusCode::CONFLICT && second => SessionError::Split,
        Ok(_) => SessionError::Refused(status),
    }
}
