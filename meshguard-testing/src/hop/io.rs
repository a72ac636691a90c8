//! One TCP or TLS connection, shared between its HTTP codec and the task that may end it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// How long the far end may take to close after us. Closing with unread bytes would send a TCP
/// reset, which discards what the far end has not read yet.
const LINGER: Duration = Duration::from_secs(1);

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Clones share the connection: once the codec that owned one clone is dropped, another can still
/// write and close in its own way.
#[derive(Clone)]
pub(super) struct HopIo(Arc<Mutex<Inner>>);

struct Inner {
    stream: Box<dyn Stream>,
    blocked: bool,
}

impl HopIo {
    pub(super) fn new(stream: impl Stream + 'static) -> Self {
        Self(Arc::new(Mutex::new(Inner { stream: Box::new(stream), blocked: false })))
    }

    /// Whether the last write or flush could not finish.
    pub(super) fn is_blocked(&self) -> bool {
        self.lock().blocked
    }

    /// Writes `last`, closes in good form and waits a little for the far end to do the same.
    pub(super) async fn close(mut self, last: &[u8]) {
        let goodbye = async {
            self.write_all(last).await?;
            self.shutdown().await?;
            let mut scrap = [0; 4096];
            while self.read(&mut scrap).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        // Whether the far end read it all or went first: the connection is over.
        let _ = tokio::time::timeout(LINGER, goodbye).await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A poll that panicked leaves a stream that fails or goes on; both are seen.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn note<T>(&mut self, poll: Poll<T>) -> Poll<T> {
        self.blocked = poll.is_pending();
        poll
    }
}

impl AsyncRead for HopIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for HopIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        let poll = Pin::new(&mut inner.stream).poll_write(cx, data);
        inner.note(poll)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        let poll = Pin::new(&mut inner.stream).poll_flush(cx);
        inner.note(poll)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_shutdown(cx)
    }
}
