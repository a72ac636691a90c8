//! The receiver's half.

use std::mem;

use bytes::{Buf, Bytes, BytesMut};
use subtle::ConstantTimeEq;

use super::cipher::Cipher;
use super::fin::MAX_FIN;
use super::{
    BATCH, DATA, Exceeded, FIN, Fin, HEADER, MAX_BATCH, RecordError, RecordErrorKind, TAG,
};
use crate::delivery::crypto::Aead;
use crate::delivery::grpc::{Run, message_length};
use crate::delivery::keys::BodyKey;
use crate::delivery::{Receipt, ReceiptStatus, Suite, Transcript, grpc};

/// Turns records back into a body. Push what the transport brings, poll what is verified, and
/// tell it when the transport ends.
///
/// Buffers grow with the bytes that came, never with what a length says.
pub struct Decoder {
    cipher: Cipher,
    suite: Suite,
    transcript: Transcript,
    limit: usize,
    /// What the limit is called.
    limit_name: &'static str,
    /// The length that was above it.
    exceeded: Option<u64>,
    /// Records.
    index: u64,
    /// Bytes of their payloads.
    bytes: u64,
    /// Messages; of HTTP, records.
    count: u64,
    len: u64,
    /// Whether the body is gRPC messages.
    messages: bool,
    /// Verified messages of a batch that are not handed out yet.
    batch: Bytes,
    whole: Bytes,
    parts: BytesMut,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    Finished,
    Failed(RecordErrorKind),
}

/// A verified piece of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// One record's payload; gRPC: one message and its original flag byte.
    Data {
        /// The original gRPC flag byte, else 0.
        flag: u8,
        /// The payload.
        payload: Bytes,
    },
    /// The authenticated end: all of it came.
    Fin(Fin),
}

impl Decoder {
    /// The decoder of the body behind the head with this context; `limit` bounds the payload
    /// of one record, in bytes.
    #[must_use]
    pub fn new(
        suite: Suite,
        key: &BodyKey,
        context: &[u8; 32],
        aead: &dyn Aead,
        limit: usize,
    ) -> Self {
        Self {
            cipher: Cipher::new(suite, key, context, aead),
            suite,
            transcript: Transcript::new(suite.hash(), context),
            limit,
            limit_name: "record",
            exceeded: None,
            index: 0,
            bytes: 0,
            count: 0,
            len: 0,
            messages: false,
            batch: Bytes::new(),
            whole: Bytes::new(),
            parts: BytesMut::new(),
            state: State::Open,
        }
    }

    /// Of a gRPC body: its records are messages, and so is the limit.
    #[must_use]
    pub fn of_messages(mut self) -> Self {
        self.limit_name = "message_limit";
        self.messages = true;
        self
    }

    /// Takes bytes from the transport. Call [`poll`](Self::poll) until it has no more before
    /// pushing again; bytes not yet polled are kept, in one copy.
    pub fn push(&mut self, bytes: Bytes) {
        if self.whole.is_empty() {
            self.whole = bytes;
        } else {
            let mut both = BytesMut::from(mem::take(&mut self.whole));
            both.extend_from_slice(&bytes);
            self.whole = both.freeze();
        }
    }

    /// The next verified piece; `None` where more bytes are needed, or after FIN.
    ///
    /// # Errors
    /// What was wrong, and how much was verified before it. Every later call fails alike.
    pub fn poll(&mut self) -> Result<Option<Item>, RecordError> {
        if let Some(item) = self.next_of_batch() {
            return Ok(Some(item));
        }
        match self.state {
            State::Failed(kind) => Err(self.error(kind)),
            State::Finished if self.buffered() > 0 => self.fail(RecordErrorKind::BytesAfterFin),
            State::Finished => Ok(None),
            State::Open => match self.frame() {
                Ok(None) => Ok(None),
                Ok(Some((kind, body))) => self.record(kind, body),
                Err(kind) => self.fail(kind),
            },
        }
    }

    /// Appends messages to `out`, each behind its gRPC prefix, as [`poll`](Self::poll) would have
    /// them next: those that lie whole in what was pushed last, until `out` has `most` bytes or
    /// more. Stops before anything else, a failure included, which `poll` then returns; and before a
    /// payload of `around` bytes or more that need not be copied.
    pub fn append(&mut self, most: usize, around: usize, out: &mut BytesMut) {
        if out.len() < most {
            out.extend_from_slice(&mem::take(&mut self.batch));
        }
        while out.len() < most && self.state == State::Open && self.parts.is_empty() {
            let at = out.len();
            match self.message(around, out) {
                Some(taken) => self.whole.advance(taken),
                None => return out.truncate(at),
            }
        }
    }

