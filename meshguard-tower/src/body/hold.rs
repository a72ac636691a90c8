//! A known body: held until all of it is there and is what its head was proved with.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use meshguard_core::delivery::{MAX_KNOWN, known};
use tokio::time::Sleep;

use super::eager::join;
use super::packed::unpack;
use super::room::Share;
use crate::error::{BoxError, DeliveryError, DeliveryErrorKind};

/// A known body has so long to come.
pub(crate) const HOLD_TIME: Duration = Duration::from_secs(10);

/// Gathers one known body.
pub(crate) struct Hold<B> {
    body: B,
    digest: [u8; 32],
    /// What `content-length` says, to name a shortfall with.
    length: Option<u64>,
    chunks: VecDeque<Bytes>,
    got: usize,
    timer: Option<Pin<Box<Sleep>>>,
    /// Where what has come is counted, if anywhere.
    share: Option<Share>,
}

/// Why a body is not held to its end.
pub(crate) enum HoldError {
    /// It is not, or not all, what its head was proved with.
    Body(DeliveryError),
    /// So many are held already that this one is not waited for.
    Full,
    /// There is more of it than a rule lets through.
    Long,
}

impl<B> Hold<B> {
    pub(crate) fn new(body: B, digest: [u8; 32], length: Option<u64>) -> Self {
        Self { body, digest, length, chunks: VecDeque::new(), got: 0, timer: None, share: None }
    }

