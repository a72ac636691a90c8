//! What is known of one connection: which session its far end has proven, and whether it refused
//! this side.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::tls::{HandshakeErrorKind, classify_io};

/// Sessions that a connection remembers not to be known at its far end; the oldest is forgotten.
const MAX_UNKNOWN: usize = 16;

/// Where a connection fails while it is written to, an alert that says why may still have to be
/// read: it is waited for so long.
const REFUSAL_TIME: Duration = Duration::from_millis(250);

/// What it means that a connection's far end does not know a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unbound {
    /// It did know it, over this very connection: the session has ended.
    NoLonger,
    /// This connection ends at an instance of another session.
    Here,
    /// Another call over this connection has learnt the same.
    Still,
}

/// What is known of one connection. Sessions are known by their numbers.
#[derive(Default)]
pub(crate) struct Binding {
    /// The session that was last proven over it; 0: none was.
    session: AtomicU64,
    unknown: Mutex<Vec<u64>>,
    /// Its handshake was a resumption: the far end looks at the certificate afterwards.
    resumed: bool,
    /// The far end has said something: it has accepted this side's certificate.
    heard: AtomicBool,
    refusal: OnceLock<HandshakeErrorKind>,
    /// One probe at a time, for all who share the connection.
    probing: tokio::sync::Mutex<()>,
    /// How often the far end was asked for which session.
    asked: Mutex<Vec<(u64, u64)>>,
}

impl Binding {
    pub(crate) fn new(resumed: bool) -> Self {
        Self { resumed, ..Self::default() }
    }

    /// Whether it was resumed and has ended before its far end said anything: that may have
    /// refused this side, for which a resumed handshake has no alert.
    pub(crate) fn is_refused_in_silence(&self) -> bool {
        self.resumed && !self.is_heard()
    }

    /// The number of the session that was proven over this connection.
    pub(crate) fn session(&self) -> Option<u64> {
        Some(self.session.load(Relaxed)).filter(|number| *number != 0)
    }

    /// An answer over this connection was proven in this session.
    pub(crate) fn bind(&self, session: u64) {
        self.session.store(session, Relaxed);
        self.unknown().retain(|number| *number != session);
    }

    /// The far end does not know this session. Of calls that went out together, the first to
    /// return learns what that means.
    pub(crate) fn unbind(&self, session: u64) -> Unbound {
        let mut unknown = self.unknown();
        let again = unknown.contains(&session);
        if !again {
            if unknown.len() >= MAX_UNKNOWN {
                unknown.remove(0);
            }
            unknown.push(session);
        }
        match self.session.compare_exchange(session, 0, Relaxed, Relaxed) {
            Ok(_) => Unbound::NoLonger,
            Err(_) if again => Unbound::Still,
            Err(_) => Unbound::Here,
        }
    }

    /// Whether the far end has said that it does not know this session.
    pub(crate) fn is_unknown(&self, session: u64) -> bool {
        self.unknown().contains(&session)
    }

    /// The right to ask the far end whether it knows a session.
    pub(crate) async fn probe(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.probing.lock().await
    }

    /// How often it was asked for this session.
    pub(crate) fn asked(&self, session: u64) -> u64 {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().find(|(number, _)| *number == session).map_or(0, |(_, times)| *times)
    }

    /// It was asked for this session, whatever came of it.
    pub(crate) fn has_asked(&self, session: u64) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.iter_mut().find(|(number, _)| *number == session) {
            Some((_, times)) => *times += 1,
            None => {
                if asked.len() >= MAX_UNKNOWN {
                    asked.remove(0);
                }
                asked.push((session, 1));
            }
        }
    }

    /// Why the far end refused this side, where it did so before it said anything else: then it
    /// has seen nothing of any request.
    pub(crate) fn refusal(&self) -> Option<HandshakeErrorKind> {
        self.refusal.get().copied()
    }

    /// Whether the far end has said anything.
    fn is_heard(&self) -> bool {
        self.heard.load(Relaxed)
    }

    fn unknown(&self) -> MutexGuard<'_, Vec<u64>> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A failure of the connection. In TLS 1.3 a client's handshake is complete before the server
    /// has looked at its certificate (RFC 8446, section 4.4.2.4): the alert that refuses it comes
    /// in place of the first answer.
    fn failed(&self, error: &io::Error) {
        let kind = classify_io(error);
        if !self.is_heard() && matches!(kind, HandshakeErrorKind::PeerRefused(_)) {
            // The first refusal counts.
            let _ = self.refusal.set(kind);
        }
    }
}

