//! A body on its way to the application.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use meshguard_core::delivery::{Decoder, Fin, Item, grpc, known};

use tokio::time::{Instant, Sleep, sleep_until};

use super::Plain;
use super::packed::unpack;
use super::room::Share;
use crate::error::{BoxError, DeliveryError, DeliveryErrorKind};
use crate::timeout;

/// Messages below this are put behind their gRPC prefix by copying.
const COPY_BELOW: usize = 4096;

/// Messages that are there are passed on together, up to this many bytes.
const GATHERED: usize = 32 * 1024;

/// Wants to know how an incoming body ended.
pub trait InHook: Unpin {
    /// The application has polled the body to its verified end; `fin` where it had records.
    ///
    /// # Errors
    /// Where the end says that something else went wrong: the application gets it instead.
    fn consumed(
        &mut self,
        decoder: Option<&Decoder>,
        fin: Option<&Fin>,
    ) -> Result<(), DeliveryError>;

    /// The body failed.
    fn failed(&mut self, error: &DeliveryError, decoder: Option<&Decoder>);

    /// What the application sees in place of a failure, where more is known of it.
    fn instead(&mut self, error: DeliveryError) -> Result<Frame<Bytes>, DeliveryError> {
        Err(error)
    }

    /// The application dropped the body before its end.
    fn dropped(&mut self, unread: Unread);

    /// The call's deadline has passed before the body's end.
    fn expired(&mut self, unread: Unread) {
        self.dropped(unread);
    }

    /// More records were passed on.
    fn passed(&mut self, _: &Decoder) {}

    /// This number of bytes has come by now of a body that nothing proves.
    fn came(&mut self, _: u64) {}

    /// Trailers have come, and are verified where the body is. Removes what the application may
    /// not see of them.
    fn trailers(&mut self, _: &mut HeaderMap) {}

    /// Whether the body is to be cut off: its far end has no right to be here any more.
    fn is_ended(&self) -> bool {
        false
    }

    /// As [`is_ended`](Self::is_ended), asked while the body waits; if not, the task is woken
    /// when it is.
    fn poll_ended(&mut self, _: &Context<'_>) -> bool {
        false
    }
}

/// What the application did not read.
pub enum Unread {
    /// A body that was verified before the application saw it.
    Held,
    /// Records, as far as they were verified.
    Records(Box<dyn Rest>),
    /// A body that nothing proves.
    Plain,
}

/// The rest of a body in records, whatever brings it.
pub trait Rest: Send {
    /// The next verified frame; `None` at the verified end.
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<Bytes>>, DeliveryError>>;

    /// What was verified so far.
    fn decoder(&self) -> &Decoder;

    /// The authenticated end, once it came.
    fn fin(&self) -> Option<&Fin>;
}

/// A body on its way to the application: nothing of it is passed on before it is verified.
pub struct Incoming<B, H: InHook> {
    kind: Kind<B>,
    hook: Option<H>,
    deadline: Option<Pin<Box<Sleep>>>,
}

enum Kind<B> {
    /// Nothing, or nothing any more.
    Done,
    /// No body, and yet an error.
    Failed(DeliveryError),
    Held(Bytes, Option<HeaderMap>),
    Records(Box<Opener<B>>),
    Plain(Plain<B>),
    /// A body that another layer guards already.
    Through(B),
}

/// What polling a body has brought.
type Polled = Option<Result<Frame<Bytes>, DeliveryError>>;

/// Opens records.
pub(crate) struct Opener<B> {
    inner: B,
    decoder: Decoder,
    grpc: bool,
    /// gRPC messages that wait for more to be passed on together.
    out: BytesMut,
    /// The payload behind a gRPC prefix that was just passed on.
    payload: Option<Bytes>,
    /// The transport has ended, with this error if with one.
    over: Option<Option<BoxError>>,
    fin: Option<Fin>,
    trailers: Option<HeaderMap>,
    /// The payload bytes that the head proves.
    size: Option<u64>,
    /// Where the bytes of long records are counted, if anywhere.
    share: Option<Share>,
    /// Forgets the type: `drop` has no bounds of its own.
    erase: fn(Box<Opener<B>>) -> Box<dyn Rest>,
}

