//! Connections to one callee: one shared HTTP/2 connection, or a bounded set of HTTP/1.1 ones.
//!
//! Every connection has proved [`Target::expect`] before it carries a byte of a request. A request
//! that provably was not sent is sent once more over a fresh connection, or handed back.

mod checkout;
mod connect;
mod error;
mod h1;
mod h2;
mod head;
mod limits;
mod reply;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use hyper::client::conn::TrySendError;
use meshguard_core::{Peer, SpiffeId};
use tokio::sync::{Notify, Semaphore};

use crate::head::check_request;
use crate::tls::{Alpn, TlsContext};
use checkout::State;
use connect::Dialer;

pub use error::ConnectError;
pub(crate) use error::SendError;
pub(crate) use limits::PoolLimits;
pub(crate) use reply::Reply;

/// As hyper takes a body's error.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whom to connect to, and who must answer.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// A DNS name or an IP address, an IPv6 one with or without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Connect here, and do not look `host` up.
    pub(crate) connect_to: Option<SocketAddr>,
    /// The identity that the connection's certificate must prove.
    pub(crate) expect: SpiffeId,
    pub(crate) alpn: Alpn,
}

/// What a response came over: in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Via {
    /// Who proved to be at the other end of the connection.
    pub(crate) peer: Peer,
    /// [`Version::HTTP_2`] or [`Version::HTTP_11`].
    pub(crate) version: Version,
}

/// The connections to one [`Target`]. Clones are one; the connections end with the last of them,
/// save those whose responses are still being read.
pub(crate) struct Pool<B>(Arc<Inner<B>>);

pub(crate) struct Inner<B> {
    dialer: Arc<Dialer>,
    /// One place for each HTTP/1.1 connection that carries a request; they are given in order.
    places: Arc<Semaphore>,
    /// One for each HTTP/1.1 connection that is being made.
    dials: Arc<Semaphore>,
    /// An HTTP/1.1 connection has come back.
    parked: Notify,
    state: Mutex<State<B>>,
}

/// A connection with the right to send one request.
enum Lease<B> {
    H1(h1::Conn<B>),
    H2(h2::Handle<B>),
}

/// How one attempt failed.
enum Failed<B> {
    Unsent(Box<Request<B>>, hyper::Error),
    Lost(hyper::Error),
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// A pool without a connection; the first request makes one.
    pub(crate) fn new(tls: TlsContext, target: Target, limits: PoolLimits) -> Self {
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let (places, dials) = (permits(limits.max_h1), permits(limits.max_dials));
        let dialer = Arc::new(Dialer::new(tls, target, limits));
        let (parked, state) = (Notify::new(), Mutex::new(State::new()));
        Self(Arc::new(Inner { dialer, places, dials, parked, state }))
    }

    /// Sends `request`, whose URI is absolute, and waits for the head of its response.
    ///
    /// Dropping the future gives the request up: over HTTP/2 its stream is reset, over HTTP/1.1 its
    /// connection is closed.
    pub(crate) async fn send(&self, request: Request<B>) -> Result<Response<Reply>, SendError<B>> {
        let original = head::Original::of(&request);
        let (mut request, mut again) = (request, false);
        loop {
            let lease = match self.checkout(again).await {
                Ok(lease) => lease,
                Err(error) => return Err(not_sent(error, original.restore(request))),
            };
            match self.send_over(lease, request).await {
                Ok(response) => return Ok(response),
                Err(Failed::Lost(error)) => return Err(SendError::Lost { error }),
                Err(Failed::Unsent(unsent, error)) if again => {
                    let error = ConnectError::Http(Arc::new(error));
                    return Err(not_sent(error, original.restore(*unsent)));
                }
                Err(Failed::Unsent(unsent, _)) => {
                    (request, again) = (original.restore(*unsent), true);
                }
            }
        }
    }

    async fn send_over(
        &self,
        lease: Lease<B>,
        mut request: Request<B>,
    ) -> Result<Response<Reply>, Failed<B>> {
        let target = &self.0.dialer.target;
        match lease {
            Lease::H1(conn) => {
                head::for_h1(&mut request, target);
                check_request(&request);
                conn.send(request, Arc::downgrade(&self.0)).await
            }
            Lease::H2(handle) => {
                head::for_h2(&mut request, target);
                check_request(&request);
                handle.send(request).await
            }
        }
    }
}

impl<B> Failed<B> {
    /// With the body that was given, in place of what it was sent as.
    fn map<C>(self, body: impl FnOnce(B) -> C) -> Failed<C> {
        match self {
            Self::Unsent(request, error) => Failed::Unsent(Box::new(request.map(body)), error),
            Self::Lost(error) => Failed::Lost(error),
        }
    }
}

impl<B> From<TrySendError<Request<B>>> for Failed<B> {
    fn from(mut error: TrySendError<Request<B>>) -> Self {
        match error.take_message() {
            Some(request) => Self::Unsent(Box::new(request), error.into_error()),
            None => Self::Lost(error.into_error()),
        }
    }
}

impl<B> Inner<B> {
    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

fn not_sent<B>(error: ConnectError, request: Request<B>) -> SendError<B> {
    SendError::NotSent { error, request: Box::new(request) }
}

#[cfg(test)]
mod tests;
