//! A body on its way to the wire.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use meshguard_core::delivery::{Encoder, RecordError, grpc, known};

use super::status_trailers;
use crate::error::{BoxError, DeliveryError, DeliveryErrorKind};

/// Payloads from this size on are sent where they lie, their header and tag around them. Below,
/// one copy costs less than the two small HTTP/2 frames that it saves, at both ends.
const COPY_BELOW: usize = 64 * 1024;

/// Wants to know how an outgoing body ended.
pub(crate) trait OutHook: Unpin {
    /// A receipt to put into FIN, once it is known.
    fn poll_receipt(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<meshguard_core::delivery::Receipt>>;

    /// FIN is out: all of the body is, but for its trailers.
    fn finished(&mut self, encoder: &Encoder, trailers: Option<&HeaderMap>);

    /// The application's body failed: FIN says that what came is not all.
    fn aborted(&mut self, encoder: &Encoder);

    /// No more of the body is sent, because of this.
    fn broken(&mut self, _: &DeliveryError) {}

    /// Whether it is an answer: trailers of gRPC may say in its place what cannot be sent, and it
    /// ends in order.
    fn is_answer(&self) -> bool {
        false
    }

    /// Whether the body is to be cut off: its far end has no right to it any more.
    fn is_ended(&self) -> bool {
        false
    }

    /// As [`is_ended`](Self::is_ended), asked while the body waits; if not, the task is woken
    /// when it is.
    fn poll_ended(&mut self, _: &Context<'_>) -> bool {
        false
    }
}

/// A body on its way to the wire: as it is, or as records.
pub struct Outgoing<B, H>(Kind<B, H>);

enum Kind<B, H> {
    Empty,
    Known(Bytes, Option<HeaderMap>),
    /// Without a hook, somebody else guards it.
    Plain(B, Option<H>),
    Records(Box<Records<B, H>>),
}

struct Records<B, H> {
    /// What was polled before the head was made.
    first: VecDeque<Bytes>,
    inner: Option<B>,
    encoder: Encoder,
    framing: Framing,
    ready: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    error: Option<BoxError>,
    /// The payload bytes that the head has stated.
    size: Option<u64>,
    /// FIN has had its time to be written before the error ends all.
    told: bool,
    hook: H,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Body,
    Fin,
    Trailers,
    Done,
}

/// How payloads become records.
pub(crate) enum Framing {
    /// As the application chunked them, cut at this many bytes.
    Http(usize),
    /// One record for each message.
    Grpc(grpc::Splitter),
}

impl<B, H> Outgoing<B, H> {
    pub(crate) fn empty() -> Self {
        Self(Kind::Empty)
    }

    pub(crate) fn known(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self(Kind::Known(data, trailers))
    }

    /// Passes on what somebody else guards.
    pub(crate) fn plain(inner: B) -> Self {
        Self(Kind::Plain(inner, None))
    }

    /// Passes on what nothing proves, until `hook` has it cut off.
    pub(crate) fn guarded(inner: B, hook: H) -> Self {
        Self(Kind::Plain(inner, Some(hook)))
    }

    /// `first` and `trailers` were polled from the body already; `inner` is the rest, if any.
    pub(crate) fn records(
        encoder: Encoder,
        framing: Framing,
        first: VecDeque<Bytes>,
        inner: Option<B>,
        end: Option<Result<HeaderMap, BoxError>>,
        hook: H,
    ) -> Self {
        let mut records = Records {
            first,
            inner,
            encoder,
            framing,
            ready: VecDeque::new(),
            trailers: None,
            error: None,
            size: None,
            told: false,
            hook,
            stage: Stage::Body,
        };
        match end {
            None => {}
            Some(Ok(trailers)) => records.trailers = Some(trailers),
            Some(Err(error)) => records.error = Some(error),
        }
        if records.trailers.is_some() || records.error.is_some() {
            records.inner = None;
        }
        Self(Kind::Records(Box::new(records)))
    }