impl<B, H: InHook> Incoming<B, H> {
    /// No body.
    pub(crate) fn empty(mut hook: H) -> Self {
        match hook.consumed(None, None) {
            Ok(()) => Self::nothing(),
            Err(error) => Self::of(Kind::Failed(error), None),
        }
    }

    /// Nothing, which nobody waits for.
    pub(crate) fn nothing() -> Self {
        Self::of(Kind::Done, None)
    }

    /// A body that was verified already.
    pub(crate) fn held(data: Bytes, mut trailers: Option<HeaderMap>, mut hook: H) -> Self {
        if let Some(trailers) = &mut trailers {
            hook.trailers(trailers);
        }
        if data.is_empty() && trailers.is_none() {
            return Self::empty(hook);
        }
        Self::of(Kind::Held(data, trailers), Some(hook))
    }

    pub(crate) fn records(inner: B, decoder: Decoder, grpc: bool, hook: H) -> Self
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let erase = |opener: Box<Opener<B>>| -> Box<dyn Rest> { opener };
        let opener = Opener {
            inner,
            decoder,
            grpc,
            out: BytesMut::new(),
            payload: None,
            over: None,
            fin: None,
            trailers: None,
            size: None,
            share: None,
            erase,
        };
        Self::of(Kind::Records(Box::new(opener)), Some(hook))
    }

    /// Holds records to the length that their head proves, and shows it.
    pub(crate) fn sized(mut self, size: Option<u64>) -> Self {
        if let Kind::Records(opener) = &mut self.kind
            && !opener.grpc
        {
            opener.size = size;
        }
        self
    }

    /// Has the bytes of long records counted there until they are verified. Where there is no room,
    /// it fails with `NoRoom`.
    pub(crate) fn counted(mut self, share: Share) -> Self {
        if let Kind::Records(opener) = &mut self.kind {
            opener.share = Some(share);
        }
        self
    }

    /// Passes on what another layer guards already.
    pub(crate) fn through(inner: B) -> Self {
        Self::of(Kind::Through(inner), None)
    }

    pub(crate) fn plain(inner: Plain<B>, hook: H) -> Self {
        Self::of(Kind::Plain(inner), Some(hook))
    }

    fn of(kind: Kind<B>, hook: Option<H>) -> Self {
        Self { kind, hook, deadline: None }
    }

    /// The same; but where it has not ended by `deadline`, it ends with gRPC's status for that.
    pub(crate) fn until(mut self, deadline: Instant) -> Self {
        if matches!(self.kind, Kind::Records(_) | Kind::Plain(_)) {
            self.deadline = Some(Box::pin(sleep_until(deadline)));
        }
        self
    }

    fn is_expired(&mut self, cx: &mut Context<'_>) -> bool {
        self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
    }

    /// Lets go of what the deadline has cut off.
    fn expire(&mut self) {
        self.deadline = None;
        if let Some((mut hook, unread)) = self.take_unread() {
            hook.expired(unread);
        }
    }

    fn take_unread(&mut self) -> Option<(H, Unread)> {
        let hook = self.hook.take()?;
        let unread = match std::mem::replace(&mut self.kind, Kind::Done) {
            Kind::Done | Kind::Failed(_) | Kind::Through(_) => return None,
            Kind::Held(..) => Unread::Held,
            Kind::Records(opener) => Unread::Records((opener.erase)(opener)),
            Kind::Plain(_) => Unread::Plain,
        };
        Some((hook, unread))
    }

    fn consumed(&mut self) -> Result<(), DeliveryError> {
        let kind = std::mem::replace(&mut self.kind, Kind::Done);
        match (self.hook.take(), &kind) {
            (None, _) => Ok(()),
            (Some(mut hook), Kind::Records(o)) => hook.consumed(Some(&o.decoder), o.fin.as_ref()),
            (Some(mut hook), _) => hook.consumed(None, None),
        }
    }

    /// The hook learns how the body ends, and what the application sees of that is what it says.
    fn told(&mut self, mut polled: Polled) -> Polled {
        let ended = match &mut polled {
            None => self.consumed(),
            Some(Ok(frame)) if frame.is_trailers() => {
                if let (Some(hook), Some(trailers)) = (&mut self.hook, frame.trailers_mut()) {
                    hook.trailers(trailers);
                }
                self.consumed()
            }
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => {
                let said = match &mut self.hook {
                    Some(hook) => hook.instead(error.clone()),
                    None => Err(error.clone()),
                };
                self.failed(error);
                let grpc = matches!(&self.kind, Kind::Records(opener) if opener.grpc);
                if said.is_ok() {
                    self.kind = Kind::Done;
                }
                return Some(said.map_err(|e| if grpc { e.with_status() } else { e }));
            }
        };
        match ended {
            Ok(()) => polled,
            Err(error) => Some(Err(error)),
        }
    }

    fn failed(&mut self, error: &DeliveryError) {
        if let Some(mut hook) = self.hook.take() {
            match &self.kind {
                Kind::Records(o) => hook.failed(error, Some(&o.decoder)),
                _ => hook.failed(error, None),
            }
        }
    }
}

