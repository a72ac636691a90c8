//! Bodies on their way out: into HTTP/2 or HTTP/1.1.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};
use tokio::sync::mpsc;

use super::body::Failure;
use super::drive::Control;
use super::fault::Cut;

/// Where a body goes.
pub(super) enum Sink {
    H2(SendStream<Bytes>, Control),
    H1(mpsc::Sender<Part>, Control),
}

/// The receiver wants no more, or is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl Sink {
    pub(super) async fn data(&mut self, data: Bytes) -> Result<(), Gone> {
        match self {
            _ if data.is_empty() => Ok(()),
            Self::H2(stream, _) => send(stream, data, false).await,
            Self::H1(parts, _) => parts.send(Part::Data(data)).await.map_err(|_| Gone),
        }
    }

    /// Ends the body well, after `last`.
    pub(super) async fn end(&mut self, last: Bytes) -> Result<(), Gone> {
        if let Self::H2(stream, _) = self {
            return send(stream, last, true).await;
        }
        self.data(last).await?;
        self.part(Part::End).await
    }

    /// Ends the body well, with trailers.
    pub(super) async fn trailers(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        if let Self::H2(stream, _) = self {
            return stream.send_trailers(trailers).map_err(|_| Gone);
        }
        self.part(Part::Trailers(trailers)).await?;
        self.part(Part::End).await
    }

    /// Ends the body as its source did, once all is written that went before.
    pub(super) async fn fail(&mut self, failure: Failure) {
        match self {
            Self::H2(stream, control) => {
                control.flushed().await;
                stream.send_reset(failure.reason());
            }
            // Gone already, if it cannot be told.
            Self::H1(parts, control) => drop(parts.send(Part::Close(control.clone())).await),
        }
    }

    /// Cuts the body after `last`; `grpc` where it is a gRPC answer.
    pub(super) async fn cut(&mut self, last: Bytes, how: Cut, grpc: bool) -> Result<(), Gone> {
        match (how, &mut *self) {
            (Cut::EndStream, Self::H2(..)) if grpc => {
                self.data(last).await?;
                let ok = (HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
                self.trailers(HeaderMap::from_iter([ok])).await
            }
            (Cut::EndStream, _) => self.end(last).await,
            (Cut::ResetNoError, Self::H2(..)) => self.reset(last, Reason::NO_ERROR).await,
            (Cut::ResetCancel, Self::H2(..)) => self.reset(last, Reason::CANCEL).await,
            (_, Self::H2(_, control)) => {
                let control = control.clone();
                self.data(last).await?;
                control.close();
                Ok(())
            }
            (_, Self::H1(_, control)) => {
                let control = control.clone();
                self.data(last).await?;
                self.part(Part::Close(control)).await
            }
        }
    }

    /// Resolves when the receiver wants no more.
    pub(super) async fn gone(&mut self) {
        match self {
            Self::H2(stream, _) => drop(poll_fn(|cx| stream.poll_reset(cx)).await),
            Self::H1(parts, _) => parts.closed().await,
        }
    }

    async fn reset(&mut self, last: Bytes, reason: Reason) -> Result<(), Gone> {
        self.data(last).await?;
        self.fail(Failure::Reset(reason)).await;
        Ok(())
    }

    async fn part(&mut self, part: Part) -> Result<(), Gone> {
        match self {
            Self::H1(parts, _) => parts.send(part).await.map_err(|_| Gone),
            Self::H2(..) => Ok(()),
        }
    }
}

/// Sends within the peer's flow control windows.
async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes, end: bool) -> Result<(), Gone> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let mut room = stream.capacity();
        while room == 0 {
            room = match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(Ok(room)) => room,
                Some(Err(_)) | None => return Err(Gone),
            };
        }
        let piece = data.split_to(room.min(data.len()));
        let last = end && data.is_empty();
        stream.send_data(piece, last).map_err(|_| Gone)?;
        if last {
            return Ok(());
        }
    }
    if end { stream.send_data(data, true).map_err(|_| Gone) } else { Ok(()) }
}

/// A part of a body on its way to hyper.
#[derive(Debug)]
pub(super) enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Close the connection when hyper has written what went before.
    Close(Control),
}

/// A body fed part by part. Ends well only with [`Part::End`]: a feeder that goes away without
/// makes it fail.
#[derive(Debug)]
pub(super) struct PartBody(State);

#[derive(Debug)]
enum State {
    Open(mpsc::Receiver<Part>),
    /// Until the connection is closed.
    Parked,
    Ended,
}

impl PartBody {
    pub(super) fn empty() -> Self {
        Self(State::Ended)
    }

    pub(super) fn channel() -> (mpsc::Sender<Part>, Self) {
        let (tx, rx) = mpsc::channel(1);
        (tx, Self(State::Open(rx)))
    }
}

impl Body for PartBody {
    type Data = Bytes;
    type Error = Unfinished;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unfinished>>> {
        let parts = match &mut self.0 {
            State::Open(parts) => parts,
            State::Parked => return Poll::Pending,
            State::Ended => return Poll::Ready(None),
        };
        Poll::Ready(match std::task::ready!(parts.poll_recv(cx)) {
            Some(Part::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Part::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Some(Part::End) => {
                self.0 = State::Ended;
                None
            }
            Some(Part::Close(control)) => {
                self.0 = State::Parked;
                control.close();
                return Poll::Pending;
            }
            None => Some(Err(Unfinished)),
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, State::Ended)
    }
}

/// The feeder went away before the body's end.
#[derive(Debug)]
pub(super) struct Unfinished;

impl std::fmt::Display for Unfinished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body's source went away")
    }
}

impl std::error::Error for Unfinished {}
