//! One connection's HTTP.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::BoxError;
use super::http1::Http1;
use super::http2::Http2;
use super::streams::{Stalls, Streams};
use super::turned::{Turn, WithConnection};
use crate::connection::{Connection, Protocol};
use crate::limits::{Lifetime, Limits, MAX_FIELDS, MAX_FRAME, SEND_BUFFER};
use crate::listener::Io;
use crate::session::MAX_HANDSHAKE;

/// Time until an HTTP/1.1 connection that rests is closed because its server drains or it is to make
/// room: a caller that sends a
/// request while it closes does not know what came of it. Until then it closes with its next
/// answer.
const LINGER: Duration = Duration::from_millis(250);

/// Time that a peer has to close an HTTP/2 connection once this side has closed its own half.
const UNREAD: Duration = Duration::from_secs(1);

/// hyper's two servers, with our limits.
#[derive(Clone)]
pub(crate) struct Http {
    h1: http1::Builder,
    limits: Arc<Limits>,
    stalls: Stalls,
}

impl Http {
    pub(crate) fn new(limits: &Limits) -> Self {
        let mut h1 = http1::Builder::new();
        h1.timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_headers(MAX_FIELDS)
            .max_header_size(usize::try_from(limits.head_bytes).unwrap_or(usize::MAX));
        Self { h1, limits: Arc::new(limits.clone()), stalls: Stalls::new(limits) }
    }

    /// For a connection; `one`: a request's head is all that is wanted of it.
    fn h2(&self, connection: &Connection, one: bool) -> http2::Builder<Streams> {
        let limits = &self.limits;
        let mut h2 = http2::Builder::new(Streams::new(self.stalls.clone(), connection.clone()));
        h2.timer(TokioTimer::new())
            .keep_alive_interval(limits.keep_alive_interval)
            .keep_alive_timeout(limits.keep_alive_timeout)
            .max_concurrent_streams(if one { 1 } else { limits.concurrent_streams })
            .max_frame_size(MAX_FRAME)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(limits.head_bytes);
        if one {
            h2.initial_stream_window_size(MAX_HANDSHAKE as u32);
        }
        h2
    }

    /// Serves the connection until it ends, or until it has finished after `finish`.
    pub(crate) async fn serve<S, B>(
        self,
        io: Io,
        connection: Connection,
        service: S,
        finish: CancellationToken,
    ) where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let inner = TowerToHyperService::new(service);
        let turn = Turn::of(&connection);
        let one = turn.is_some();
        let service = WithConnection { inner, connection: connection.clone(), turn: turn.clone() };
        let turned = Turn::end(turn, &connection, self.limits.head_timeout);
        let leaving = Arc::new(AtomicBool::new(one));
        let lifetime = self.limits.lifetime;
        let ended = match connection.protocol() {
            Protocol::H1 => {
                let service = Http1 { inner: service, leaving: Arc::clone(&leaving) };
                let serving = self.h1.serve_connection(TokioIo::new(io), service).with_upgrades();
                let finish = async {
                    finished(&finish, &connection).await;
                    leaving.store(true, Relaxed);
                    sleep(LINGER).await;
                };
                // Whoever sends a request to it when it closes does not know what came of it:
                // it is left to close with its next answer, or for its rest.
                let rested = lifetime.map(|l| l.resting(self.limits.head_timeout));
                let old = grow_old(rested, &connection, || leaving.store(true, Relaxed));
                tokio::select! {
                    ended = until_finished(serving, finish, UpgradeableConnection::graceful_shutdown) => ended,
                    never = old => match never {},
                    never = turned => match never {},
                }
            }
            Protocol::H2 => {
                let mut io = io;
                let http = self.h2(&connection, one);
                let serving = http.serve_connection(TokioIo::new(&mut io), Http2(service));
                let aged = CancellationToken::new();
                let finish = async {
                    tokio::select! {
                        () = finished(&finish, &connection) => {}
                        () = aged.cancelled() => {}
                    }
                };
                let ended = tokio::select! {
                    ended = until_finished(serving, finish, http2::Connection::graceful_shutdown) => ended,
                    never = grow_old(lifetime, &connection, || aged.cancel()) => match never {},
                    never = turned => match never {},
                };
                // What cannot be read by then has no more time.
                let _ = timeout(UNREAD, read_out(io)).await;
                ended
            }
        };
        if let Err(error) = ended {
            tell(&connection, &error);
        }
    }
}

fn tell(connection: &Connection, error: &hyper::Error) {
    tracing::debug!(
        target: "meshguard::serve",
        {
            connection.id = connection.id(),
            peer.id = connection.peer().id().as_str(),
            %error
        },
        "a connection ended with an error"
    );
}

/// Closes this side's half, and reads to the end of the other. To close both at once while bytes are
/// on their way resets the connection (RFC 9293, section 3.6.1), and a GOAWAY that the peer has not read
/// by then is lost to it: it could not tell which of its requests were not acted on.
async fn read_out(mut io: Io) -> std::io::Result<u64> {
    io.shutdown().await?;
    tokio::io::copy(&mut io, &mut tokio::io::sink()).await
}

/// Until the server drains, or this connection's peer may do nothing any more.
async fn finished(finish: &CancellationToken, connection: &Connection) {
    tokio::select! {
        () = finish.cancelled() => {}
        () = connection.retired() => {}
    }
}

/// Asks a connection to end once it is old, and cuts it off after its grace; never ends itself.
async fn grow_old(
    lifetime: Option<Lifetime>,
    connection: &Connection,
    ask: impl FnOnce(),
) -> Infallible {
    if let Some(lifetime) = lifetime {
        sleep(lifetime.scattered()).await;
        ask();
        sleep(lifetime.grace).await;
        connection.close();
    }
    pending().await
}

async fn until_finished<C: Future>(
    serving: C,
    finish: impl Future<Output = ()>,
    tell: impl FnOnce(Pin<&mut C>),
) -> C::Output {
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        biased;
        ended = serving.as_mut() => return ended,
        () = finish => tell(serving.as_mut()),
    }
    serving.await
}