impl<B> Opener<B> {
    /// What is to be passed on now; of gRPC, where the message does not wait for more.
    fn pass_on(&mut self, flag: u8, payload: Bytes) -> Option<Bytes> {
        if !self.grpc {
            return Some(payload);
        }
        self.out.extend_from_slice(&grpc::prefix(flag, payload.len()));
        if payload.len() >= COPY_BELOW {
            self.payload = Some(payload);
            return self.gathered();
        }
        self.out.extend_from_slice(&payload);
        if self.out.len() < GATHERED { None } else { self.gathered() }
    }

    /// The messages that wait.
    fn gathered(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }

    /// Not more than the head proves.
    fn check_length(&self) -> Result<(), DeliveryError> {
        let (_, len) = self.decoder.totals();
        match self.size {
            Some(size) if len > size => {
                Err(DeliveryError::new(DeliveryErrorKind::Long, len, self.size))
            }
            _ => Ok(()),
        }
    }

    /// What the head and FIN say of the whole, against what came.
    fn check_end(&self) -> Result<(), DeliveryError> {
        let (_, len) = self.decoder.totals();
        if self.size.is_some_and(|size| len < size) {
            return Err(DeliveryError::new(DeliveryErrorKind::Short, len, self.size));
        }
        self.check_trailers()
    }

    /// What is still to come, where the head proves it.
    fn size_hint(&self) -> SizeHint {
        match self.size {
            Some(size) => SizeHint::with_exact(size.saturating_sub(self.decoder.totals().1)),
            None => SizeHint::default(),
        }
    }

    /// What FIN says of trailers, against those that came.
    fn check_trailers(&self) -> Result<(), DeliveryError> {
        let promised = self.fin.as_ref().and_then(|f| f.trailers);
        let came = self.trailers.as_ref().map(known::trailer_digest);
        if promised == came {
            return Ok(());
        }
        let (_, len) = self.decoder.totals();
        Err(DeliveryError::new(DeliveryErrorKind::Trailers, len, Some(len)))
    }
}