    /// Holds the application's body to the length that its head states.
    pub(crate) fn sized(mut self, size: Option<u64>) -> Self {
        if let Kind::Records(records) = &mut self.0 {
            records.size = size;
        }
        self
    }
}

impl<B, H> Records<B, H>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    H: OutHook,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, DeliveryError>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.stage == Stage::Body && self.hook.is_ended() {
                self.abort(withdrawn().into());
            }
            match self.stage {
                Stage::Body => match ready!(self.poll_unless_ended(cx)) {
                    Some(chunk) => {
                        if let Err(error) = self.encode(chunk) {
                            self.refuse(error);
                        }
                    }
                    None => match self.messages_end() {
                        Ok(()) => self.stage = Stage::Fin,
                        Err(error) => self.refuse(error),
                    },
                },
                Stage::Fin => ready!(self.poll_fin(cx)),
                Stage::Trailers => {
                    self.stage = Stage::Done;
                    if let Some(trailers) = self.trailers.take() {
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                }
                Stage::Done if self.error.is_some() && !self.told => {
                    // The error has the stream reset, and a reset overtakes what waits to be
                    // written: FIN, which says with proof that it was this side, goes first.
                    self.told = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Stage::Done => return Poll::Ready(self.error.take().map(failed).map(Err)),
            }
        }
    }

    /// As `poll_chunk`, but not beyond the time when the body is to be cut off.
    fn poll_unless_ended(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let polled = self.poll_chunk(cx);
        if polled.is_pending() && self.hook.poll_ended(cx) {
            self.error = Some(withdrawn().into());
            self.inner = None;
            return Poll::Ready(None);
        }
        polled
    }

    /// The next piece of the application's body; `None` at its end, however it ended.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(chunk) = self.first.pop_front() {
            return Poll::Ready(Some(chunk));
        }
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        match ready!(Pin::new(inner).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => return Poll::Ready(Some(data)),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            },
            Some(Err(error)) => self.error = Some(error.into()),
            None => {}
        }
        self.inner = None;
        Poll::Ready(None)
    }

    fn encode(&mut self, mut chunk: Bytes) -> Result<(), RecordError> {
        match &mut self.framing {
            Framing::Http(record) => {
                let record = *record;
                while chunk.len() > record {
                    let piece = chunk.split_to(record);
                    self.record(0, piece)?;
                }
                self.record(0, chunk)
            }
            Framing::Grpc(splitter) => {
                splitter.push(chunk);
                while let Some((flag, message)) = self.message()? {
                    self.record(flag, message)?;
                }
                Ok(())
            }
        }
    }

    fn message(&mut self) -> Result<Option<(u8, Bytes)>, RecordError> {
        match &mut self.framing {
            Framing::Grpc(splitter) => splitter.poll(),
            Framing::Http(_) => Ok(None),
        }
    }

    fn record(&mut self, flag: u8, payload: Bytes) -> Result<(), RecordError> {
        if self.encoder.seals() || payload.len() < COPY_BELOW {
            let mut out = BytesMut::new();
            self.encoder.data(flag, &payload, &mut out)?;
            self.ready.push_back(out.freeze());
        } else {
            let around = self.encoder.around(flag, &payload)?;
            self.ready.push_back(Bytes::copy_from_slice(&around.header));
            self.ready.push_back(payload);
            self.ready.push_back(Bytes::copy_from_slice(&around.tag));
        }
        Ok(())
    }

    fn poll_fin(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.check_size();
        if let Some(error) = &self.error {
            self.hook.broken(&DeliveryError::own(&**error));
        }
        let receipt = ready!(self.hook.poll_receipt(cx));
        let aborted = self.error.is_some();
        let trailers = self.trailers.as_ref().filter(|_| !aborted).map(known::trailer_digest);
        match self.encoder.fin(aborted, trailers, receipt) {
            Ok(fin) => self.ready.push_back(fin),
            Err(error) => self.error = Some(error.into()),
        }
        if self.error.is_some() {
            self.hook.aborted(&self.encoder);
        } else {
            self.hook.finished(&self.encoder, self.trailers.as_ref());
        }
        self.stage = if self.error.is_some() { Stage::Done } else { Stage::Trailers };
        Poll::Ready(())
    }

    /// Whether a gRPC body ended behind a whole message.
    fn messages_end(&self) -> Result<(), RecordError> {
        match &self.framing {
            Framing::Grpc(splitter) if self.error.is_none() => splitter.end(),
            Framing::Grpc(_) | Framing::Http(_) => Ok(()),
        }
    }

    /// A body of another length than its head states does not end as if it were whole.
    fn check_size(&mut self) {
        let sent = self.encoder.totals().1;
        if self.error.is_none()
            && let Some(size) = self.size.filter(|size| *size != sent)
        {
            self.error = Some(WrongLength { stated: size, is: sent }.into());
        }
    }

    /// What the application sends cannot be: it breaks off here, or ends in words.
    fn refuse(&mut self, error: RecordError) {
        let error = DeliveryError::from(error);
        let in_words = self.hook.is_answer() && matches!(self.framing, Framing::Grpc(_));
        match status_trailers(&error).filter(|_| in_words) {
            Some(trailers) => {
                self.hook.broken(&error);
                self.trailers = Some(trailers);
                self.inner = None;
                self.first.clear();
                self.stage = Stage::Fin;
            }
            None => self.abort(error.into()),
        }
    }

    fn abort(&mut self, error: BoxError) {
        self.error = Some(error);
        self.inner = None;
        self.first.clear();
        self.stage = Stage::Fin;
    }
}

