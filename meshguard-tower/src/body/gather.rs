//! A body that is held as a whole before the application sees any of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use tokio::time::Sleep;

use super::eager::join;
use super::hold::{HOLD_TIME, HoldError};
use crate::error::{DeliveryError, DeliveryErrorKind};

/// Gathers one body, whose frames are verified already.
pub(crate) struct Gather<B> {
    body: B,
    most: usize,
    chunks: VecDeque<Bytes>,
    got: usize,
    timer: Option<Pin<Box<Sleep>>>,
    reserved: Vec<Arc<AtomicUsize>>,
}

impl<B> Gather<B> {
    /// Of at most `most` bytes, for which there must be room: `limits` are what is taken, and the
    /// most there is. `None` where there is none.
    pub(crate) fn new(body: B, most: usize, limits: &[(&Arc<AtomicUsize>, usize)]) -> Option<Self> {
        let chunks = VecDeque::new();
        let mut new = Self { body, most, chunks, got: 0, timer: None, reserved: Vec::new() };
        for (taken, limit) in limits {
            let before = taken.fetch_add(most, Ordering::Relaxed);
            new.reserved.push(Arc::clone(taken));
            if before.saturating_add(most) > *limit {
                return None; // what was reserved is given back with `new`
            }
        }
        Some(new)
    }

    /// Bytes that came so far.
    pub(crate) fn got(&self) -> usize {
        self.got
    }
}

impl<B> Gather<B>
where
    B: Body<Data = Bytes, Error = DeliveryError> + Unpin,
{
    /// The whole body and its trailers.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Bytes, Option<HeaderMap>), HoldError>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => return Poll::Ready(Ok((self.whole(), None))),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(HoldError::Body(error))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        self.got += data.len();
                        if self.got > self.most {
                            return Poll::Ready(Err(HoldError::Long));
                        }
                        self.chunks.push_back(data);
                    }
                    Err(frame) => {
                        return Poll::Ready(Ok((self.whole(), frame.into_trailers().ok())));
                    }
                },
            }
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(HOLD_TIME)));
        let late = DeliveryError::new(DeliveryErrorKind::Timeout, self.got as u64, None);
        timer.as_mut().poll(cx).map(|()| Err(HoldError::Body(late)))
    }

    fn whole(&mut self) -> Bytes {
        join(std::mem::take(&mut self.chunks), self.got)
    }
}

impl<B> Drop for Gather<B> {
    fn drop(&mut self) {
        for taken in &self.reserved {
            taken.fetch_sub(self.most, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http_body_util::channel::{Channel, Sender};
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    fn full(bytes: usize) -> impl Body<Data = Bytes, Error = DeliveryError> + Unpin {
        Full::new(Bytes::from(vec![1; bytes])).map_err(|never| match never {})
    }

    /// How much came, or why not: `None` where there was too much.
    async fn gathered<B>(body: B, most: usize) -> Result<usize, Option<DeliveryErrorKind>>
    where
        B: Body<Data = Bytes, Error = DeliveryError> + Unpin,
    {
        let mut gather = Gather::new(body, most, &[]).unwrap();
        match poll_fn(|cx| gather.poll(cx)).await {
            Ok((data, _)) => Ok(data.len()),
            Err(HoldError::Body(error)) => Err(Some(error.kind())),
            Err(_) => Err(None),
        }
    }

    #[tokio::test]
    async fn the_longest_body_is_gathered_and_a_longer_one_is_not() {
        assert_eq!(gathered(full(0), 0).await, Ok(0));
        assert_eq!(gathered(full(7), 7).await, Ok(7));
        assert_eq!(gathered(full(8), 7).await, Err(None));
    }

    #[tokio::test]
    async fn what_came_of_a_body_that_fails_is_not_passed_on() {
        let (mut sender, body): (Sender<Bytes, DeliveryError>, _) = Channel::new(2);
        sender.send_data(Bytes::from_static(b"half")).await.unwrap();
        sender.abort(DeliveryError::new(DeliveryErrorKind::Short, 4, Some(8)));
        assert_eq!(gathered(body, 8).await, Err(Some(DeliveryErrorKind::Short)));
    }

    #[tokio::test]
    async fn room_is_taken_beforehand_and_given_back() {
        let taken = Arc::new(AtomicUsize::new(0));
        let gather = |most| Gather::new(full(1), most, &[(&taken, 10)]);
        let (first, second) = (gather(6), gather(4));
        assert!(first.is_some() && second.is_some() && gather(1).is_none());
        drop((first, second));
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_waited_for_so_long_and_no_longer() {
        let (_sender, body): (Sender<Bytes, DeliveryError>, _) = Channel::new(1);
        let began = tokio::time::Instant::now();
        assert_eq!(gathered(body, 1).await, Err(Some(DeliveryErrorKind::Timeout)));
        assert_eq!(began.elapsed(), HOLD_TIME);
    }
}