/// A connection's stream, which notes in its [`Binding`] what became of it.
pub(crate) struct Watched<T> {
    inner: T,
    binding: Arc<Binding>,
    heard: bool,
    /// Writing has failed: how, and how long the reason is waited for.
    failed: Option<(io::Error, Pin<Box<Sleep>>)>,
}

impl<T: AsyncRead + Unpin> Watched<T> {
    pub(crate) fn new(inner: T, binding: Arc<Binding>) -> Self {
        Self { inner, binding, heard: false, failed: None }
    }

    /// Where nothing more can be written, what the far end said last may tell why.
    fn settle<W>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<W>>,
    ) -> Poll<io::Result<W>> {
        match written {
            Poll::Ready(Err(error)) if !self.heard => {
                self.failed = Some((error, Box::pin(sleep(REFUSAL_TIME))));
                self.poll_failed(cx).map(Err)
            }
            other => other,
        }
    }

    /// The error of writing, once it is known what there is to read.
    fn poll_failed(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut scratch = [0; 64];
        match Pin::new(&mut self.inner).poll_read(cx, &mut ReadBuf::new(&mut scratch)) {
            Poll::Ready(Err(error)) => self.binding.failed(&error),
            Poll::Ready(Ok(())) => {}
            Poll::Pending => {
                if let Some((_, timer)) = &mut self.failed {
                    ready!(timer.as_mut().poll(cx));
                }
            }
        }
        let failed = self.failed.take();
        Poll::Ready(failed.map_or(io::ErrorKind::BrokenPipe.into(), |(error, _)| error))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        match &read {
            Ok(()) if !self.heard && buf.filled().len() > before => {
                self.heard = true;
                self.binding.heard.store(true, Relaxed);
            }
            Ok(()) => {}
            Err(error) => self.binding.failed(error),
        }
        Poll::Ready(read)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.failed.is_some() {
            return self.poll_failed(cx).map(Err);
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.settle(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.failed.is_some() {
            return self.poll_failed(cx).map(Err);
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.settle(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.failed.is_some() {
            return self.poll_failed(cx).map(Err);
        }
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.settle(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_forgets_a_session_that_its_far_end_does_not_know() {
        let binding = Binding::default();
        assert_eq!(binding.unbind(1), Unbound::Here);
        assert!(binding.is_unknown(1));
        binding.bind(2);
        assert_eq!(binding.unbind(1), Unbound::Still, "it was never proven here");
        assert_eq!(binding.session(), Some(2));
        assert_eq!(binding.unbind(2), Unbound::NoLonger);
        assert_eq!(binding.session(), None);
        binding.bind(1);
        assert!(!binding.is_unknown(1));
    }

    #[test]
    fn who_was_asked_for_one_session_has_said_nothing_of_another() {
        let binding = Binding::default();
        binding.has_asked(1);
        assert_eq!((binding.asked(1), binding.asked(2)), (1, 0));
        (3..=MAX_UNKNOWN as u64 + 3).for_each(|number| binding.has_asked(number));
        assert_eq!(binding.asked.lock().unwrap().len(), MAX_UNKNOWN);
    }

    #[test]
    fn a_connection_remembers_so_many_unknown_sessions_and_not_one_more() {
        let binding = Binding::default();
        (1..=MAX_UNKNOWN as u64 + 1).for_each(|number| {
            binding.unbind(number);
        });
        assert!(!binding.is_unknown(1) && binding.is_unknown(2));
        assert_eq!(binding.unknown().len(), MAX_UNKNOWN);
    }
}
