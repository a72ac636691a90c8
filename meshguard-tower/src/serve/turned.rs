//! Connections of peers that policy allows nothing: one answer, and they close.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::service::Service;
use pin_project::pin_project;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::connection::Connection;
use crate::listener::Standing;
use crate::session::{DENIED, SESSION};

/// After its answer, such a connection has so long to be closed by its peer.
pub(crate) const TURNED_AWAY: Duration = Duration::from_secs(1);

/// The only request of a connection whose peer policy allows nothing.
#[derive(Clone)]
pub(super) struct Turn(Arc<watch::Sender<Step>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Waiting,
    Asked,
    Refused,
    /// Policy was replaced meanwhile, and the request was let in.
    LetIn,
}

impl Turn {
    /// Of `connection`, if policy allows its peer nothing.
    pub(super) fn of(connection: &Connection) -> Option<Self> {
        let nothing = connection.standing() == Standing::Nothing;
        nothing.then(|| Self(Arc::new(watch::Sender::new(Step::Waiting))))
    }

    /// Waits `patience` for the request, and for its answer; then the connection takes no more
    /// requests, and is closed unless its request was let in.
    pub(super) async fn end(
        turn: Option<Self>,
        connection: &Connection,
        patience: Duration,
    ) -> Infallible {
        let Some(Self(step)) = turn else { return pending().await };
        let mut step = step.subscribe();
        let asked = timeout(patience, step.wait_for(|s| *s != Step::Waiting)).await.is_ok();
        if asked {
            // An error: this connection's service is gone, and it with it.
            let _ = step.wait_for(|s| !matches!(s, Step::Waiting | Step::Asked)).await;
        }
        connection.leave();
        if *step.borrow() != Step::LetIn {
            sleep(TURNED_AWAY).await;
            connection.close();
        }
        pending().await
    }

    fn is(&self, step: Step) {
        self.0.send_replace(step);
    }
}

/// Puts the connection into each request's extensions, and follows its [`Turn`] where it has one.
pub(super) struct WithConnection<S> {
    pub(super) inner: S,
    pub(super) connection: Connection,
    pub(super) turn: Option<Turn>,
}

impl<S, B> Service<Request<Incoming>> for WithConnection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    type Response = Response<Either<B, Empty<B::Data>>>;
    type Error = S::Error;
    type Future = Turned<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(turn) = &self.turn {
            turn.is(Step::Asked);
            if self.connection.is_turned_away() {
                return Turned { inner: None, turn: self.turn.clone() };
            }
        }
        request.extensions_mut().insert(self.connection.clone());
        Turned { inner: Some(self.inner.call(request)), turn: self.turn.clone() }
    }
}

/// The future of [`WithConnection`].
#[pin_project]
pub(super) struct Turned<F> {
    /// `None`: the answer is known.
    #[pin]
    inner: Option<F>,
    turn: Option<Turn>,
}

impl<F, B, E> Future for Turned<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<Either<B, Empty<B::Data>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answered = match this.inner.as_pin_mut() {
            Some(inner) => std::task::ready!(inner.poll(cx)).map(|answer| answer.map(Either::Left)),
            None => Ok(turned_away().map(Either::Right)),
        };
        if let Some(turn) = this.turn {
            let refused = answered.as_ref().is_ok_and(|a| a.status().is_client_error());
            if let Ok(answer) = &mut answered
                && answer.status() == StatusCode::FORBIDDEN
            {
                // What the answer to a handshake says already.
                let denied = HeaderValue::from_static(DENIED);
                answer.headers_mut().entry(SESSION).or_insert(denied);
            }
            turn.is(if refused { Step::Refused } else { Step::LetIn });
        }
        Poll::Ready(answered)
    }
}

/// What a peer is told that policy allows nothing and that has been told so often.
fn turned_away<D: hyper::body::Buf>() -> Response<Empty<D>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(SESSION, HeaderValue::from_static(DENIED));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