    /// Appends the messages of the record that lies at the beginning of `whole`; its length.
    fn message(&mut self, around: usize, out: &mut BytesMut) -> Option<usize> {
        let (header, rest) = self.whole.split_first_chunk::<HEADER>()?;
        let length = frame_length(*header).ok()?;
        let (kind, rest) = rest.get(..length)?.split_first()?;
        let (payload, tag) = rest.split_last_chunk::<TAG>()?;
        let (kind, flag, sealed) = (*kind, kind >> 4, self.cipher.seals());
        let is_message = kind & 0xf == DATA && flag <= 1 && payload.len() <= self.limit;
        let is_batch = self.is_batch(kind, payload.len());
        let lies_well = !sealed && !is_batch && payload.len() >= around;
        let allowed = self.cipher.allows(self.index, self.bytes, payload.len());
        if !(is_message || is_batch) || lies_well || !allowed {
            return None;
        }
        if is_message {
            out.extend_from_slice(&grpc::prefix(flag, payload.len()));
        }
        let at = out.len();
        if sealed {
            out.resize(at + payload.len(), 0);
            self.cipher.open(kind, self.index, payload, tag, &mut out[at..]).ok()?;
        } else {
            out.extend_from_slice(payload);
        }
        let digest = Transcript::digest(self.suite.hash(), &out[at..]);
        if !sealed && !self.holds(kind, &digest, tag) {
            return None;
        }
        let length = payload.len();
        let (count, len) =
            if is_batch { self.messages_of(&out[at..])? } else { (1, length as u64) };
        self.transcript.data(kind, length as u32, &digest);
        self.advance(length, count, len);
        Some(HEADER + 1 + length + TAG)
    }

    fn is_batch(&self, kind: u8, payload: usize) -> bool {
        self.messages && kind == BATCH && payload <= MAX_BATCH
    }

    /// How many messages, and of how many bytes, a batch is; `None` where it is something else.
    fn messages_of(&self, batch: &[u8]) -> Option<(u64, u64)> {
        let run = Run::of(batch, self.limit, batch.len());
        (run.frames.len() == batch.len() && run.count > 0).then(|| (run.count, run.len()))
    }

    fn next_of_batch(&mut self) -> Option<Item> {
        // Only whole messages are put there.
        let header = self.batch.first_chunk::<HEADER>().copied()?;
        let mut payload = self.batch.split_to(HEADER + message_length(&header));
        payload.advance(HEADER);
        Some(Item::Data { flag: header[0], payload })
    }

    fn advance(&mut self, payload: usize, count: u64, len: u64) {
        self.index += 1;
        self.bytes += payload as u64;
        self.count += count;
        self.len += len;
    }

    /// To be called when the transport ends, however it ends.
    ///
    /// # Errors
    /// `Truncated` unless FIN was verified; an earlier failure again.
    pub fn end(&mut self) -> Result<(), RecordError> {
        match self.state {
            State::Finished if self.buffered() == 0 => Ok(()),
            State::Finished => self.fail(RecordErrorKind::BytesAfterFin),
            State::Failed(kind) => Err(self.error(kind)),
            State::Open => self.fail(RecordErrorKind::Truncated),
        }
    }

