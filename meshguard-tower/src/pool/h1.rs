//! An HTTP/1.1 connection: one request at a time, then back to the pool.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use meshguard_core::delivery::field;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connect::{Dialer, Link, Proof};
use super::limits::{CLOSE_GRACE, MAX_HEAD, SETTLE};
use super::reply::{Keep, Park, Reply};
use super::{BoxError, ConnectError, Failed, Inner};
use crate::body::Packed;
use crate::limits::MAX_FIELDS;

/// A live connection; dropping it closes it.
pub(crate) struct Conn<B> {
    sender: SendRequest<Packed<B>>,
    pub(crate) proof: Proof,
    /// When its last response was read to the end.
    pub(crate) since: Instant,
    /// Where its tasks run: a body may be read elsewhere.
    pub(crate) runtime: Handle,
    /// Cancelled once its task has ended.
    ended: CancellationToken,
    _retired: DropGuard,
    /// Held while it carries a request.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

impl<B> Conn<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    pub(crate) async fn open(
        dialer: &Dialer,
        link: Link,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<Self, ConnectError> {
        let Link { stream, proof } = link;
        let mut http = Builder::new();
        http.max_header_size(MAX_HEAD as usize).max_headers(MAX_FIELDS);
        let handshake = http.handshake(TokioIo::new(stream));
        let (sender, connection) = dialer
            .in_time(handshake)
            .await?
            .map_err(|error| ConnectError::Http(Arc::new(error)))?;
        let retired = CancellationToken::new();
        let guard = retired.clone().drop_guard();
        let live = dialer.live();
        let ended = CancellationToken::new();
        let ends = ended.clone().drop_guard();
        tokio::spawn(async move {
            let (_live, _ends) = (live, ends);
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(target: "meshguard::pool", %error, "connection ended");
                },
                () = async { retired.cancelled().await; sleep(CLOSE_GRACE).await } => {}
            }
        });
        let (since, runtime) = (Instant::now(), Handle::current());
        Ok(Self { sender, proof, since, runtime, ended, _retired: guard, place })
    }

    /// Sends `request`, and gives the connection to the response's body.
    pub(crate) async fn send(
        mut self,
        request: Request<B>,
        home: Home<B>,
    ) -> Result<Response<Reply>, Failed<B>> {
        // Of what nothing proves, hyper carries the trailers that the head names.
        let packs = request.headers().contains_key(field::NAME);
        let request = request.map(|body| Packed { body, packs });
        let mut sending = std::pin::pin!(self.sender.try_send_request(request));
        let over = tokio::select! {
            biased;
            sent = &mut sending => Ok(sent),
            () = self.ended.cancelled() => Err(()),
        };
        let via = self.proof.via.clone();
        let (sent, keep) = match over {
            Ok(sent) => (sent, Keep::H1(Box::new(Parked { conn: self, home }))),
            // A request that was handed over at that very moment comes back without its sender only.
            Err(()) => {
                drop(self);
                (sending.await, Keep::Nothing)
            }
        };
        let response = sent.map_err(|error| Failed::from(error).map(|packed| packed.body))?;
        let mut response = response.map(|body| Reply::new(body, keep));
        response.extensions_mut().insert(via);
        Ok(response)
    }
}

impl<B> Conn<B> {
    /// To carry a request, at this place.
    pub(crate) fn at(mut self, place: Option<OwnedSemaphorePermit>) -> Self {
        self.place = place;
        self
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Itself once it is ready. `None` where it is closed; where it is not ready in time it is
    /// given back as it is.
    pub(crate) async fn settled(mut self) -> Option<Self> {
        match timeout(SETTLE, self.sender.ready()).await {
            Ok(Err(_closed)) => None,
            Ok(Ok(())) | Err(_) => Some(self),
        }
    }
}

/// A connection whose response is being read, and where it goes then.
struct Parked<B> {
    conn: Conn<B>,
    home: Home<B>,
}

/// Where a connection goes once its response has been read.
pub(crate) enum Home<B> {
    Pool(Weak<Inner<B>>),
    /// Back to who sent the request.
    Sender(Arc<Mutex<Option<Conn<B>>>>),
}

impl<B: Send + 'static> Park for Parked<B> {
    fn park(self: Box<Self>) {
        let Self { mut conn, home } = *self;
        conn.since = Instant::now();
        match home {
            Home::Pool(home) => {
                if let Some(home) = home.upgrade() {
                    home.park(conn);
                }
            }
            Home::Sender(back) => {
                *back.lock().unwrap_or_else(PoisonError::into_inner) = Some(conn);
            }
        }
    }
}
