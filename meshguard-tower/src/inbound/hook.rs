//! How a request's body ends, told to its exchange.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use meshguard_core::delivery::{Decoder, Fin, MAX_KNOWN, Receipt, ReceiptStatus};

use super::ending::{Part, Running};
use super::exchange::Exchange;
use crate::body::{InHook, Rest, Unread};
use crate::error::DeliveryError;

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
            let exchange = Arc::downgrade(&self.exchange);
            proven.set_unread(Left { rest, exchange, budget: MAX_KNOWN });
        }
    }

    fn is_ended(&self) -> bool {
        self.exchange.is_ended()
    }

    fn poll_ended(&mut self, cx: &Context<'_>) -> bool {
        self.running.as_ref().is_some_and(|running| running.poll_ended(cx))
    }
}

/// The rest of a body that the application did not read.
pub(super) struct Left {
    rest: Box<dyn Rest>,
    exchange: Weak<Exchange>,
    budget: usize,
}

impl Left {
    /// Records and bytes that were verified so far.
    pub(super) fn totals(&self) -> (u64, u64) {
        self.rest.decoder().totals()
    }

    /// Reads on, up to the budget: received if that is all of it, else partial.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>, att: u8) -> Poll<Receipt> {
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
                Err(error) => {
                    if let Some(exchange) = self.exchange.upgrade() {
                        exchange.fail(&error);
                    }
                    break error.kind().receipt();
                }
            }
        };
        Poll::Ready(self.rest.decoder().receipt(status, att))
    }
}
