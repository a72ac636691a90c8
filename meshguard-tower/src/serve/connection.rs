//! One connection's HTTP.

use std::pin::Pin;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::BoxError;
use crate::connection::{Connection, Protocol};
use crate::limits::{Limits, MAX_FRAME};
use crate::listener::Io;

/// hyper's two servers, with our limits.
#[derive(Clone)]
pub(crate) struct Http {
    h1: http1::Builder,
    h2: http2::Builder<TokioExecutor>,
}

impl Http {
    pub(crate) fn new(limits: &Limits) -> Self {
        let mut h1 = http1::Builder::new();
        h1.timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_header_size(usize::try_from(limits.head_bytes).unwrap_or(usize::MAX));
        let mut h2 = http2::Builder::new(TokioExecutor::new());
        h2.timer(TokioTimer::new())
            .keep_alive_interval(limits.keep_alive_interval)
            .keep_alive_timeout(limits.keep_alive_timeout)
            .max_concurrent_streams(limits.concurrent_streams)
            .max_frame_size(MAX_FRAME)
            .max_header_list_size(limits.head_bytes);
        Self { h1, h2 }
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
        let io = TokioIo::new(io);
        let inner = TowerToHyperService::new(service);
        let service = WithConnection { inner, connection: connection.clone() };
        let ended = match connection.protocol() {
            Protocol::H1 => {
                let serving = self.h1.serve_connection(io, service).with_upgrades();
                let finish = finished(&finish, &connection);
                until_finished(serving, finish, UpgradeableConnection::graceful_shutdown).await
            }
            Protocol::H2 => {
                let serving = self.h2.serve_connection(io, service);
                let finish = finished(&finish, &connection);
                until_finished(serving, finish, http2::Connection::graceful_shutdown).await
            }
        };
        if let Err(error) = ended {
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
    }
}

/// Until the server drains, or this connection's peer may do nothing any more.
async fn finished(finish: &CancellationToken, connection: &Connection) {
    tokio::select! {
        () = finish.cancelled() => {}
        () = connection.retired() => {}
    }
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

/// Puts the connection into each request's extensions.
struct WithConnection<S> {
    inner: TowerToHyperService<S>,
    connection: Connection,
}

impl<S> hyper::service::Service<Request<Incoming>> for WithConnection<S>
where
    S: Service<Request<Incoming>> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TowerToHyperServiceFuture<S, Request<Incoming>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.connection.clone());
        self.inner.call(request)
    }
}
