//! The sender's half.

use bytes::{BufMut, Bytes, BytesMut};

use super::cipher::Cipher;
use super::fin::MAX_FIN;
use super::{BATCH, DATA, FIN, Fin, HEADER, OVERHEAD, RecordError, RecordErrorKind, TAG};
use crate::delivery::crypto::Aead;
use crate::delivery::grpc::Run;
use crate::delivery::keys::BodyKey;
use crate::delivery::{Receipt, ReceiptStatus, Suite, Transcript};

/// Turns a body into records. Not `Clone`: one body is encoded once, so no nonce repeats.
pub struct Encoder {
    cipher: Cipher,
    suite: Suite,
    transcript: Transcript,
    /// Records.
    index: u64,
    /// Bytes of their payloads.
    bytes: u64,
    /// Messages; of HTTP, records.
    count: u64,
    len: u64,
    done: bool,
}

/// What stands around a payload that is sent where it lies: its header before, its tag after.
#[derive(Clone, Copy, Debug)]
pub struct RecordHead {
    /// The five framing bytes and the type.
    pub header: [u8; 6],
    /// The tag.
    pub tag: [u8; 16],
}

impl Encoder {
    /// The encoder of the body behind the head with this context
    /// ([`context`](crate::delivery::base)).
    #[must_use]
    pub fn new(suite: Suite, key: &BodyKey, context: &[u8; 32], aead: &dyn Aead) -> Self {
        Self {
            cipher: Cipher::new(suite, key, context, aead),
            suite,
            transcript: Transcript::new(suite.hash(), context),
            index: 0,
            bytes: 0,
            count: 0,
            len: 0,
            done: false,
        }
    }

    /// Records (gRPC: messages) and payload bytes so far.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (self.count, self.len)
    }

    /// Whether payloads are encrypted, and so must be copied.
    #[must_use]
    pub fn seals(&self) -> bool {
        self.cipher.seals()
    }

    /// Appends one DATA record to `out`. `flag` is the original gRPC flag byte, else 0.
    ///
    /// # Errors
    /// Where the suite's limits are reached, or the provider fails; the body is then dead.
    pub fn data(
        &mut self,
        flag: u8,
        payload: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), RecordError> {
        self.write(flag << 4 | DATA, payload, out)?;
        self.advance(payload.len(), 1, payload.len() as u64);
        Ok(())
    }

    /// Appends one record of several gRPC messages to `out`: of all in `run`. Only to a receiver
    /// that [takes such](crate::delivery::Settings::batch).
    ///
    /// # Errors
    /// As [`data`](Self::data).
    pub fn batch(&mut self, run: Run<'_>, out: &mut BytesMut) -> Result<(), RecordError> {
        self.write(BATCH, run.frames, out)?;
        self.advance(run.frames.len(), run.count, run.len());
        Ok(())
    }

    fn write(&mut self, kind: u8, payload: &[u8], out: &mut BytesMut) -> Result<(), RecordError> {
        let digest = self.next(kind, payload)?;
        out.reserve(payload.len() + OVERHEAD);
        out.extend_from_slice(&header(kind, payload.len()));
        let at = out.len();
        out.extend_from_slice(payload);
        let tag = self.cipher.protect(kind, self.index, &digest, &mut out[at..]);
        let tag = tag.map_err(|_| self.error(RecordErrorKind::Provider))?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// One DATA record around a payload that stays where it is. Only where nothing is
    /// [sealed](Self::seals).
    ///
    /// # Errors
    /// As [`data`](Self::data); and `Provider` where payloads must be encrypted.
    pub fn around(&mut self, flag: u8, payload: &[u8]) -> Result<RecordHead, RecordError> {
        if self.seals() {
            return Err(self.error(RecordErrorKind::Provider));
        }
        let kind = flag << 4 | DATA;
        let digest = self.next(kind, payload)?;
        let tag = self.cipher.mac(kind, self.index, &digest);
        self.advance(payload.len(), 1, payload.len() as u64);
        Ok(RecordHead { header: header(kind, payload.len()), tag })
    }

    /// The last record. `trailers` is the digest of the trailers that follow.
    ///
    /// # Errors
    /// `BytesAfterFin` where it was made before; `Provider` where the provider fails.
    pub fn fin(
        &mut self,
        aborted: bool,
        trailers: Option<[u8; 32]>,
        receipt: Option<Receipt>,
    ) -> Result<Bytes, RecordError> {
        if self.done {
            return Err(self.error(RecordErrorKind::BytesAfterFin));
        }
        self.done = true;
        let transcript = self.transcript.value();
        let fin = Fin { aborted, n: self.count, len: self.len, transcript, trailers, receipt };
        let mut payload = Vec::with_capacity(MAX_FIN);
        fin.write(&mut payload);
        let bound = if self.seals() { Vec::new() } else { payload.clone() };
        let tag = self.cipher.protect(FIN, self.index, &bound, &mut payload);
        let tag = tag.map_err(|_| self.error(RecordErrorKind::Provider))?;
        let mut out = BytesMut::with_capacity(payload.len() + OVERHEAD);
        out.extend_from_slice(&header(FIN, payload.len()));
        out.put_slice(&payload);
        out.put_slice(&tag);
        Ok(out.freeze())
    }

    /// What a receiver of all this must state.
    #[must_use]
    pub fn receipt(&self, status: ReceiptStatus, att: u8) -> Receipt {
        let digest = self.transcript.value();
        Receipt { status, att, n: self.count, len: self.len, digest }
    }

    fn next(&mut self, kind: u8, payload: &[u8]) -> Result<[u8; 32], RecordError> {
        if self.done {
            return Err(self.error(RecordErrorKind::BytesAfterFin));
        }
        if !self.cipher.allows(self.index, self.bytes, payload.len())
            || u32::try_from(payload.len() + 1 + TAG).is_err()
        {
            return Err(self.error(RecordErrorKind::TooLong));
        }
        let digest = Transcript::digest(self.suite.hash(), payload);
        self.transcript.data(kind, payload.len() as u32, &digest);
        Ok(digest)
    }

    fn advance(&mut self, payload: usize, count: u64, len: u64) {
        self.index += 1;
        self.bytes += payload as u64;
        self.count += count;
        self.len += len;
    }

    fn error(&self, kind: RecordErrorKind) -> RecordError {
        RecordError::new(kind, self.totals())
    }
}

/// Framing and type; the length fits, as `next` has checked.
fn header(kind: u8, payload: usize) -> [u8; HEADER + 1] {
    let length = ((payload + 1 + TAG) as u32).to_be_bytes();
    [0, length[0], length[1], length[2], length[3], kind]
}
