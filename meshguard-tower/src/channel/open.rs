//! Opening a channel's session: one handshake for all who wait.

use std::sync::{Arc, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared as SharedFuture};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body::Body as _;
use meshguard_core::delivery::Sid;
use meshguard_core::policy::DeliveryRule;
use tokio::time::timeout;

use super::{CallError, Shared, driver};
use crate::body::Outgoing;
use crate::pool::{Reply, SendError};
use crate::session::{
    AFFINITY, ClientSession, HANDSHAKE, HANDSHAKE_TIME, MAX_HANDSHAKE, MEDIA_TYPE, Opening,
    SESSION, SessionError, named_sid, path, sid_value,
};
use crate::tls::now;

/// A session that is being opened, for all who wait for it.
pub(super) type Opened = SharedFuture<BoxFuture<'static, Result<Arc<ClientSession>, CallError>>>;

/// The most POSTs of a handshake: two, and one more after a HelloRetryRequest.
const MAX_POSTS: usize = 3;

impl Shared {
    /// The channel's session; opened if there is none.
    pub(super) async fn session(
        self: &Arc<Self>,
        rule: DeliveryRule,
    ) -> Result<Arc<ClientSession>, CallError> {
        if let Some(session) = self.session.load_full().filter(|s| s.is_open(now())) {
            return Ok(session);
        }
        let opened = {
            let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
            match &*opening {
                Some(opened) if opened.peek().is_none() => opened.clone(),
                _ => opening.insert(self.begin(rule)).clone(),
            }
        };
        opened.await
    }

    /// Forgets a session that its receiver no longer knows.
    pub(super) fn forget(&self, session: &Arc<ClientSession>) {
        self.session.rcu(|current| match current {
            Some(s) if Arc::ptr_eq(s, session) => None,
            other => other.clone(),
        });
    }

    /// Opens in a task of its own: a caller that gives up does not take the others along.
    fn begin(self: &Arc<Self>, rule: DeliveryRule) -> Opened {
        let shared = Arc::clone(self);
        shared.mesh.watch();
        let task = tokio::spawn(async move {
            // Somebody else's may have been opened while this one was asked for.
            if let Some(session) = shared.session.load_full().filter(|s| s.is_open(now())) {
                return Ok(session);
            }
            let opened = timeout(HANDSHAKE_TIME, handshake(&shared, rule)).await;
            let session = opened.unwrap_or_else(|_| Err(SessionError::Timeout.into()))?;
            shared.mesh.pins().add(session.peer.id());
            shared.mesh.0.channels.add(&session);
            shared.session.store(Some(Arc::clone(&session)));
            driver::drive(&shared, &session);
            Ok(session)
        });
        let interrupted = || SessionError::Protocol("the runtime is shutting down").into();
        async move { task.await.unwrap_or_else(|_| Err(interrupted())) }.boxed().shared()
    }
}

async fn handshake(
    shared: &Arc<Shared>,
    rule: DeliveryRule,
) -> Result<Arc<ClientSession>, CallError> {
    let config = &shared.config;
    let seal = rule.seal.unwrap_or(config.via.is_some());
    let of_mesh = &shared.mesh.0;
    let mut opening = Opening::new(
        &of_mesh.tls,
        &config.callee,
        Arc::clone(&of_mesh.instance),
        of_mesh.ledger_key,
        shared.mesh.message_limit(),
        seal,
        shared.affinity.clone(),
    )?;
    let mut sid = None;
    for _ in 0..MAX_POSTS {
        let body = opening.next(sid.as_ref())?;
        let affinity = opening.affinity().cloned();
        let (named, answer) =
            post(shared, sid.as_ref(), body.into(), affinity, &mut opening).await?;
        let named = named.ok_or(SessionError::Protocol("the answer names no session"))?;
        if sid.is_some_and(|sid| sid != named) {
            return Err(SessionError::Split.into());
        }
        sid = Some(named);
        if let Some(said) = opening.take(&answer)? {
            let ended = of_mesh.channels.ended();
            let edges = &of_mesh.gate.edges;
            let session = Arc::new(opening.finish(named, &said, now(), ended, edges)?);
            shared.last_callee.store(Arc::clone(&session.callee));
            return Ok(session);
        }
    }
    Err(SessionError::Protocol("the handshake does not end").into())
}

/// Posts one body of the handshake; the sid and the body that answer it.
async fn post(
    shared: &Shared,
    sid: Option<&Sid>,
    body: Bytes,
    affinity: Option<http::HeaderValue>,
    opening: &mut Opening,
) -> Result<(Option<Sid>, Bytes), CallError> {
    let mut request = Request::new(Outgoing::known(body, None));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = shared.absolute(&path(HANDSHAKE))?;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
    if let Some(sid) = sid {
        headers.insert(SESSION, sid_value(sid));
    }
    if let Some(affinity) = affinity {
        headers.insert(AFFINITY, affinity);
    }
    let response = shared.pool.send(request).await.map_err(|e| match e {
        SendError::NotSent { error, .. } => CallError::from(error),
        SendError::Lost { .. } => SessionError::Protocol("the connection was lost").into(),
    })?;
    let (parts, body) = response.into_parts();
    let body = read(body).await.ok_or(SessionError::Protocol("an unreadable answer"))?;
    if parts.status == StatusCode::OK {
        return Ok((named_sid(&parts.headers), body));
    }
    Err(refusal(parts.status, &parts.headers, sid.is_some(), &body, opening).into())
}

fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    second: bool,
    body: &[u8],
    opening: &mut Opening,
) -> SessionError {
    if headers.get(SESSION).is_none() {
        return SessionError::NotSpoken(status);
    }
    // The alert in the body says more than the status.
    match opening.take(body) {
        Err(error) => error,
        Ok(_) if status == StatusCode::CONFLICT && second => SessionError::Split,
        Ok(_) => SessionError::Refused(status),
    }
}

async fn read(mut body: Reply) -> Option<Bytes> {
    let mut all = BytesMut::new();
    loop {
        let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            None => return Some(all.freeze()),
            Some(Err(_)) => return None,
            Some(Ok(frame)) => {
                all.extend_from_slice(&frame.into_data().unwrap_or_default());
                if all.len() > MAX_HANDSHAKE {
                    return None;
                }
            }
        }
    }
}