    /// What has come of it takes room where it has to wait for more.
    pub(crate) fn counted(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    /// Bytes that came so far.
    pub(crate) fn got(&self) -> usize {
        self.got
    }

    fn error(&self, kind: DeliveryErrorKind) -> HoldError {
        HoldError::Body(DeliveryError::new(kind, self.got as u64, self.length))
    }
}

impl<B> Hold<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// The whole body and its trailers, once they are verified.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Bytes, Option<HeaderMap>), HoldError>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return self.poll_wait(cx),
                Poll::Ready(None) => return Poll::Ready(self.verify(None)),
                Poll::Ready(Some(Err(e))) => {
                    let error = DeliveryError::transport(self.got as u64, self.length, e.into());
                    return Poll::Ready(Err(HoldError::Body(error)));
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        self.got += data.len();
                        // A stated length is held to: what is beyond it is not kept.
                        if self.got > MAX_KNOWN || self.length.is_some_and(|l| self.got as u64 > l)
                        {
                            return Poll::Ready(Err(self.error(DeliveryErrorKind::Long)));
                        }
                        self.chunks.push_back(data);
                    }
                    Err(frame) => {
                        let trailers = frame.into_trailers().ok().map(unpack);
                        return Poll::Ready(self.verify(trailers));
                    }
                },
            }
        }
    }

    fn poll_wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, HoldError>> {
        if self.share.as_mut().is_some_and(|share| share.poll_evicted(cx, self.got).is_ready()) {
            return Poll::Ready(Err(HoldError::Full));
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(HOLD_TIME)));
        let late = timer.as_mut().poll(cx).is_ready();
        if late { Poll::Ready(Err(self.error(DeliveryErrorKind::Timeout))) } else { Poll::Pending }
    }

    fn verify(
        &mut self,
        trailers: Option<HeaderMap>,
    ) -> Result<(Bytes, Option<HeaderMap>), HoldError> {
        let body = join(std::mem::take(&mut self.chunks), self.got);
        if known::digest(&body, trailers.as_ref()) == self.digest {
            return Ok((body, trailers));
        }
        let got = self.got as u64;
        Err(self.error(match self.length {
            Some(length) if got < length => DeliveryErrorKind::Short,
            Some(length) if got > length => DeliveryErrorKind::Long,
            _ => DeliveryErrorKind::Digest,
        }))
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
    const B: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/b");

    type Piecewise = Channel<Bytes, std::io::Error>;

    fn hold<B: Body>(body: B, whole: &[u8]) -> Hold<B> {
        Hold::new(body, known::digest(whole, None), Some(whole.len() as u64))
    }

    async fn held<B>(mut hold: Hold<B>) -> Result<Bytes, DeliveryErrorKind>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        match poll_fn(|cx| hold.poll(cx)).await {
            Ok((data, _)) => Ok(data),
            Err(HoldError::Body(error)) => Err(error.kind()),
            Err(_) => panic!("nothing limits it"),
        }
    }

    #[tokio::test]
    async fn a_body_that_comes_in_pieces_is_handed_on_in_one() {
        let (mut sender, body): (Sender<Bytes, std::io::Error>, _) = Piecewise::new(1);
        let sending = async {
            for piece in ["he", "ll", "o"] {
                sender.send_data(piece.into()).await.unwrap();
            }
            drop(sender);
        };
        let (held, ()) = tokio::join!(held(hold(body, b"hello")), sending);
        assert_eq!(held.unwrap(), "hello");
    }

    #[tokio::test]
    async fn at_its_longest_a_body_is_held_and_beyond_it_is_not() {
        let longest = vec![1; MAX_KNOWN];
        let full = Full::new(Bytes::from(longest.clone()));
        assert_eq!(held(hold(full, &longest)).await.unwrap(), longest);
        let longer = vec![1; MAX_KNOWN + 1];
        let full = Full::new(Bytes::from(longer.clone()));
        assert_eq!(held(hold(full, &longer)).await, Err(DeliveryErrorKind::Long));
    }

    #[tokio::test]
    async fn what_comes_beyond_its_stated_length_is_not_kept() {
        let (mut sender, body): (Sender<Bytes, std::io::Error>, _) = Piecewise::new(1);
        let mut hold = hold(body, b"");
        assert!(poll_fn(|cx| Poll::Ready(hold.poll(cx).is_pending())).await);
        sender.send_data(Bytes::from_static(&[0; 1000])).await.unwrap();
        let Err(HoldError::Body(error)) = poll_fn(|cx| hold.poll(cx)).await else {
            panic!("it is too long");
        };
        assert_eq!((error.kind(), hold.chunks.len()), (DeliveryErrorKind::Long, 0));
    }

    #[tokio::test]
    async fn short_and_changed_bodies_are_told_apart() {
        let full = |text: &'static str| Full::new(Bytes::from_static(text.as_bytes()));
        assert_eq!(held(hold(full("hell"), b"hello")).await, Err(DeliveryErrorKind::Short));
        assert_eq!(held(hold(full("hallo"), b"hello")).await, Err(DeliveryErrorKind::Digest));
        let mut trailers = HeaderMap::new();
        trailers.insert("a", http::HeaderValue::from_static("b"));
        let more = full("hello").with_trailers(std::future::ready(Some(Ok(trailers))));
        assert_eq!(held(hold(more, b"hello")).await, Err(DeliveryErrorKind::Digest));
    }

    /// What is stated takes nothing, and what comes of one principal costs no other one its body.
    #[tokio::test]
    async fn who_holds_most_makes_room_for_others() {
        let room = Room::new(30_000, 1);
        let whole = vec![1; 20_000];
        let begins = async |of: &SpiffeId, came: usize| {
            let (mut sender, body): (Sender<Bytes, std::io::Error>, _) = Piecewise::new(1);
            let (digest, length) = (known::digest(&whole, None), whole.len() as u64);
            let mut hold = Hold::new(body, digest, Some(length)).counted(room.share(of));
            sender.send_data(whole[..came].to_vec().into()).await.unwrap();
            let waits = poll_fn(|cx| Poll::Ready(hold.poll(cx).is_pending())).await;
            assert!(waits);
            (sender, hold)
        };
        let mut greedy = Vec::new();
        for _ in 0..100 {
            greedy.push(begins(A, 0).await);
        }
        let (mut sender, mut honest) = begins(B, 10_000).await;
        let mut first = begins(A, 12_000).await;
        let _second = begins(A, 12_000).await;
        let out = poll_fn(|cx| first.1.poll(cx)).await;
        assert!(matches!(out, Err(HoldError::Full)));
        sender.send_data(whole[10_000..].to_vec().into()).await.unwrap();
        drop(sender);
        let Ok((held, _)) = poll_fn(|cx| honest.poll(cx)).await else { panic!("it was let go") };
        assert_eq!(held, whole);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_waited_for_so_long_and_no_longer() {
        let (_sender, body): (Sender<Bytes, std::io::Error>, _) = Piecewise::new(1);
        let began = tokio::time::Instant::now();
        assert_eq!(held(hold(body, b"x")).await, Err(DeliveryErrorKind::Timeout));
        assert_eq!(began.elapsed().as_secs(), HOLD_TIME.as_secs());
    }
}