/// No body.
impl<B, H> Default for Outgoing<B, H> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B, H> Body for Outgoing<B, H>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    H: OutHook,
{
    type Data = Bytes;
    type Error = DeliveryError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DeliveryError>>> {
        match &mut self.get_mut().0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Known(data, trailers) => Poll::Ready(if data.is_empty() {
                trailers.take().map(|t| Ok(Frame::trailers(t)))
            } else {
                Some(Ok(Frame::data(std::mem::take(data))))
            }),
            Kind::Plain(inner, hook) => poll_plain(inner, hook.as_mut(), cx),
            Kind::Records(records) => records.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Known(data, trailers) => data.is_empty() && trailers.is_none(),
            Kind::Plain(inner, _) => inner.is_end_stream(),
            // FIN goes out before the end; trailers, where there are any, after FIN.
            Kind::Records(r) => {
                r.ready.is_empty()
                    && r.error.is_none()
                    && (r.stage == Stage::Done
                        || (r.stage == Stage::Trailers && r.trailers.is_none()))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            // With an exact length, hyper sends no trailers over HTTP/1.1.
            Kind::Known(data, Some(_)) => at_least(data.len() as u64),
            Kind::Known(data, None) => SizeHint::with_exact(data.len() as u64),
            Kind::Plain(inner, _) => inner.size_hint(),
            Kind::Records(_) => SizeHint::default(),
        }
    }
}

fn at_least(bytes: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(bytes);
    hint
}

/// An error is no end: whoever is cut off must not take what it has for all there is.
fn poll_plain<B>(
    inner: &mut B,
    mut hook: Option<&mut impl OutHook>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, DeliveryError>>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    if hook.as_ref().is_some_and(|hook| hook.is_ended()) {
        return Poll::Ready(Some(Err(withdrawn())));
    }
    let polled = Pin::new(inner).poll_frame(cx);
    if polled.is_pending() && hook.as_mut().is_some_and(|hook| hook.poll_ended(cx)) {
        return Poll::Ready(Some(Err(withdrawn())));
    }
    polled.map(|frame| frame.map(|frame| frame.map_err(|e| failed(e.into()))))
}

/// An application's body is not what its own head says.
#[derive(Debug)]
struct WrongLength {
    stated: u64,
    is: u64,
}

impl std::fmt::Display for WrongLength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the content-length says {} bytes, and the body has {}", self.stated, self.is)
    }
}

impl std::error::Error for WrongLength {}

fn withdrawn() -> DeliveryError {
    DeliveryError::new(DeliveryErrorKind::Withdrawn, 0, None)
}

fn failed(error: BoxError) -> DeliveryError {
    DeliveryError::caused(DeliveryErrorKind::Transport, 0, error)
}
