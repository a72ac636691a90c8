//! The streams of an HTTP/2 connection, and the end of those whose peer takes nothing.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use meshguard_core::SpiffeId;
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::connection::Connection;
use crate::limits::{Limits, MAX_FRAME, MAX_STALLED, MAX_STALLED_PER_PEER};
use crate::listener::Standing;
use crate::listener::doors::{Doors, Place};

/// A stream takes a place once its bytes have waited so long for a window. Its place is looked at
/// again as often.
pub(super) const STALLED: Duration = Duration::from_secs(1);
/// A hop's share of the places, over anybody else's.
pub(crate) const HOP_WEIGHT: usize = 4;
/// Beyond this part of its share, a peer's streams are ended when their time is over.
const PRESSED: usize = 2;

thread_local! {
    /// What the body said last that was asked during the poll under way, if one was.
    static SAID: Cell<Option<Said>> = const { Cell::new(None) };
}

/// What a body said when it was asked for a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Bytes. hyper asks for more as soon as the peer's windows have room for these.
    Data,
    /// None for now, or none any more.
    Nothing,
}

/// The places of a listener's streams whose bytes wait for their peers' windows (RFC 9113,
/// section 5.2).
#[derive(Clone)]
pub(super) struct Stalls {
    places: Arc<Doors<SpiffeId>>,
    most_of_peer: usize,
    timeout: Duration,
}

impl Stalls {
    pub(super) fn new(limits: &Limits) -> Self {
        Self::with(MAX_STALLED, MAX_STALLED_PER_PEER, limits)
    }

    /// With `most` places, `most_of_peer` of them for one peer.
    pub(super) fn with(most: usize, most_of_peer: usize, limits: &Limits) -> Self {
        Self { places: Doors::new(most, most_of_peer), most_of_peer, timeout: limits.stall_timeout }
    }
}

/// Runs an HTTP/2 connection's streams.
#[derive(Clone)]
pub(super) struct Streams {
    stalls: Stalls,
    connection: Connection,
    /// Whether one of them was ended, which is logged once.
    ended: Arc<AtomicBool>,
}

impl Streams {
    pub(super) fn new(stalls: Stalls, connection: Connection) -> Self {
        Self { stalls, connection, ended: Arc::default() }
    }

    fn weight(&self) -> usize {
        if self.connection.standing() == Standing::Hop { HOP_WEIGHT } else { 1 }
    }

    fn place(&self) -> Place<SpiffeId> {
        self.stalls.places.take(self.connection.peer().id().clone(), self.weight())
    }

    /// Whether a stream that has waited since then is to end for want of room.
    fn is_over(&self, since: Instant) -> bool {
        if since.elapsed() < self.stalls.timeout {
            return false;
        }
        let places = &self.stalls.places;
        let share = self.stalls.most_of_peer * self.weight() / PRESSED;
        places.of(self.connection.peer().id()) > share || places.is_half_full()
    }

    fn ends_one(&self) {
        if !self.ended.swap(true, Relaxed) {
            tracing::info!(
                target: "meshguard::serve",
                {
                    connection.id = self.connection.id(),
                    peer.id = self.connection.peer().id().as_str(),
                    peer.addr = %self.connection.remote_addr()
                },
                "a stream was ended: its peer gave no window for its bytes; further ones of this \
                 connection are not logged"
            );
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let streams = self.clone();
        tokio::spawn(Stream { inner: stream, streams, since: None, timer: None, stalled: None });
    }
}

/// One stream. Where it ends before `inner` does, hyper resets it, and drops what it had buffered.
#[pin_project]
struct Stream<F> {
    #[pin]
    inner: F,
    streams: Streams,
    /// Since when bytes of its body wait for a window.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    stalled: Option<Stalled>,
}

/// A stream's place.
struct Stalled {
    _place: Place<SpiffeId>,
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<F> Future for Stream<F>
where
    F: Future<Output = ()>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        SAID.set(None);
        if this.inner.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(said) = SAID.take() {
            *this.since = (said == Said::Data).then(Instant::now);
            *this.stalled = None;
        }
        let Some(since) = *this.since else { return Poll::Pending };
        let first = since + STALLED;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(first)));
        loop {
            if let Some(stalled) = this.stalled
                && stalled.evicted.as_mut().poll(cx).is_ready()
            {
                break;
            }
            // Put off only when it is due: bytes that go out do not touch it.
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now < first {
                timer.as_mut().reset(first);
                continue;
            }
            if this.stalled.is_none() {
                let place = this.streams.place();
                let evicted = Box::pin(place.evicted_owned());
                *this.stalled = Some(Stalled { _place: place, evicted });
            }
            if this.streams.is_over(since) {
                break;
            }
            timer.as_mut().reset(now + STALLED);
        }
        this.streams.ends_one();
        Poll::Ready(())
    }
}

/// Bytes of an answer that go out at once, as many as a frame may hold that we take ourselves. hyper
/// hands on what it has once there is a window for one byte of it, so of an answer's end this much
/// may still wait when its stream is watched no more.
pub(crate) const PIECE: usize = MAX_FRAME as usize;

/// A body of an answer that tells the [`Stream`] it goes out on what it has to send, and gives its
/// bytes piece by piece.
#[pin_project]
pub(super) struct Sent<B: Body> {
    #[pin]
    body: B,
    rest: Option<B::Data>,
}

impl<B: Body> Sent<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, rest: None }
    }
}

impl<B: Body> Body for Sent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        SAID.set(Some(Said::Nothing));
        let mut data = match this.rest.take() {
            Some(rest) => rest,
            None => match ready!(this.body.poll_frame(cx)?) {
                None => return Poll::Ready(None),
                Some(frame) => match frame.into_data() {
                    Ok(data) => data,
                    // Without data, they are trailers, whose type is the same.
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                },
            },
        };
        if data.has_remaining() {
            SAID.set(Some(Said::Data));
        }
        // Of `Bytes`, no byte is copied.
        let piece = data.copy_to_bytes(data.remaining().min(PIECE));
        *this.rest = data.has_remaining().then_some(data);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.remaining() as u64);
        let (body, mut hint) = (self.body.size_hint(), SizeHint::new());
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper().and_then(|upper| upper.checked_add(rest)) {
            hint.set_upper(upper);
        }
        hint
    }
}
