//! The byte stream of a live connection, which others can end, and silence too.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How a live connection is ended from this side.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Cancelled: reads and writes fail at once.
    pub(crate) end: CancellationToken,
    /// Time without a byte either way.
    pub(crate) idle: Duration,
    /// So many bytes are to come in within so much time from the start.
    pub(crate) opening: Option<(usize, Duration)>,
    pub(crate) activity: Arc<Activity>,
}

/// When a connection's last byte came or went, in microseconds since the first one of any.
#[derive(Debug, Default)]
pub(crate) struct Activity(AtomicU64);

impl Activity {
    /// Tells the older ones apart from the newer ones.
    pub(crate) fn last(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn touch(&self, at: Instant) {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let since = at.saturating_duration_since(*BEGAN.get_or_init(|| at)).as_micros();
        self.0.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
    }
}

/// A stream under [`Terms`]; `K` is kept alive as long as the stream.
///
/// Bytes are counted above TLS: records that never become complete are silence.
#[pin_project]
pub(crate) struct BoundedIo<T, K> {
    #[pin]
    inner: T,
    end: CancellationToken,
    #[pin]
    ended: WaitForCancellationFutureOwned,
    #[pin]
    timer: Sleep,
    idle: Duration,
    last_byte: Instant,
    opening: Option<Opening>,
    activity: Arc<Activity>,
    kept: K,
}

struct Opening {
    missing: usize,
    until: Instant,
}

impl<T, K> BoundedIo<T, K> {
    pub(crate) fn new(inner: T, terms: Terms, kept: K) -> Self {
        let now = Instant::now();
        let Terms { end, idle, opening, activity } = terms;
        activity.touch(now);
        let opening = opening.map(|(missing, time)| Opening { missing, until: after(now, time) });
        let first = opening.as_ref().map_or(after(now, idle), |o| o.until.min(after(now, idle)));
        let (ended, timer) = (end.clone().cancelled_owned(), sleep_until(first));
        Self { inner, end, ended, timer, idle, last_byte: now, opening, activity, kept }
    }

    pub(crate) fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Fails once the connection was ended from outside.
    fn check(&self) -> io::Result<()> {
        if self.end.is_cancelled() { Err(ended()) } else { Ok(()) }
    }

    /// Called where the inner stream makes the task wait: what else may end the wait.
    fn poll_end(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut this = self.project();
        if this.ended.poll(cx).is_ready() {
            return Poll::Ready(ended());
        }
        loop {
            std::task::ready!(this.timer.as_mut().poll(cx));
            let silent = after(*this.last_byte, *this.idle);
            let due = this.opening.as_ref().map_or(silent, |o| o.until.min(silent));
            if due <= Instant::now() {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            this.timer.as_mut().reset(due); // there were bytes since the timer was set
        }
    }

    fn came(self: Pin<&mut Self>, bytes: usize) {
        let this = self.project();
        if bytes == 0 {
            return;
        }
        *this.last_byte = Instant::now();
        this.activity.touch(*this.last_byte);
        if let Some(opening) = this.opening {
            opening.missing = opening.missing.saturating_sub(bytes);
            if opening.missing == 0 {
                *this.opening = None;
            }
        }
    }

    fn went(self: Pin<&mut Self>, bytes: usize) {
        if bytes > 0 {
            let this = self.project();
            *this.last_byte = Instant::now();
            this.activity.touch(*this.last_byte);
        }
    }
}

impl<T: AsyncRead, K> AsyncRead for BoundedIo<T, K> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        let before = buf.filled().len();
        match self.as_mut().project().inner.poll_read(cx, buf) {
            Poll::Ready(result) => {
                self.came(buf.filled().len() - before);
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_end(cx).map(Err),
        }
    }
}

impl<T: AsyncWrite, K> BoundedIo<T, K> {
    fn wrote(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(result) => {
                self.as_mut().went(*result.as_ref().unwrap_or(&0));
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_end(cx).map(Err),
        }
    }
}

impl<T: AsyncWrite, K> AsyncWrite for BoundedIo<T, K> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let result = self.as_mut().project().inner.poll_write(cx, buf);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let result = self.as_mut().project().inner.poll_write_vectored(cx, bufs);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        match self.as_mut().project().inner.poll_flush(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_end(cx).map(Err),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        match self.as_mut().project().inner.poll_shutdown(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_end(cx).map(Err),
        }
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was ended by this side")
}

/// `time` after `start`, or as far ahead as timers can be set where that is beyond them.
fn after(start: Instant, time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    start + time.min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const IDLE: Duration = Duration::from_secs(10);

    fn terms() -> Terms {
        Terms { end: CancellationToken::new(), idle: IDLE, opening: None, activity: Arc::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_the_stream_and_a_byte_puts_it_off() {
        let (mut far, near) = duplex(64);
        let start = Instant::now();
        let mut near = Box::pin(BoundedIo::new(near, terms(), ()));
        let reader = tokio::spawn(async move {
            let mut buf = [0; 8];
            assert_eq!(near.read(&mut buf).await.unwrap(), 1);
            near.read(&mut buf).await.unwrap_err()
        });
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        far.write_all(b"x").await.unwrap();
        let error = reader.await.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let lived = start.elapsed();
        assert!(lived >= IDLE * 2 - Duration::from_secs(1), "{lived:?}");
        assert!(lived < IDLE * 2, "{lived:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickled_opening_ends_the_stream_although_it_is_never_silent() {
        let (mut far, near) = duplex(64);
        let start = Instant::now();
        let terms = Terms { opening: Some((24, Duration::from_secs(15))), ..terms() };
        let mut near = Box::pin(BoundedIo::new(near, terms, ()));
        let reader = tokio::spawn(async move {
            let mut buf = [0; 64];
            loop {
                if let Err(error) = near.read(&mut buf).await {
                    return error;
                }
            }
        });
        tokio::spawn(async move {
            while far.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
        assert_eq!(reader.await.unwrap().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 15);
    }

    #[tokio::test]
    async fn cancelling_ends_a_waiting_read_and_every_later_call() {
        let (_far, near) = duplex(64);
        let terms = terms();
        let end = terms.end.clone();
        let mut near = Box::pin(BoundedIo::new(near, terms, ()));
        let waiting = tokio::spawn(async move {
            let error = near.read(&mut [0; 8]).await.unwrap_err();
            (error.kind(), near.write(b"x").await.unwrap_err().kind())
        });
        end.cancel();
        let aborted = io::ErrorKind::ConnectionAborted;
        assert_eq!(waiting.await.unwrap(), (aborted, aborted));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_silence() {
        let (_far, near) = duplex(4);
        let mut near = Box::pin(BoundedIo::new(near, terms(), ()));
        let error = near.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
