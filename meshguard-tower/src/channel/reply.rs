//! An answer's body on its way to the caller, and what its end says of the exchange.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use meshguard_core::Timestamp;
use meshguard_core::delivery::{
    Decoder, Failure, Fault, Fin, MAX_KNOWN, Outcome, Receipt, ReceiptStatus, Unknown, known,
};

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::answer::{judge_later, not_confirmed};
use super::exchange::{Open, unknown};
use super::request::Sent;
use super::seen::Seen;
use super::{CallError, CallErrorKind, Shared};
use crate::body::{InHook, Rest, Unread, status_trailers};
use crate::clock::steady;
use crate::error::{DeliveryError, DeliveryErrorKind};
use crate::inbound::strip_answer;
use crate::session::ClientSession;

/// The end of an answer that its caller dropped may be on its way: it is waited for so long, and
/// then the callee learns that nobody wants the rest.
pub(crate) const READ_ON: Duration = Duration::from_millis(10);
/// Bytes of such an answer that are read on, at most.
const READ_ON_BYTES: usize = MAX_KNOWN;

/// An answer's body tells its exchange how it ended.
pub struct ReplyHook(Kind);

enum Kind {
    Proven(Box<Proven>),
    Plain(Arc<Shared>, Box<Seen>),
    /// Somebody else reads on.
    Gone,
}

struct Proven {
    /// `None` once the exchange has ended in the books.
    open: Option<Open>,
    /// What is noted of the call since then.
    seen: Option<Seen>,
    shared: Arc<Shared>,
    session: Arc<ClientSession>,
    seq: u64,
    own: bool,
    sent: Sent,
    /// It is a success, or has a gRPC status: it may come before all of its request.
    answered: bool,
    /// What the receipt of a body without records states.
    expect: Option<Receipt>,
}

impl ReplyHook {
    /// `outcome` is the request's, where it is known by now.
    pub(super) fn proven(open: Open, outcome: Option<Outcome>, sent: Sent, answered: bool) -> Self {
        let (shared, session) = (Arc::clone(&open.shared), Arc::clone(&open.session));
        let (seq, own) = (open.seq(), open.is_own());
        let (open, seen) = match outcome {
            Some(outcome) => (None, open.close(outcome)),
            None => (Some(open), None),
        };
        let proven = Proven { open, seen, shared, session, seq, own, sent, answered, expect: None };
        Self(Kind::Proven(Box::new(proven)))
    }

    pub(super) fn plain(shared: &Arc<Shared>, seen: Seen) -> Self {
        Self(Kind::Plain(Arc::clone(shared), Box::new(seen)))
    }

    /// What the receipt of a body that is held must state.
    pub(super) fn expect(&mut self, receipt: Receipt) {
        if let Kind::Proven(proven) = &mut self.0 {
            proven.expect = Some(receipt);
        }
    }

    fn take_proven(&mut self) -> Option<Box<Proven>> {
        match std::mem::replace(&mut self.0, Kind::Gone) {
            Kind::Proven(proven) => Some(proven),
            _ => None,
        }
    }

    /// A known body failed before the caller saw anything of it.
    pub(super) fn answer_failed(self, error: &DeliveryError, now: Timestamp) -> CallError {
        let kind = CallErrorKind::Answer(error.clone());
        let Kind::Proven(mut proven) = self.0 else {
            return CallError::new(kind, unknown(Unknown::NoReceipt));
        };
        let receipt = Receipt::known(ReceiptStatus::Bad, 0, error.got(), known::empty());
        proven.owe(receipt, now);
        proven.body_failed(error);
        let ended = proven.end(unknown(Unknown::NoReceipt));
        let outcome = ended.unwrap_or(Outcome::Delivered);
        CallError::new(kind, outcome)
    }
}