impl<B> Opener<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// As `poll`, but not beyond the time when the body is to be cut off.
    fn poll_unless_ended(
        &mut self,
        cx: &mut Context<'_>,
        mut hook: Option<&mut impl InHook>,
    ) -> Poll<Result<Option<Frame<Bytes>>, DeliveryError>> {
        let ended = hook.as_ref().is_some_and(|hook| hook.is_ended());
        let polled = if ended { Poll::Pending } else { self.poll(cx) };
        if polled.is_pending() && (ended || hook.as_mut().is_some_and(|h| h.poll_ended(cx))) {
            let (_, len) = self.decoder.totals();
            return Poll::Ready(Err(withdrawn(len)));
        }
        polled
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, DeliveryError>> {
        loop {
            if let Some(payload) = self.payload.take() {
                return Poll::Ready(Ok(Some(Frame::data(payload))));
            }
            if self.grpc {
                self.decoder.append(GATHERED, COPY_BELOW, &mut self.out);
                if self.out.len() >= GATHERED {
                    return Poll::Ready(Ok(self.gathered().map(Frame::data)));
                }
            }
            let passed = match self.decoder.poll() {
                Ok(Some(Item::Data { flag, payload })) => {
                    self.check_length()?;
                    self.pass_on(flag, payload)
                }
                Ok(Some(Item::Fin(fin))) => {
                    self.fin = Some(fin);
                    None
                }
                // What was verified before goes first; the decoder says it again.
                Err(error) => match self.gathered() {
                    None => return Poll::Ready(Err(error.into())),
                    verified => verified,
                },
                Ok(None) if self.has_no_room(cx) => {
                    let (_, len) = self.decoder.totals();
                    return Poll::Ready(Err(DeliveryError::new(
                        DeliveryErrorKind::NoRoom,
                        len,
                        None,
                    )));
                }
                Ok(None) => match self.poll_transport(cx) {
                    Poll::Ready(()) => None,
                    Poll::Pending => match self.gathered() {
                        None => return Poll::Pending,
                        ready => ready,
                    },
                },
            };
            if let Some(data) = passed {
                return Poll::Ready(Ok(Some(Frame::data(data))));
            }
            if self.over.is_some() || self.trailers.is_some() {
                return Poll::Ready(match self.gathered() {
                    Some(data) => Ok(Some(Frame::data(data))),
                    None => self.end(),
                });
            }
        }
    }

    /// Whether what has come of a record has to make room for others'.
    fn has_no_room(&mut self, cx: &mut Context<'_>) -> bool {
        let buffered = self.decoder.buffered();
        self.share.as_mut().is_some_and(|share| share.poll_evicted(cx, buffered).is_ready())
    }

    /// Takes what the transport brings, up to its end.
    fn poll_transport(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.over.is_some() || self.trailers.is_some() {
            return Poll::Ready(());
        }
        match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => self.decoder.push(data),
                Err(frame) => self.trailers = frame.into_trailers().ok().map(unpack),
            },
            Some(Err(error)) => self.over = Some(Some(error.into())),
            None => self.over = Some(None),
        }
        Poll::Ready(())
    }

    /// The transport has ended, or brought trailers, and all records are passed on. An error of
    /// the transport is no loss behind the verified end.
    fn end(&mut self) -> Result<Option<Frame<Bytes>>, DeliveryError> {
        let cause = self.over.take().flatten();
        self.over = Some(None);
        self.decoder.end().map_err(|short| DeliveryError::records(short, cause))?;
        self.check_end()?;
        Ok(self.trailers.take().map(Frame::trailers))
    }
}

impl<B> Rest for Opener<B>
where
    B: Body<Data = Bytes> + Unpin + Send,
    B::Error: Into<BoxError>,
{
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<Bytes>>, DeliveryError>> {
        self.poll(cx)
    }

    fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    fn fin(&self) -> Option<&Fin> {
        self.fin.as_ref()
    }
}

/// As the body's own `poll`, but not beyond the time when it is to be cut off.
fn poll_plain<B>(
    plain: &mut Plain<B>,
    mut hook: Option<&mut impl InHook>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, DeliveryError>>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let ended = is_ended(hook.as_deref());
    let polled = if ended { Poll::Pending } else { plain.poll(cx) };
    if polled.is_pending() && (ended || hook.as_mut().is_some_and(|h| h.poll_ended(cx))) {
        return Poll::Ready(Some(Err(withdrawn(plain.got()))));
    }
    polled
}

