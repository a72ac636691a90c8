//! Calling others: one channel for requests made by hand and for tonic's generated clients.

mod answer;
mod call;
mod driver;
mod error;
mod exchange;
mod intent;
mod join;
mod open;
mod registry;
mod reply;
mod request;
mod seen;
mod shutdown;
mod untouched;
mod unverified;

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderValue, Request, Response};
use http_body::Body;
use meshguard_core::SpiffeId;
use meshguard_core::baseline::EdgeKey;
use meshguard_core::delivery::WINDOW;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::PollSemaphore;
use tower_service::Service;

pub use error::{CallError, CallErrorKind, ChannelError};
#[cfg(test)]
pub(crate) use join::{DENIED_FOR, MAX_SESSIONS, PROBE_TIME, PROVEN_FOR};
#[cfg(test)]
pub(crate) use open::OPEN_AT_MOST;
pub(crate) use registry::Registry;
#[cfg(test)]
pub(crate) use reply::READ_ON;
pub(crate) use reply::ReplyHook;
pub(crate) use shutdown::shut_down;

use crate::body::{Incoming, Outgoing};
use crate::error::BoxError;
use crate::mesh::{Mesh, random};
use crate::observe::Tally;
use crate::pool::{Pool, PoolLimits, Reply, Target};
use crate::session::{ClientSession, SessionError};
use crate::tls::Alpn;
use open::Opened;
use request::SendHook;
use untouched::Untouched;

/// What goes out: the application's body, boxed where it is not known with the head.
type WireBody = Outgoing<Untouched, SendHook>;
/// A connection with the right to send one request.
type Lease = crate::pool::Lease<WireBody>;

/// An answer's body: nothing of it unverified.
pub type ChannelBody = Incoming<AnswerBody, ReplyHook>;

/// A way to one workload: a tower service for requests made by hand, and for the clients that
/// tonic generates. From [`Mesh::channel`]. Cloning is cheap: clones share one session.
///
/// It accepts an answer from exactly the workload that it was made for, and hands on nothing
/// of an answer that is not verified. A request's URI needs its path only.
#[derive(Debug)]
pub struct Channel {
    shared: Arc<Shared>,
    places: PollSemaphore,
    /// A place in the session's window, taken by `poll_ready`. Never cloned.
    place: Option<OwnedSemaphorePermit>,
}

struct Shared {
    mesh: Mesh,
    config: Config,
    pool: Pool<WireBody>,
    /// Those that take new exchanges, the one that was joined last first.
    sessions: ArcSwap<Vec<Arc<ClientSession>>>,
    /// When an instance was left last that the loop has cut off.
    left: Mutex<Option<Instant>>,
    opening: Mutex<Option<Opened>>,
    /// When the last session was opened.
    opened: Mutex<Option<Instant>>,
    /// When the callee last refused a session, whatever is asked, and with what.
    denied: Mutex<Option<(Instant, SessionError)>>,
    places: Arc<Semaphore>,
    affinity: Option<HeaderValue>,
    hop: Option<Arc<Tally>>,
    /// Which instance answered last: what fails before there is a session is its.
    last_callee: ArcSwap<Tally>,
}

#[derive(Clone)]
struct Config {
    authority: Authority,
    port: u16,
    callee: SpiffeId,
    via: Option<SpiffeId>,
    connect_to: Option<SocketAddr>,
    alpn: Alpn,
    idempotent: bool,
}

/// The body of an answer as the connection brings it.
pub struct AnswerBody(Reply);

impl Channel {
    pub(crate) fn new<I>(mesh: Mesh, uri: &str, callee: I) -> Result<Self, ChannelError>
    where
        I: TryInto<SpiffeId>,
        I::Error: fmt::Display,
    {
        let parsed: Uri = uri.parse().map_err(|_| ChannelError::Uri(uri.to_owned()))?;
        let authority = parsed.authority().filter(|a| !a.as_str().contains('@')).cloned();
        let authority = authority.ok_or_else(|| ChannelError::Uri(uri.to_owned()))?;
        if parsed.scheme() != Some(&Scheme::HTTPS) {
            return Err(ChannelError::Scheme(uri.to_owned()));
        }
        let callee = callee.try_into().map_err(|e| ChannelError::Callee(e.to_string()))?;
        let port = authority.port_u16().unwrap_or(443);
        let (via, connect_to, alpn) = (None, None, Alpn::Both);
        let config = Config { authority, port, callee, via, connect_to, alpn, idempotent: false };
        Ok(Self::with(mesh, config))
    }