impl Proven {
    /// Owes a receipt of anything but a body consumed whole.
    fn owe(&self, receipt: Receipt, now: Timestamp) {
        if !self.own {
            self.session.sender().not_consumed(self.seq, receipt, now);
            self.session.owes.notify_one();
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        self.answered |= trailers.contains_key("grpc-status");
        if let Some(seen) = self.seen() {
            seen.trailers(trailers);
        }
    }

    /// What is noted of the call.
    fn seen(&mut self) -> Option<&mut Seen> {
        match &mut self.open {
            Some(open) => open.seen(),
            None => self.seen.as_mut(),
        }
    }

    /// The answer's body has failed, unless it was cut off by this side.
    fn body_failed(&mut self, error: &DeliveryError) {
        let own = self.sent.broken();
        if let Some(seen) = self.seen() {
            seen.body_failed(own.as_ref().unwrap_or(error));
        }
        let tampered = error.kind().verdict().fault == Fault::Tampered;
        if tampered && self.shared.config.via.is_none() {
            self.shared.forget(&self.session);
        }
    }

    /// Ends the exchange in the books, if it has not ended.
    fn end(&mut self, outcome: Outcome) -> Option<Outcome> {
        let open = self.open.take()?;
        self.seen = open.close(outcome);
        Some(outcome)
    }

    fn consumed(&mut self, receipt: Receipt, fin: Option<&Fin>) -> Result<(), DeliveryError> {
        if let Some(seen) = self.seen() {
            seen.response_bytes = receipt.len;
        }
        if !self.own {
            self.session.sender().consumed(self.seq, receipt, steady());
            self.session.owes.notify_one();
        }
        self.judge(fin, receipt.len)
    }

    /// The answer was dropped, and nobody reads on.
    fn abandon(mut self: Box<Self>, rest: &dyn Rest) {
        self.owe(rest.decoder().receipt(ReceiptStatus::Partial, 0), steady());
        self.end(unknown(Unknown::Dropped));
    }

    /// The answer was dropped, and read on.
    fn read(mut self: Box<Self>, ended: bool, rest: &dyn Rest) {
        if !ended {
            return self.abandon(rest);
        }
        self.owe(rest.decoder().receipt(ReceiptStatus::Received, 0), steady());
        // Whoever would get the error has gone; it is counted and told as a finding.
        let _ = self.judge(rest.fin(), rest.decoder().totals().1);
    }

    /// Ends the exchange by the receipt in FIN, if it has not ended; `len` bytes of answer came.
    fn judge(&mut self, fin: Option<&Fin>, len: u64) -> Result<(), DeliveryError> {
        if self.open.is_none() {
            return Ok(());
        }
        let sent = self.sent.state();
        let Some(stated) = fin.and_then(|f| f.receipt) else {
            self.end(unknown(Unknown::NoReceipt));
            self.shared.found("no-receipt", &"the answer ended without the promised receipt");
            return Err(DeliveryError::new(DeliveryErrorKind::NoReceipt, len, Some(len)));
        };
        let outcome = judge_later(&sent, &stated, self.answered);
        if let Some(seen) = self.seen() {
            seen.sent(&sent, outcome == Outcome::Delivered);
        }
        self.end(outcome);
        let Outcome::Failed(failure) = outcome else { return Ok(()) };
        let error = not_confirmed(failure, Some((stated.n, stated.len)), &sent);
        self.shared.found(error.kind().as_str(), &error);
        match failure {
            Failure::BadReceipt | Failure::WrongReceipt => {
                Err(DeliveryError::caused(DeliveryErrorKind::NoReceipt, len, error))
            }
            // The caller's own body has failed, which it knows.
            _ => Ok(()),
        }
    }
}

impl InHook for ReplyHook {
    fn consumed(
        &mut self,
        decoder: Option<&Decoder>,
        fin: Option<&Fin>,
    ) -> Result<(), DeliveryError> {
        let Kind::Proven(proven) = &mut self.0 else { return Ok(()) };
        let status = ReceiptStatus::Consumed;
        let receipt = match (decoder, proven.expect) {
            (Some(decoder), _) => decoder.receipt(status, 0),
            (None, Some(expected)) => expected,
            (None, None) => Receipt::known(status, 0, 0, known::empty()),
        };
        proven.consumed(receipt, fin)
    }

