//! A body on its way to the wire.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use meshguard_core::delivery::{Encoder, OVERHEAD, Receipt, RecordError, grpc, known};

use super::status_trailers;
use crate::error::{BoxError, DeliveryError, DeliveryErrorKind};
use crate::limits::MAX_FRAME;
use crate::timeout;

/// Records that are ready share a piece of the body up to this size, which is one DATA frame of
/// HTTP/2: a frame for each record would be more frames than a receiver puts up with (h2 ends a
/// connection on which thousands of them, each below 256 bytes, wait to be read).
const SHARED: usize = MAX_FRAME as usize;

/// Payloads from this size on are sent where they lie, their header and tag around them. Below,
/// one copy costs less than the two small HTTP/2 frames that it saves, at both ends.
const COPY_BELOW: usize = 64 * 1024;

/// A gRPC body's first messages go one a record, so that a short stream that is cut shows each
/// of them. Of those behind them, the ones that are ready share a record, too: what sealing and
/// hashing cost is mostly a record's, not a byte's.
const ONE_BY_ONE: u64 = 64;

/// Wants to know how an outgoing body ended.
pub(crate) trait OutHook: Unpin {
    /// The receipt to put into FIN, where one is due: what is known by now, FIN does not wait.
    fn receipt(&mut self) -> Option<Receipt>;

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

    /// Whether the call's deadline has passed; if not, the task is woken when it has.
    fn poll_expired(&mut self, _: &mut Context<'_>) -> bool {
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
    /// What is not made into records yet of the application's last piece; of HTTP only.
    chunk: Bytes,
    /// Records that wait for more to share their frame.
    out: BytesMut,
    ready: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    error: Option<BoxError>,
    /// The payload bytes that the head has stated.
    size: Option<u64>,
    /// The application has had the time of one turn to give more, and gave nothing.
    still: bool,
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
    /// In whole messages; several in a record, where the receiver takes that.
    Grpc { splitter: grpc::Splitter, batch: bool },
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
            chunk: Bytes::new(),
            out: BytesMut::new(),
            ready: VecDeque::new(),
            trailers: None,
            error: None,
            size: None,
            still: false,
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
            match self.stage {
                Stage::Body => {
                    if self.poll_body(cx).is_ready() {
                        self.still = false;
                    } else if self.out.is_empty() {
                        return Poll::Pending;
                    } else if self.still {
                        self.flush(); // nothing else is ready to go along
                    } else {
                        // Who makes one message after the other is asked once more, behind what
                        // else is to be done now: so messages that trickle in share a frame, too.
                        self.still = true;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Stage::Fin => self.fin(),
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

    /// Makes one more record of what is there, or takes more of the application's body.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(made) = self.small_message() {
            if let Err(error) = made {
                self.refuse(error);
            }
            return Poll::Ready(());
        }
        let made = match self.payload() {
            Ok(Some((flag, payload))) => self.record(flag, payload),
            Ok(None) => return self.poll_more(cx),
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            self.refuse(error);
        }
        Poll::Ready(())
    }

    /// As `poll_chunk`, but not beyond the deadline or the time when the body is to be cut off.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.hook.is_ended() {
            self.stop(withdrawn());
            return Poll::Ready(());
        }
        if self.hook.poll_expired(cx) {
            self.expire();
            return Poll::Ready(());
        }
        let polled = self.poll_chunk(cx);
        if polled.is_pending() && self.hook.poll_ended(cx) {
            self.stop(withdrawn());
            return Poll::Ready(());
        }
        match ready!(polled) {
            None => match self.messages_end() {
                Ok(()) => self.stage = Stage::Fin,
                Err(error) => self.refuse(error),
            },
            Some(chunk) => self.take(chunk),
        }
        Poll::Ready(())
    }

