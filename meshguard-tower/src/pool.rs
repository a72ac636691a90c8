//! Connections to one callee: one shared HTTP/2 connection, or a bounded set of HTTP/1.1 ones.
//!
//! Every connection has proved [`Target::expect`] before it carries a byte of a request. A request
//! that provably was not sent is sent once more over a fresh connection, or handed back.

mod ask;
mod binding;
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
use crate::tls::{Alpn, HandshakeErrorKind, TlsContext};
use checkout::State;
use connect::Dialer;

pub(crate) use ask::{Asked, read};
pub(crate) use binding::{Binding, Unbound};
pub use error::ConnectError;
pub(crate) use error::SendError;
pub(crate) use limits::PoolLimits;
#[cfg(test)]
pub(crate) use limits::{H2_CONNECTION_WINDOW, H2_STREAM_WINDOW, MAX_HEAD};
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
pub(crate) enum Lease<B> {
    H1(h1::Conn<B>),
    H2(h2::Handle<B>),
}

/// How one attempt failed.
pub(crate) enum Failed<B> {
    /// Not a byte was sent.
    Unsent(Box<Request<B>>, hyper::Error),
    /// The far end has refused this side, and seen nothing of the request.
    Refused(HandshakeErrorKind),
    /// The far end says that it has not acted on the request.
    Unprocessed(hyper::Error),
    /// The callee may have seen the request.
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
        match self.checkout(false).await {
            Ok(lease) => self.send_first(lease, request).await,
            Err(error) => Err(not_sent(error, request)),
        }
    }

    /// As [`send`](Self::send), over this connection first.
    pub(crate) async fn send_first(
        &self,
        lease: Lease<B>,
        request: Request<B>,
    ) -> Result<Response<Reply>, SendError<B>> {
        let original = head::Original::of(&request);
        let (mut lease, mut request, mut again) = (lease, request, false);
        loop {
            match self.send_over(lease, request).await {
                Ok(response) => return Ok(response),
                Err(Failed::Lost(error)) => return Err(SendError::Lost { error }),
                Err(Failed::Refused(kind)) => return Err(SendError::Refused { kind }),
                Err(Failed::Unprocessed(error)) => return Err(SendError::Unprocessed { error }),
                Err(Failed::Unsent(unsent, error)) if again => {
                    let error = ConnectError::Http(Arc::new(error));
                    return Err(not_sent(error, original.restore(*unsent)));
                }
                Err(Failed::Unsent(unsent, _)) => {
                    (request, again) = (original.restore(*unsent), true);
                    lease = match self.checkout(true).await {
                        Ok(lease) => lease,
                        Err(error) => return Err(not_sent(error, request)),
                    };
                }
            }
        }
    }

    /// A connection to send one request over; a new one, where `fresh` and HTTP/1.1.
    pub(crate) async fn lease(&self, fresh: bool) -> Result<Lease<B>, ConnectError> {
        self.checkout(fresh).await
    }

    /// As [`lease`](Self::lease): one over which this session was proven, else, where `apart`, a
    /// new one that nobody shares.
    pub(crate) async fn lease_for(
        &self,
        session: u64,
        apart: bool,
    ) -> Result<Lease<B>, ConnectError> {
        match self.bound_to(session).await {
            Some(lease) => Ok(lease),
            None if apart => self.apart().await,
            None => self.checkout(false).await,
        }
    }

    /// Gives a connection up, with all that rest and over which this session was proven.
    pub(crate) fn leave(&self, lease: Lease<B>, session: u64) {
        let binding = Arc::clone(lease.binding());
        drop(lease);
        let left = self.0.state().leave(&binding, session);
        drop(left); // without the lock
    }

    /// Shares this connection no more: it has taken nothing of a request, and may take a while to
    /// be known as closed.
    pub(crate) fn discard(&self, binding: &Arc<Binding>) {
        let shared = self.0.state().discard(binding);
        drop(shared); // without the lock
    }

    /// Keeps a connection that was not used after all.
    pub(crate) fn give_back(&self, lease: Lease<B>) {
        if let Lease::H1(conn) = lease {
            self.0.park(conn);
        }
    }

    /// Sends `request` over this connection, and waits for the head of its response.
    pub(crate) async fn send_over(
        &self,
        lease: Lease<B>,
        request: Request<B>,
    ) -> Result<Response<Reply>, Failed<B>> {
        self.send_from(lease, request, h1::Home::Pool(Arc::downgrade(&self.0))).await
    }

    /// Closes the connections that carry nothing now; the others close with what they carry.
    /// Waits until all have said goodbye.
    pub(crate) async fn close(&self) {
        let idle = self.0.state().empty();
        drop(idle); // without the lock
        self.0.dialer.deserted().await;
    }

    async fn send_from(
        &self,
        lease: Lease<B>,
        mut request: Request<B>,
        home: h1::Home<B>,
    ) -> Result<Response<Reply>, Failed<B>> {
        let target = &self.0.dialer.target;
        let binding = Arc::clone(lease.binding());
        let sent = match lease {
            Lease::H1(conn) => {
                head::for_h1(&mut request, target);
                check_request(&request);
                conn.send(request, home).await
            }
            Lease::H2(handle) => {
                head::for_h2(&mut request, target);
                check_request(&request);
                handle.send(request).await
            }
        };
        sent.map_err(|failed| {
            if binding.is_refused_in_silence() {
                self.0.dialer.forget_tickets();
            }
            binding.refusal().map_or(failed, Failed::Refused)
        })
    }
}

impl<B> Lease<B> {
    /// The same connection once more, where it can be shared.
    pub(crate) fn share(&self) -> Option<Self> {
        match self {
            Self::H1(_) => None,
            Self::H2(handle) => Some(Self::H2(handle.clone())),
        }
    }

    /// Whether others send over it, too.
    pub(crate) fn is_shared(&self) -> bool {
        match self {
            Self::H1(_) => false,
            Self::H2(handle) => handle.is_shared(),
        }
    }

    /// What is known of the connection.
    pub(crate) fn binding(&self) -> &Arc<Binding> {
        match self {
            Self::H1(conn) => &conn.proof.binding,
            Self::H2(handle) => &handle.proof.binding,
        }
    }
}

impl<B> Failed<B> {
    /// With the body that was given, in place of what it was sent as.
    fn map<C>(self, body: impl FnOnce(B) -> C) -> Failed<C> {
        match self {
            Self::Unsent(request, error) => Failed::Unsent(Box::new(request.map(body)), error),
            Self::Refused(kind) => Failed::Refused(kind),
            Self::Unprocessed(error) => Failed::Unprocessed(error),
            Self::Lost(error) => Failed::Lost(error),
        }
    }
}

impl<B> From<TrySendError<Request<B>>> for Failed<B> {
    fn from(mut error: TrySendError<Request<B>>) -> Self {
        match error.take_message() {
            Some(request) => Self::Unsent(Box::new(request), error.into_error()),
            None => Self::of(error.into_error()),
        }
    }
}

impl<B> Failed<B> {
    /// A stream that the far end had not processed when it said goodbye (RFC 9113, sections 6.8
    /// and 8.7), or nobody knows.
    fn of(error: hyper::Error) -> Self {
        let h2 = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<::h2::Error>());
        let unprocessed = h2.is_some_and(|h2| {
            let leaving = h2.is_go_away() && h2.reason() == Some(::h2::Reason::NO_ERROR);
            let refused = h2.is_reset() && h2.reason() == Some(::h2::Reason::REFUSED_STREAM);
            h2.is_remote() && (leaving || refused)
        });
        if unprocessed { Self::Unprocessed(error) } else { Self::Lost(error) }
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