fn is_ended(hook: Option<&impl InHook>) -> bool {
    hook.is_some_and(InHook::is_ended)
}

fn withdrawn(got: u64) -> DeliveryError {
    DeliveryError::new(DeliveryErrorKind::Withdrawn, got, None)
}

impl<B, H> Body for Incoming<B, H>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    H: InHook,
{
    type Data = Bytes;
    type Error = DeliveryError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DeliveryError>>> {
        let this = self.get_mut();
        if this.is_expired(cx) {
            this.expire();
            return Poll::Ready(Some(Ok(Frame::trailers(timeout::exceeded()))));
        }
        let polled = match &mut this.kind {
            Kind::Done => return Poll::Ready(None),
            Kind::Failed(error) => {
                let error = error.clone();
                this.kind = Kind::Done;
                return Poll::Ready(Some(Err(error)));
            }
            Kind::Held(..) if is_ended(this.hook.as_ref()) => Some(Err(withdrawn(0))),
            Kind::Held(data, trailers) => {
                let frame = if data.is_empty() {
                    trailers.take().map(Frame::trailers)
                } else {
                    Some(Frame::data(std::mem::take(data)))
                };
                if data.is_empty() && trailers.is_none() {
                    // A sized body need not be polled to its `None`.
                    return Poll::Ready(match this.consumed() {
                        Ok(()) => frame.map(Ok),
                        Err(error) => Some(Err(error)),
                    });
                }
                return Poll::Ready(frame.map(Ok));
            }
            Kind::Records(opener) => {
                let hook = this.hook.as_mut();
                let polled = ready!(opener.poll_unless_ended(cx, hook)).transpose();
                if let (Some(Ok(_)), Some(hook)) = (&polled, &mut this.hook) {
                    hook.passed(&opener.decoder);
                }
                polled
            }
            Kind::Plain(plain) => {
                let polled = ready!(poll_plain(plain, this.hook.as_mut(), cx));
                if let Some(hook) = &mut this.hook {
                    hook.came(plain.got());
                }
                polled
            }
            Kind::Through(inner) => {
                let polled = ready!(Pin::new(inner).poll_frame(cx));
                return Poll::Ready(polled.map(|f| f.map_err(|e| DeliveryError::passed(e.into()))));
            }
        };
        Poll::Ready(this.told(polled))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Done => true,
            Kind::Failed(_) | Kind::Held(..) | Kind::Records(_) => false,
            Kind::Plain(plain) => plain.is_end_stream(),
            Kind::Through(inner) => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Done => SizeHint::with_exact(0),
            Kind::Held(data, _) => SizeHint::with_exact(data.len() as u64),
            Kind::Records(opener) => opener.size_hint(),
            Kind::Failed(_) => SizeHint::default(),
            Kind::Plain(plain) => plain.inner().size_hint(),
            Kind::Through(inner) => inner.size_hint(),
        }
    }
}

impl<B, H: InHook> fmt::Debug for Incoming<B, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Done => "nothing",
            Kind::Failed(_) => "failed",
            Kind::Held(..) => "held",
            Kind::Records(_) => "records",
            Kind::Plain(_) => "plain",
            Kind::Through(_) => "through",
        };
        f.debug_tuple("Incoming").field(&format_args!("{kind}")).finish()
    }
}

/// No body.
impl<B, H: InHook> Default for Incoming<B, H> {
    fn default() -> Self {
        Self::nothing()
    }
}

impl<B, H: InHook> Drop for Incoming<B, H> {
    fn drop(&mut self) {
        if let Some((mut hook, unread)) = self.take_unread() {
            hook.dropped(unread);
        }
    }
}