    /// Takes a piece of the application's body, unless it goes beyond the length that the head
    /// states: records beyond it would look forged.
    fn take(&mut self, chunk: Bytes) {
        let is = self.encoder.totals().1 + chunk.len() as u64;
        if let Some(stated) = self.size.filter(|stated| is > *stated) {
            return self.abort(WrongLength { stated, is }.into());
        }
        match &mut self.framing {
            Framing::Http(_) => self.chunk = chunk,
            Framing::Grpc { splitter, .. } => splitter.push(chunk),
        }
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

    /// Makes the next record of gRPC messages where they lie, if they are to be copied anyway.
    fn small_message(&mut self) -> Option<Result<(), RecordError>> {
        let Framing::Grpc { splitter, batch } = &mut self.framing else { return None };
        if *batch && self.encoder.totals().0 >= ONE_BY_ONE {
            let mut run = splitter.run((SHARED - OVERHEAD).saturating_sub(self.out.len()));
            if !run.is_several() && !self.out.is_empty() {
                run = splitter.run(SHARED - OVERHEAD);
                if run.is_several() {
                    self.ready.push_back(self.out.split().freeze());
                }
            }
            if run.is_several() {
                let taken = run.taken();
                let made = self.encoder.batch(run, &mut self.out);
                splitter.skip_run(taken);
                return Some(made);
            }
        }
        let (flag, message) = splitter.peek()?;
        let length = message.len();
        let copied = self.encoder.seals() || length < COPY_BELOW;
        if !copied || self.out.len() + length + OVERHEAD > SHARED {
            return None;
        }
        let made = self.encoder.data(flag, message, &mut self.out);
        splitter.skip(length);
        Some(made)
    }

    /// The payload of the next record, where all of it is there.
    fn payload(&mut self) -> Result<Option<(u8, Bytes)>, RecordError> {
        match &mut self.framing {
            Framing::Grpc { splitter, .. } => splitter.poll(),
            Framing::Http(_) if self.chunk.is_empty() => Ok(None),
            Framing::Http(most) => {
                let length = self.chunk.len().min(*most);
                Ok(Some((0, self.chunk.split_to(length))))
            }
        }
    }

    fn record(&mut self, flag: u8, payload: Bytes) -> Result<(), RecordError> {
        if self.out.len() + payload.len() + OVERHEAD > SHARED {
            self.flush(); // so that a record lies in one frame where it can
        }
        if self.encoder.seals() || payload.len() < COPY_BELOW {
            return self.encoder.data(flag, &payload, &mut self.out);
        }
        let around = self.encoder.around(flag, &payload)?;
        self.out.extend_from_slice(&around.header);
        self.flush();
        self.ready.push_back(payload);
        self.out.extend_from_slice(&around.tag);
        Ok(())
    }

    /// Hands out the records that wait.
    fn flush(&mut self) {
        if !self.out.is_empty() {
            self.ready.push_back(self.out.split().freeze());
        }
    }

    fn fin(&mut self) {
        self.check_size();
        if let Some(error) = &self.error {
            self.hook.broken(&DeliveryError::own(&**error));
        }
        let receipt = self.hook.receipt();
        let aborted = self.error.is_some();
        let trailers = self.trailers.as_ref().filter(|_| !aborted).map(known::trailer_digest);
        match self.encoder.fin(aborted, trailers, receipt) {
            Ok(fin) => self.out.extend_from_slice(&fin),
            Err(error) => self.error = Some(error.into()),
        }
        self.flush();
        if self.error.is_some() {
            self.hook.aborted(&self.encoder);
        } else {
            self.hook.finished(&self.encoder, self.trailers.as_ref());
        }
        self.stage = if self.error.is_some() { Stage::Done } else { Stage::Trailers };
    }

    /// Whether a gRPC body ended behind a whole message.
    fn messages_end(&self) -> Result<(), RecordError> {
        match &self.framing {
            Framing::Grpc { splitter, .. } if self.error.is_none() => splitter.end(),
            Framing::Grpc { .. } | Framing::Http(_) => Ok(()),
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

    /// What the application sends cannot be.
    fn refuse(&mut self, error: RecordError) {
        self.stop(error.into());
    }

    /// Sends no more of the body: it breaks off here, or ends in words.
    fn stop(&mut self, error: DeliveryError) {
        let in_words = self.hook.is_answer() && matches!(self.framing, Framing::Grpc { .. });
        match status_trailers(&error).filter(|_| in_words) {
            Some(trailers) => {
                self.hook.broken(&error);
                self.let_go();
                self.trailers = Some(trailers);
            }
            None => self.abort(error.into()),
        }
    }

    fn abort(&mut self, error: BoxError) {
        self.let_go();
        self.error = Some(error);
    }

    /// The deadline has passed: what the application has not given by now is not waited for.
    fn expire(&mut self) {
        self.let_go();
        self.trailers = Some(timeout::exceeded());
    }

    /// Takes no more of the application's body.
    fn let_go(&mut self) {
        self.inner = None;
        self.first.clear();
        self.chunk.clear();
        if let Framing::Grpc { splitter, .. } = &mut self.framing {
            splitter.clear();
        }
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
        let kind = &mut self.get_mut().0;
        if let Kind::Plain(_, Some(hook)) = kind
            && hook.poll_expired(cx)
        {
            *kind = Kind::Known(Bytes::new(), Some(timeout::exceeded()));
        }
        match kind {
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
                    && r.out.is_empty()
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

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};
    use meshguard_core::delivery::{Decoder, Item, SessionKeys, Suite};

    use super::*;
    use crate::aead::AWS_LC;

    struct Unheard;

    impl OutHook for Unheard {
        fn receipt(&mut self) -> Option<Receipt> {
            None
        }

        fn finished(&mut self, _: &Encoder, _: Option<&HeaderMap>) {}

        fn aborted(&mut self, _: &Encoder) {}
    }

    const MESSAGES: usize = 1000;
    const MESSAGE: &[u8] = &[7; 100];

    /// The records of these messages, and what they are opened to.
    async fn records(suite: Suite, batch: bool) -> usize {
        let keys = SessionKeys::derive(suite, &mut [3; 32]);
        let message = [&grpc::prefix(0, MESSAGE.len())[..], MESSAGE].concat();
        let body = Full::new(Bytes::from(message.repeat(MESSAGES)));
        let encoder = Encoder::new(suite, &keys.request_body, &[9; 32], &AWS_LC);
        let framing = Framing::Grpc { splitter: grpc::Splitter::new(1 << 20), batch };
        let body = Outgoing::records(encoder, framing, VecDeque::new(), Some(body), None, Unheard);
        let wire = body.collect().await.unwrap().to_bytes();

        let decoder = Decoder::new(suite, &keys.request_body, &[9; 32], &AWS_LC, 1 << 20);
        let mut decoder = decoder.of_messages();
        decoder.push(wire.clone());
        let mut got = 0;
        while let Some(Item::Data { flag: 0, payload }) = decoder.poll().unwrap() {
            assert_eq!(payload, MESSAGE);
            got += 1;
        }
        decoder.end().unwrap();
        assert_eq!((got, decoder.totals().0), (MESSAGES, MESSAGES as u64));

        // Each is a frame of gRPC's.
        let mut splitter = grpc::Splitter::new(1 << 20);
        splitter.push(wire);
        std::iter::from_fn(|| splitter.poll().unwrap()).count()
    }

    #[tokio::test]
    async fn messages_share_records_behind_the_first_ones_where_the_receiver_takes_that() {
        for suite in Suite::ALL {
            assert_eq!(records(suite, false).await, MESSAGES + 1);
            let each = (SHARED - OVERHEAD) / (MESSAGE.len() + 5);
            let first = usize::try_from(ONE_BY_ONE).unwrap();
            let together = (MESSAGES - first).div_ceil(each);
            let got = records(suite, true).await;
            // The first one is what the frame of the last single ones has room for.
            assert!((first + together + 1..=first + together + 2).contains(&got), "{got}");
        }
    }
}
