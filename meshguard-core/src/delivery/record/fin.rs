//! The payload of the last record.

use crate::delivery::{RECEIPT_LEN, Receipt};

const FIXED: usize = 1 + 8 + 8 + 32 + 1;
pub(super) const MAX_FIN: usize = FIXED + 32 + RECEIPT_LEN;
const TRAILERS: u8 = 1;
const RECEIPT: u8 = 2;

/// What the sender states at the end of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fin {
    /// The sender gave up: what came is not all.
    pub aborted: bool,
    /// DATA records in the body.
    pub n: u64,
    /// Payload bytes in the body.
    pub len: u64,
    /// The hash of all DATA records.
    pub transcript: [u8; 32],
    /// SHA-256 of the trailer block, where trailers follow.
    pub trailers: Option<[u8; 32]>,
    /// The receipt of the request, in an answer whose head could not carry it.
    pub receipt: Option<Receipt>,
}

impl Fin {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.aborted));
        out.extend_from_slice(&self.n.to_be_bytes());
        out.extend_from_slice(&self.len.to_be_bytes());
        out.extend_from_slice(&self.transcript);
        let flags = if self.trailers.is_some() { TRAILERS } else { 0 }
            | if self.receipt.is_some() { RECEIPT } else { 0 };
        out.push(flags);
        out.extend_from_slice(self.trailers.as_ref().map_or(&[], |t| &t[..]));
        if let Some(receipt) = &self.receipt {
            out.extend_from_slice(&receipt.to_bytes());
        }
    }

    /// Reads a payload whose tag held; `None` where it is malformed.
    pub(super) fn parse(b: &[u8]) -> Option<Self> {
        let (fixed, mut rest) = b.split_first_chunk::<FIXED>()?;
        let number = |at: usize| fixed[at..at + 8].iter().fold(0, |n, x| n << 8 | u64::from(*x));
        let flags = fixed[FIXED - 1];
        if fixed[0] > 1 || flags & !(TRAILERS | RECEIPT) != 0 {
            return None;
        }
        let mut transcript = [0; 32];
        transcript.copy_from_slice(&fixed[17..49]);
        let mut trailers = None;
        if flags & TRAILERS != 0 {
            let (digest, behind) = rest.split_first_chunk::<32>()?;
            (trailers, rest) = (Some(*digest), behind);
        }
        let mut receipt = None;
        if flags & RECEIPT != 0 {
            let (bytes, behind) = rest.split_first_chunk::<RECEIPT_LEN>()?;
            (receipt, rest) = (Some(Receipt::from_bytes(bytes)?), behind);
        }
        let (n, len) = (number(1), number(9));
        rest.is_empty().then_some(Self {
            aborted: fixed[0] == 1,
            n,
            len,
            transcript,
            trailers,
            receipt,
        })
    }
}