    fn with(mesh: Mesh, config: Config) -> Self {
        let target = Target {
            host: config.authority.host().to_owned(),
            port: config.port,
            connect_to: config.connect_to,
            expect: config.via.as_ref().unwrap_or(&config.callee).clone(),
            alpn: config.alpn,
        };
        let pool = Pool::new(mesh.0.tls.clone(), target, PoolLimits::default());
        let places = Arc::new(Semaphore::new(WINDOW as usize));
        let affinity = config.via.as_ref().and_then(|_| affinity());
        let edges = &mesh.0.gate.edges;
        let hop = config.via.as_ref().map(|hop| edges.get(&EdgeKey::HopOut(hop.clone())));
        let instance = match config.connect_to {
            Some(addr) => addr.to_string().into(),
            None => config.authority.as_str().into(),
        };
        let unmet = EdgeKey::Callee { id: config.callee.clone(), instance };
        let last_callee = ArcSwap::new(edges.get(&unmet));
        let shared = Shared {
            mesh,
            config,
            pool,
            sessions: ArcSwap::default(),
            left: Mutex::default(),
            opening: Mutex::default(),
            opened: Mutex::default(),
            denied: Mutex::default(),
            places: Arc::clone(&places),
            affinity,
            hop,
            last_callee,
        };
        Self { shared: Arc::new(shared), places: PollSemaphore::new(places), place: None }
    }

    /// The same way through a hop that ends TLS: it must prove to be `hop`, and reads no body
    /// unless policy lets it. For life: a channel is direct, or through its hop.
    #[must_use]
    pub fn via(self, hop: impl Into<SpiffeId>) -> Self {
        self.reconfigured(|c| c.via = Some(hop.into()))
    }

    /// The same way, but connecting to this address instead of looking the host up.
    #[must_use]
    pub fn connect_to(self, addr: SocketAddr) -> Self {
        self.reconfigured(|c| c.connect_to = Some(addr))
    }

    /// The same way, in these HTTP versions only. The default is HTTP/2, else HTTP/1.1.
    #[must_use]
    pub fn protocols(self, alpn: Alpn) -> Self {
        self.reconfigured(|c| c.alpn = alpn)
    }

    /// Declares all requests on this channel idempotent (RFC 9110 §9.2.2): one that was answered
    /// *renew* through a hop, whose word that is, is sent again. A direct channel does that anyway;
    /// what was lost with its connection is not sent again.
    #[must_use]
    pub fn idempotent(self) -> Self {
        self.reconfigured(|c| c.idempotent = true)
    }

    /// Whom this channel calls.
    #[must_use]
    pub fn callee(&self) -> &SpiffeId {
        &self.shared.config.callee
    }

    fn reconfigured(self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.shared.config.clone();
        change(&mut config);
        Self::with(self.shared.mesh.clone(), config)
    }
}

impl Clone for Channel {
    fn clone(&self) -> Self {
        let places = PollSemaphore::new(Arc::clone(&self.shared.places));
        Self { shared: Arc::clone(&self.shared), places, place: None }
    }
}

impl<B> Service<Request<B>> for Channel
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ChannelBody>;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ChannelBody>, CallError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        if self.place.is_none() {
            // The semaphore is never closed.
            self.place = ready!(self.places.poll_acquire(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (shared, place) = (Arc::clone(&self.shared), self.place.take());
        Box::pin(call::call(shared, place, request))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

impl Shared {
    /// The same way without a session, for what the channel owes when it is gone.
    fn heir(&self) -> Self {
        Self {
            mesh: self.mesh.clone(),
            config: self.config.clone(),
            pool: self.pool.clone(),
            sessions: ArcSwap::default(),
            left: Mutex::default(),
            opening: Mutex::default(),
            opened: Mutex::default(),
            denied: Mutex::default(),
            places: Arc::clone(&self.places),
            affinity: self.affinity.clone(),
            hop: self.hop.clone(),
            last_callee: ArcSwap::new(self.last_callee.load_full()),
        }
    }
}

impl Drop for Shared {
    /// The receipts that wait go out although nobody calls any more.
    fn drop(&mut self) {
        let sessions = self.sessions.swap(Arc::default());
        let owing = sessions.iter().filter(|s| s.sender().receipts_waiting() > 0);
        let owing: Vec<_> = owing.cloned().collect();
        if !owing.is_empty() {
            let heir = Arc::new(self.heir());
            owing.into_iter().for_each(|session| driver::flush_last(&heir, session));
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("authority", &self.config.authority.as_str())
            .field("callee", &self.config.callee.as_str())
            .field("via", &self.config.via.as_ref().map(SpiffeId::as_str))
            .finish_non_exhaustive()
    }
}

/// 16 random bytes in hexadecimal, for balancers to hash on.
fn affinity() -> Option<HeaderValue> {
    let text: String = random::<16>().iter().map(|b| format!("{b:02x}")).collect();
    HeaderValue::from_str(&text).ok()
}
