//! A response's body, which knows what becomes of its connection.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::sync::DropGuard;

/// The body of a response. Read to its end, it gives an HTTP/1.1 connection back to the pool;
/// dropped before, it closes it. Over HTTP/2 dropping resets the stream.
pub(crate) struct Reply {
    body: Incoming,
    keep: Keep,
}

/// What a body keeps alive while it is read.
pub(crate) enum Keep {
    /// An HTTP/1.1 connection, this response's alone.
    H1(Box<dyn Park>),
    /// A shared HTTP/2 connection: it outlives its pool for the sake of this response.
    H2(#[allow(dead_code, reason = "held for its drop")] Arc<DropGuard>),
    Nothing,
}

/// An HTTP/1.1 connection that can go back to where it came from.
pub(crate) trait Park: Send + Sync {
    /// Its response has been read.
    fn park(self: Box<Self>);
}

impl Reply {
    pub(crate) fn new(body: Incoming, keep: Keep) -> Self {
        let mut reply = Self { body, keep };
        reply.release_at_end();
        reply
    }

    fn release_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Keep::H1(conn) = std::mem::replace(&mut self.keep, Keep::Nothing) {
            conn.park();
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.release(),
            Some(Ok(frame)) if frame.is_trailers() => self.release(),
            Some(Ok(_)) => self.release_at_end(),
            Some(Err(_)) => self.keep = Keep::Nothing, // the connection is broken
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("body", &self.body).finish_non_exhaustive()
    }
}
