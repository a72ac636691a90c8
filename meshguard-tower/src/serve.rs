//! Serving HTTP over a [`Listener`]: HTTP/1.1 and HTTP/2 by ALPN, timed, bounded, and drained.

mod connection;
mod http1;
mod http2;
mod streams;
mod turned;

use std::fmt;
use std::future::{IntoFuture, pending};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::listener::Listener;
use crate::probe::{Health, HealthState};
use connection::Http;

/// How long tasks that were cut off may take to stop, unless they are stuck in a call that blocks.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// Callers have so long to confirm what was answered, before their connections are told to finish.
pub(crate) const CONFIRM_TIME: Duration = Duration::from_millis(100);
const CONFIRM_STEP: Duration = Duration::from_millis(2);

#[cfg(test)]
pub(crate) use streams::{HOP_WEIGHT as STALLED_OF_HOP, PIECE};
#[cfg(test)]
pub(crate) use turned::TURNED_AWAY;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;
type Confirmed = Box<dyn Fn() -> bool + Send>;

/// Serves `service` to every connection of `listener`, each request with the
/// [`crate::connection::Connection`] it came over in its extensions.
///
/// Await the result; it serves until its shutdown signal, for ever without one. Dropping the
/// future ends all connections.
pub fn serve<S>(listener: Listener, service: S) -> Serve<S> {
    Serve { listener, service, shutdown: None, health: None, confirmed: None }
}

/// A server that is about to run: see [`serve`].
#[must_use = "a server runs when it is awaited"]
pub struct Serve<S> {
    listener: Listener,
    service: S,
    shutdown: Option<(Signal, Duration)>,
    health: Option<Health>,
    confirmed: Option<Confirmed>,
}

/// How a server's connections ended after its shutdown signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that answered what they had, and closed.
    pub finished: usize,
    /// Connections that were closed at the deadline.
    pub cut: usize,
}

impl<S> Serve<S> {
    /// Has probes answer that the service is ready from now on, and draining after its signal.
    pub(crate) fn with_health(mut self, health: Health) -> Self {
        self.health = Some(health);
        self
    }

    /// Has connections go on after the signal until `confirmed`, or for [`CONFIRM_TIME`]: over one that
    /// is told to finish, nothing more can be confirmed.
    pub(crate) fn until_confirmed(mut self, confirmed: impl Fn() -> bool + Send + 'static) -> Self {
        self.confirmed = Some(Box::new(confirmed));
        self
    }

    /// Once `signal` is ready: accepts no more, lets the answers of the last moments be confirmed
    /// (at most 100 ms), tells every connection to finish what it has
    /// (GOAWAY, `connection: close`), and after `deadline` closes those that are left.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
        deadline: Duration,
    ) -> Self {
        self.shutdown = Some((Box::pin(signal), deadline));
        self
    }
}

impl<S, B> Serve<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    async fn run(self) -> io::Result<Drained> {
        let Self { mut listener, service, shutdown, health, confirmed } = self;
        let tell = |state| health.iter().for_each(|h| h.set(state));
        tell(HealthState::Ready);
        let (mut signal, deadline) =
            shutdown.unwrap_or_else(|| (Box::pin(pending()), Duration::MAX));
        let http = Http::new(listener.limits());
        let finish = CancellationToken::new();
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = &mut signal => break,
                Some(ended) = running.join_next(), if !running.is_empty() => note(ended),
                accepted = listener.accept() => {
                    let Some((io, connection)) = accepted else {
                        return Err(io::Error::other("the listener's acceptor has ended"));
                    };
                    let (service, finish) = (service.clone(), finish.clone());
                    running.spawn(http.clone().serve(io, connection, service, finish));
                }
            }
        }
        tell(HealthState::Draining);
        let _watched = listener.stop_accepting();
        if let Some(confirmed) = confirmed {
            // What is not confirmed by then stays so.
            let _ = timeout(CONFIRM_TIME.min(deadline), until(confirmed)).await;
        }
        finish.cancel();
        Ok(drain(running, deadline).await)
    }
}

impl<S, B> IntoFuture for Serve<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Output = io::Result<Drained>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<S> fmt::Debug for Serve<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("listener", &self.listener).finish_non_exhaustive()
    }
}

async fn until(confirmed: Confirmed) {
    while !confirmed() {
        sleep(CONFIRM_STEP).await;
    }
}

async fn drain(mut running: JoinSet<()>, deadline: Duration) -> Drained {
    let mut drained = Drained::default();
    let finishing = async {
        while let Some(ended) = running.join_next().await {
            note(ended);
            drained.finished += 1;
        }
    };
    if timeout(deadline, finishing).await.is_err() {
        drained.cut = running.len();
        drop(timeout(CUT_GRACE, running.shutdown()).await);
    }
    tracing::info!(
        target: "meshguard::serve",
        { drain.finished = drained.finished, drain.cut = drained.cut },
        "drained"
    );
    drained
}

/// A panic in a service ends its own connection only, but not in silence.
fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(target: "meshguard::serve", %error, "a connection's task failed");
    }
}

#[cfg(test)]
mod tests;
