//! How a request's body ends, told to its exchange.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use meshguard_core::delivery::{Decoder, Fin, MAX_KNOWN, Receipt, ReceiptStatus, RecordErrorKind};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::ending::{Part, Running};
use super::exchange::Exchange;
use super::strip::strip_trailers;
use crate::body::{InHook, Rest, Unread};
use crate::connection::Protocol;
use crate::error::{DeliveryError, DeliveryErrorKind};

/// What an application dropped unread is read on, accounted for and discarded for so long.
pub(crate) const DRAIN_TIME: Duration = Duration::from_secs(1);
/// And up to so many bytes. Beyond either, the connection's own rules hold for what still comes:
/// HTTP/2 discards it and resets the stream with the answer's end, HTTP/1.1 closes.
pub(crate) const DRAIN_BYTES: usize = MAX_KNOWN;

/// A request's body tells its exchange how it ended.
pub struct RequestHook {
    exchange: Arc<Exchange>,
    /// Given up with the body's end: its hook may live on.
    running: Option<Running>,
    /// The body is gathered for the application, which has not seen it yet.
    gathers: bool,
}

impl RequestHook {
    pub(crate) fn new(exchange: &Arc<Exchange>) -> Self {
        let running = Some(Running::new(exchange, Part::Request));
        Self { exchange: Arc::clone(exchange), running, gathers: false }
    }

    /// Of a body that is received as a whole before the application is called.
    pub(crate) fn gathering(exchange: &Arc<Exchange>) -> Self {
        Self { gathers: true, ..Self::new(exchange) }
    }
}

impl InHook for RequestHook {
    fn consumed(
        &mut self,
        decoder: Option<&Decoder>,
        _fin: Option<&Fin>,
    ) -> Result<(), DeliveryError> {
        self.running = None;
        let Some(proven) = &self.exchange.proven else { return Ok(()) };
        match decoder {
            Some(decoder) => {
                let status = match self.gathers {
                    true => ReceiptStatus::Received,
                    false => ReceiptStatus::Consumed,
                };
                proven.set_receipt(decoder.receipt(status, proven.claim.att));
            }
            None if self.gathers => {}
            None => proven.consumed(),
        }
        Ok(())
    }

    fn failed(&mut self, error: &DeliveryError, decoder: Option<&Decoder>) {
        self.running = None;
        self.exchange.fail(error);
        if let (Some(proven), Some(decoder)) = (&self.exchange.proven, decoder) {
            let status = error.kind().receipt();
            proven.set_receipt(decoder.receipt(status, proven.claim.att));
        }
    }

    fn dropped(&mut self, unread: Unread) {
        self.running = None;
        if let (Some(proven), Unread::Records(rest)) = (&self.exchange.proven, unread) {
            let is_stream = self.exchange.connection.protocol() == Protocol::H2;
            proven.set_unread(Left { rest, budget: DRAIN_BYTES, is_stream });
            drain(&self.exchange);
        }
    }

    fn passed(&mut self, decoder: &Decoder) {
        if let Some(proven) = &self.exchange.proven {
            proven.passed(decoder.totals());
        }
    }

    fn came(&mut self, bytes: u64) {
        self.exchange.observed.request_bytes(bytes);
    }

    fn trailers(&mut self, trailers: &mut HeaderMap) {
        strip_trailers(trailers);
    }

    fn is_ended(&self) -> bool {
        self.exchange.is_ended()
    }

    fn poll_ended(&mut self, cx: &Context<'_>) -> bool {
        self.running.as_ref().is_some_and(|running| running.poll_ended(cx))
    }
}

/// Reads on what the application dropped: at once as far as it has come, which gives its window
/// back, and then for a while.
fn drain(exchange: &Arc<Exchange>) {
    let come = |cx: &mut Context<'_>| match &exchange.proven {
        Some(proven) => proven.poll_unread(exchange, cx),
        None => Poll::Ready(()),
    };
    if come(&mut Context::from_waker(Waker::noop())).is_ready() {
        return;
    }
    let exchange = Arc::clone(exchange);
    let draining = async move {
        let Some(proven) = &exchange.proven else { return };
        let reading = poll_fn(|cx| proven.poll_unread(&exchange, cx));
        if timeout(DRAIN_TIME, reading).await.is_err() {
            proven.let_go();
        }
    };
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(draining);
    }
}

/// The rest of a body that the application did not read.
pub(super) struct Left {
    rest: Box<dyn Rest>,
    budget: usize,
    /// One of many on its connection (HTTP/2).
    pub(super) is_stream: bool,
}

impl Left {
    /// Records and bytes that were verified so far.
    pub(super) fn totals(&self) -> (u64, u64) {
        self.rest.decoder().totals()
    }

    /// Reads on, up to the budget: received if that is all of it, else partial.
    pub(super) fn poll_drain(
        &mut self,
        exchange: &Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Receipt> {
        let status = loop {
            match ready!(self.rest.poll_rest(cx)) {
                Ok(None) => break ReceiptStatus::Received,
                Ok(Some(frame)) => {
                    let read = frame.data_ref().map_or(0, Bytes::len);
                    match self.budget.checked_sub(read) {
                        Some(left) => self.budget = left,
                        None => break ReceiptStatus::Partial,
                    }
                }
                // Nobody wants it any more: its caller may well have stopped sending.
                Err(error) if is_cut(error.kind()) => break ReceiptStatus::Partial,
                Err(error) => {
                    exchange.fail(&error);
                    break error.kind().receipt();
                }
            }
        };
        let att = exchange.proven.as_ref().map_or(0, |proven| proven.claim.att);
        Poll::Ready(self.rest.decoder().receipt(status, att))
    }
}

fn is_cut(kind: DeliveryErrorKind) -> bool {
    use RecordErrorKind::{Aborted, Truncated};
    matches!(kind, DeliveryErrorKind::Records(Truncated | Aborted) | DeliveryErrorKind::Transport)
}
