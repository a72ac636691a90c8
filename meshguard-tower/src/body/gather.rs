//! A body that is held as a whole before the application sees any of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use tokio::time::Sleep;

use super::eager::join;
use super::hold::{HOLD_TIME, HoldError};
use super::room::Share;
use crate::error::{DeliveryError, DeliveryErrorKind};

/// Gathers one body, whose frames are verified already.
pub(crate) struct Gather<B> {
    body: B,
    most: usize,
    chunks: VecDeque<Bytes>,
    got: usize,
    timer: Option<Pin<Box<Sleep>>>,
    share: Share,
}

impl<B> Gather<B> {
    /// Of at most `most` bytes. What has come of it takes room where it has to wait for more.
    pub(crate) fn new(body: B, most: usize, share: Share) -> Self {
        Self { body, most, chunks: VecDeque::new(), got: 0, timer: None, share }
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
        if self.share.poll_evicted(cx, self.got).is_ready() {
            return Poll::Ready(Err(HoldError::Full));
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(HOLD_TIME)));
        let late = DeliveryError::new(DeliveryErrorKind::Timeout, self.got as u64, None);
        timer.as_mut().poll(cx).map(|()| Err(HoldError::Body(late)))
    }

    fn whole(&mut self) -> Bytes {
        join(std::mem::take(&mut self.chunks), self.got)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http_body_util::channel::{Channel, Sender};
    use http_body_util::{BodyExt as _, Full};

    use meshguard_core::SpiffeId;

    use super::super::room::Room;
    use super::*;

    const A: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/a");

    fn share() -> Share {
        Room::new(usize::MAX, 1).share(A)
    }

    fn full(bytes: usize) -> impl Body<Data = Bytes, Error = DeliveryError> + Unpin {
        Full::new(Bytes::from(vec![1; bytes])).map_err(|never| match never {})
    }

    /// How much came, or why not: `None` where there was too much.
    async fn gathered<B>(body: B, most: usize) -> Result<usize, Option<DeliveryErrorKind>>
    where
        B: Body<Data = Bytes, Error = DeliveryError> + Unpin,
    {
        let mut gather = Gather::new(body, most, share());
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
    async fn what_came_takes_room_and_gives_it_back() {
        let room = Room::new(10, 1);
        for _ in 0..3 {
            let (mut sender, body): (Sender<Bytes, DeliveryError>, _) = Channel::new(1);
            let mut gather = Gather::new(body, 100, room.share(A));
            for (came, fits) in [(6, true), (4, true), (1, false)] {
                sender.send_data(vec![1; came].into()).await.unwrap();
                let polled = poll_fn(|cx| Poll::Ready(gather.poll(cx))).await;
                assert_eq!(polled.is_pending(), fits);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_waited_for_so_long_and_no_longer() {
        let (_sender, body): (Sender<Bytes, DeliveryError>, _) = Channel::new(1);
        let began = tokio::time::Instant::now();
        assert_eq!(gathered(body, 1).await, Err(Some(DeliveryErrorKind::Timeout)));
        assert_eq!(began.elapsed(), HOLD_TIME);
    }
}