    /// Whether FIN was verified and nothing came behind it.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished && self.buffered() == 0
    }

    /// Records (gRPC: messages) and payload bytes verified so far.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (self.count, self.len)
    }

    /// What this receiver states of what it verified.
    #[must_use]
    pub fn receipt(&self, status: ReceiptStatus, att: u8) -> Receipt {
        let digest = self.transcript.value();
        Receipt { status, att, n: self.count, len: self.len, digest }
    }

    /// Bytes that came and are not verified: of a record that is not whole, once
    /// [`poll`](Self::poll) has no more.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.whole.len() + self.parts.len()
    }

    /// Cuts the next frame off: its type, and payload with tag. A frame that lies whole in one
    /// transport buffer is not copied; one that is spread over several is gathered once.
    fn frame(&mut self) -> Result<Option<(u8, Bytes)>, RecordErrorKind> {
        let mut frame = if self.parts.is_empty() {
            let end = match self.whole.first_chunk::<HEADER>().copied() {
                Some(header) => HEADER + self.length(header)?,
                None => usize::MAX,
            };
            if self.whole.len() < end {
                self.gather(usize::MAX);
                return Ok(None);
            }
            self.whole.split_to(end)
        } else {
            self.gather(HEADER);
            let Some(header) = self.parts.first_chunk::<HEADER>().copied() else { return Ok(None) };
            let end = HEADER + self.length(header)?;
            self.gather(end);
            if self.parts.len() < end {
                return Ok(None);
            }
            self.parts.split().freeze()
        };
        frame.advance(HEADER);
        Ok(Some((frame.get_u8(), frame)))
    }

    /// Moves bytes over from the transport's buffer until `parts` has `upto` of them.
    fn gather(&mut self, upto: usize) {
        let missing = upto.saturating_sub(self.parts.len()).min(self.whole.len());
        self.parts.extend_from_slice(&self.whole.split_to(missing));
    }

    /// Checks a frame's first five bytes, before anything is kept for it.
    fn length(&mut self, header: [u8; HEADER]) -> Result<usize, RecordErrorKind> {
        let length = frame_length(header)?;
        let payload = length - 1 - TAG;
        let most = if self.messages { MAX_BATCH } else { MAX_FIN };
        if payload > self.limit.max(most) { Err(self.too_large(payload)) } else { Ok(length) }
    }

    fn too_large(&mut self, payload: usize) -> RecordErrorKind {
        self.exceeded = Some(payload as u64);
        RecordErrorKind::TooLarge
    }

    fn record(&mut self, kind: u8, mut payload: Bytes) -> Result<Option<Item>, RecordError> {
        let tag = payload.split_off(payload.len() - TAG);
        let tag = tag.first_chunk::<TAG>().copied().unwrap_or_default();
        let result = match (kind & 0xf, kind >> 4) {
            (DATA, flag @ (0 | 1)) if payload.len() <= self.limit => {
                self.data(kind, flag, payload, &tag)
            }
            (DATA, 0 | 1) => Err(self.too_large(payload.len())),
            (FIN, 0) => return self.fin(&payload, &tag),
            _ if self.is_batch(kind, payload.len()) => self.batch(payload, &tag),
            _ => Err(RecordErrorKind::NotARecord),
        };
        result.map(Some).or_else(|kind| self.fail(kind))
    }

    fn data(
        &mut self,
        kind: u8,
        flag: u8,
        payload: Bytes,
        tag: &[u8; TAG],
    ) -> Result<Item, RecordErrorKind> {
        let payload = self.verified(kind, payload, tag)?;
        self.advance(payload.len(), 1, payload.len() as u64);
        Ok(Item::Data { flag, payload })
    }

    fn batch(&mut self, payload: Bytes, tag: &[u8; TAG]) -> Result<Item, RecordErrorKind> {
        let payload = self.verified(BATCH, payload, tag)?;
        let (count, len) = self.messages_of(&payload).ok_or(RecordErrorKind::Message)?;
        self.advance(payload.len(), count, len);
        self.batch = payload;
        self.next_of_batch().ok_or(RecordErrorKind::Message)
    }

    /// The payload in clear, once its tag holds.
    fn verified(
        &mut self,
        kind: u8,
        payload: Bytes,
        tag: &[u8; TAG],
    ) -> Result<Bytes, RecordErrorKind> {
        if !self.cipher.allows(self.index, self.bytes, payload.len()) {
            return Err(RecordErrorKind::TooLong);
        }
        let payload = if self.cipher.seals() { self.unseal(kind, &payload, tag)? } else { payload };
        let digest = Transcript::digest(self.suite.hash(), &payload);
        if !self.cipher.seals() && !self.holds(kind, &digest, tag) {
            return Err(RecordErrorKind::BadTag);
        }
        // The limit keeps a payload's length far below 2^32.
        self.transcript.data(kind, payload.len() as u32, &digest);
        Ok(payload)
    }

    fn fin(&mut self, payload: &Bytes, tag: &[u8; TAG]) -> Result<Option<Item>, RecordError> {
        let plain = if self.cipher.seals() {
            self.unseal(FIN, payload, tag)
        } else if self.holds(FIN, payload, tag) {
            Ok(payload.clone())
        } else {
            Err(RecordErrorKind::BadTag)
        };
        let fin = match plain.map(|p| Fin::parse(&p)) {
            Ok(Some(fin)) => fin,
            Ok(None) => return self.fail(RecordErrorKind::MalformedFin),
            Err(kind) => return self.fail(kind),
        };
        let totals = (fin.n, fin.len);
        let kind = if totals != self.totals() || fin.transcript != self.transcript.value() {
            RecordErrorKind::WrongTotals
        } else if fin.aborted {
            RecordErrorKind::Aborted
        } else {
            self.state = State::Finished;
            return Ok(Some(Item::Fin(fin)));
        };
        self.fail::<()>(kind).map(|()| None).map_err(|e| e.of(totals))
    }

    fn unseal(&self, kind: u8, sealed: &[u8], tag: &[u8; TAG]) -> Result<Bytes, RecordErrorKind> {
        let mut plain = BytesMut::zeroed(sealed.len());
        match self.cipher.open(kind, self.index, sealed, tag, &mut plain) {
            Ok(()) => Ok(plain.freeze()),
            Err(_) => Err(RecordErrorKind::BadTag),
        }
    }

    fn holds(&self, kind: u8, bound: &[u8], tag: &[u8; TAG]) -> bool {
        self.cipher.mac(kind, self.index, bound).ct_eq(tag).into()
    }

    fn fail<T>(&mut self, kind: RecordErrorKind) -> Result<T, RecordError> {
        self.state = State::Failed(kind);
        self.whole = Bytes::new();
        self.parts = BytesMut::new();
        Err(self.error(kind))
    }

    fn error(&self, kind: RecordErrorKind) -> RecordError {
        let (limit, name) = (self.limit as u64, self.limit_name);
        let exceeded = self.exceeded.map(|size| Exceeded { size, limit, name });
        RecordError::new(kind, self.totals()).above(exceeded)
    }
}

/// What a frame's first five bytes say of its length: a type and a tag at least.
fn frame_length(header: [u8; HEADER]) -> Result<usize, RecordErrorKind> {
    if header[0] != 0 {
        return Err(RecordErrorKind::NotARecord);
    }
    let length = message_length(&header);
    if length > TAG { Ok(length) } else { Err(RecordErrorKind::Length) }
}
