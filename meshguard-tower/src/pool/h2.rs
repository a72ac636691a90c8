//! An HTTP/2 connection, shared by all who send.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connect::{Dialer, Link, Proof};
use super::limits::{CLOSE_GRACE, H2_CONNECTION_WINDOW, H2_STREAM_WINDOW, MAX_HEAD, PoolLimits};
use super::reply::{Keep, Reply};
use super::{BoxError, ConnectError, Failed};
use crate::limits::MAX_FRAME;

/// One share in a live connection. It closes when the last share and the last response are gone.
pub(crate) struct Handle<B> {
    sender: SendRequest<B>,
    pub(crate) proof: Proof,
    guard: Arc<DropGuard>,
    /// Cancelled once its task has ended.
    ended: CancellationToken,
}

impl<B> Handle<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    pub(crate) async fn open(dialer: &Dialer, link: Link) -> Result<Self, ConnectError> {
        let Link { stream, proof } = link;
        let (spawner, retired) = Spawner::new();
        let builder = builder(spawner.clone(), &dialer.limits);
        let (sender, connection) = dialer
            .in_time(builder.handshake(TokioIo::new(stream)))
            .await?
            .map_err(|error| ConnectError::Http(Arc::new(error)))?;
        let live = dialer.live();
        let ended = CancellationToken::new();
        let ends = ended.clone().drop_guard();
        spawner.execute(async move {
            let (_live, _ends) = (live, ends);
            if let Err(error) = connection.await {
                tracing::debug!(target: "meshguard::pool", %error, "connection ended");
            }
        });
        Ok(Self { sender, proof, guard: Arc::new(retired), ended })
    }

    pub(crate) async fn send(mut self, request: Request<B>) -> Result<Response<Reply>, Failed<B>> {
        let sending = self.sender.try_send_request(request);
        drop(self.sender); // see `ended`
        let response = sending.await.map_err(Failed::from)?;
        let keep = Keep::H2(self.guard);
        let mut response = response.map(|body| Reply::new(body, keep));
        response.extensions_mut().insert(self.proof.via);
        Ok(response)
    }
}

impl<B> Handle<B> {
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether there are other shares than this one and the pool's.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.guard) > 2
    }

    /// Waits for the end of the connection. A share that is kept is to be dropped then: a request that
    /// was handed over at that very moment comes back only when the last share is gone.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<B> {
        self.ended.clone().cancelled_owned()
    }
}

impl<B> Clone for Handle<B> {
    fn clone(&self) -> Self {
        let (sender, proof) = (self.sender.clone(), self.proof.clone());
        Self { sender, proof, guard: Arc::clone(&self.guard), ended: self.ended.clone() }
    }
}

fn builder(spawner: Spawner, limits: &PoolLimits) -> Builder<Spawner> {
    let mut builder = Builder::new(spawner);
    builder
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEAD)
        .max_frame_size(MAX_FRAME)
        .keep_alive_interval(limits.h2_keep_alive_interval)
        .keep_alive_timeout(limits.h2_keep_alive_timeout)
        .keep_alive_while_idle(true);
    builder
}

/// Spawns the tasks of one connection, and sees to it that they end.
#[derive(Clone)]
struct Spawner {
    kill: CancellationToken,
    /// Held by each task; all are done when none is left.
    running: mpsc::Sender<()>,
}

impl Spawner {
    /// With the guard whose drop says that nobody uses the connection any more.
    fn new() -> (Self, DropGuard) {
        let (retired, kill) = (CancellationToken::new(), CancellationToken::new());
        let (running, mut done) = mpsc::channel::<()>(1);
        let spawner = Self { kill: kill.clone(), running };
        let guard = retired.clone().drop_guard();
        tokio::spawn(async move {
            retired.cancelled().await;
            tokio::select! {
                _ = done.recv() => {}
                () = sleep(CLOSE_GRACE) => kill.cancel(),
            }
        });
        (spawner, guard)
    }
}

impl<F> Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let Self { kill, running } = self.clone();
        tokio::spawn(async move {
            drop(kill.run_until_cancelled(task).await);
            drop(running);
        });
    }
}