    fn failed(&mut self, error: &DeliveryError, decoder: Option<&Decoder>) {
        match &mut self.0 {
            Kind::Proven(proven) => {
                if let Some(decoder) = decoder {
                    proven.owe(decoder.receipt(ReceiptStatus::Bad, 0), steady());
                }
                proven.body_failed(error);
                let own = proven.sent.broken();
                let outcome = match own {
                    Some(_) => Outcome::Failed(Failure::Aborted),
                    None => unknown(Unknown::NoReceipt),
                };
                proven.end(outcome);
                let error = own.as_ref().unwrap_or(error);
                proven.shared.found(error.kind().as_str(), error);
            }
            Kind::Plain(shared, seen) => {
                seen.body_failed(error);
                shared.found(error.kind().as_str(), error);
            }
            Kind::Gone => {}
        }
    }

    fn instead(&mut self, error: DeliveryError) -> Result<Frame<Bytes>, DeliveryError> {
        let Kind::Proven(proven) = &self.0 else { return Err(error) };
        // An answer ends with its request's own body, if that breaks off.
        match proven.sent.broken() {
            None => Err(error),
            Some(own) if own.exceeded().is_none() => Err(own),
            Some(own) => status_trailers(&own).map(Frame::trailers).ok_or(own),
        }
    }

    fn trailers(&mut self, trailers: &mut HeaderMap) {
        strip_answer(trailers);
        match &mut self.0 {
            Kind::Proven(proven) => proven.trailers(trailers),
            Kind::Plain(_, seen) => seen.trailers(trailers),
            Kind::Gone => {}
        }
    }

    fn expired(&mut self, unread: Unread) {
        match (self.take_proven(), unread) {
            (Some(proven), Unread::Records(rest)) => proven.abandon(&*rest),
            (Some(proven), _) => drop(proven),
            (None, _) => {}
        }
    }

    fn dropped(&mut self, unread: Unread) {
        let Kind::Proven(proven) = &mut self.0 else { return };
        match (unread, proven.expect) {
            (Unread::Records(rest), _) => {
                let Some(proven) = self.take_proven() else { return };
                read_on(proven, rest);
            }
            (Unread::Held, Some(expected)) => {
                proven.owe(Receipt { status: ReceiptStatus::Received, ..expected }, steady());
            }
            _ => {}
        }
    }
}

/// The caller wants no more of an answer, but its end may hold the receipt of the request.
fn read_on(mut proven: Box<Proven>, mut rest: Box<dyn Rest>) {
    if proven.open.is_none() {
        return proven.abandon(&*rest);
    }
    let mut budget = READ_ON_BYTES;
    let there = &mut Context::from_waker(Waker::noop());
    match poll_to_fin(&mut proven, &mut *rest, &mut budget, there) {
        Poll::Ready(ended) => proven.read(ended, &*rest),
        Poll::Pending => match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(read_to_fin(proven, rest, budget))),
            Err(_) => proven.abandon(&*rest),
        },
    }
}

async fn read_to_fin(mut proven: Box<Proven>, mut rest: Box<dyn Rest>, mut budget: usize) {
    let reading = std::future::poll_fn(|cx| poll_to_fin(&mut proven, &mut *rest, &mut budget, cx));
    let ended = timeout(READ_ON, reading).await.unwrap_or(false);
    proven.read(ended, &*rest);
}

/// Whether the answer has come to its verified end; `false` where it fails, or is too long.
fn poll_to_fin(
    proven: &mut Proven,
    rest: &mut dyn Rest,
    budget: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    loop {
        match ready!(rest.poll_rest(cx)) {
            Ok(Some(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    proven.trailers(trailers);
                    return Poll::Ready(true);
                }
                let read = frame.data_ref().map_or(0, Bytes::len);
                match budget.checked_sub(read) {
                    Some(left) => *budget = left,
                    None => return Poll::Ready(false),
                }
            }
            Ok(None) => return Poll::Ready(true),
            Err(_) => return Poll::Ready(false),
        }
    }
}
