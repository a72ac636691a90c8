//! A body that can be sent again as long as nothing of it was sent.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use crate::error::DeliveryError;

type Inner = UnsyncBoxBody<Bytes, DeliveryError>;

/// A body that several requests may carry in turn: the first that something is read of has it, for
/// good.
pub(super) struct Untouched {
    here: Option<Inner>,
    shared: Arc<Mutex<Option<Inner>>>,
}

impl Untouched {
    pub(super) fn new(body: Inner) -> Self {
        Self { here: None, shared: Arc::new(Mutex::new(Some(body))) }
    }

    /// The same body, for another request.
    pub(super) fn again(&self) -> Self {
        Self { here: None, shared: Arc::clone(&self.shared) }
    }

    /// The body alone, if nobody has read anything of it: no other request can have it any more.
    pub(super) fn claim(self) -> Option<Self> {
        let claimed = self.shared().take();
        claimed.map(Self::new)
    }

    fn shared(&self) -> MutexGuard<'_, Option<Inner>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Untouched {
    type Data = Bytes;
    type Error = DeliveryError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DeliveryError>>> {
        if let Some(body) = &mut self.here {
            return Pin::new(body).poll_frame(cx);
        }
        let shared = Arc::clone(&self.shared);
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(body) = shared.as_mut() else {
            // Never as if it were whole.
            return Poll::Ready(Some(Err(DeliveryError::passed("it is sent elsewhere".into()))));
        };
        let polled = Pin::new(body).poll_frame(cx);
        if polled.is_ready() {
            self.here = shared.take();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.here {
            Some(body) => body.is_end_stream(),
            None => self.shared().as_ref().is_some_and(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.here {
            Some(body) => body.size_hint(),
            None => self.shared().as_ref().map_or(SizeHint::default(), Body::size_hint),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[tokio::test]
    async fn a_body_that_had_nothing_to_give_yet_can_go_elsewhere() {
        let (give, frames) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
        let frames = futures_util::stream::unfold(frames, |mut frames| async {
            let frame = frames.recv().await?;
            Some((Ok::<_, DeliveryError>(Frame::data(frame)), frames))
        });
        let body = http_body_util::StreamBody::new(frames).boxed_unsync();
        let mut first = Untouched::new(body);
        let second = first.again();
        let noop = &mut Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut first).poll_frame(noop).is_pending());
        let mut second = second.claim().unwrap();
        let third = second.again();
        give.send(Bytes::from("abc")).unwrap();
        assert!(second.frame().await.unwrap().is_ok());
        assert!(third.claim().is_none(), "some of it was read");
        assert!(first.frame().await.unwrap().is_err(), "never as if it were whole");
    }

    #[tokio::test]
    async fn a_body_is_sent_once_whoever_else_has_it() {
        let body = Full::new(Bytes::from("abc")).map_err(|e| match e {}).boxed_unsync();
        let first = Untouched::new(body);
        let second = first.again();
        assert!(!first.is_end_stream());
        let third = second.again();
        let second = second.claim().unwrap();
        assert!(first.collect().await.is_err(), "never as if it were whole");
        assert!(third.claim().is_none());
        assert_eq!(second.collect().await.unwrap().to_bytes(), "abc");
    }
}
