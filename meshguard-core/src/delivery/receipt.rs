//! The receiver's statement of what it got.

/// Length of a receipt on the wire, in bytes.
pub const RECEIPT_LEN: usize = 50;

/// How far the receiver got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReceiptStatus {
    /// The application polled the body to its verified end.
    Consumed = 1,
    /// The layer verified all of it; the application did not read it to the end.
    Received = 2,
    /// The receiver stopped early.
    Partial = 3,
    /// What arrived was not what was sent.
    Bad = 4,
}

impl ReceiptStatus {
    /// The status of that number, if there is one.
    #[must_use]
    pub const fn from_number(n: u8) -> Option<Self> {
        match n {
            1 => Some(Self::Consumed),
            2 => Some(Self::Received),
            3 => Some(Self::Partial),
            4 => Some(Self::Bad),
            _ => None,
        }
    }

    /// The name used in the field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consumed => "consumed",
            Self::Received => "received",
            Self::Partial => "partial",
            Self::Bad => "bad",
        }
    }

    /// Whether all of the body arrived and was verified.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::Consumed | Self::Received)
    }
}

/// What the receiver got of one direction of one exchange. 50 bytes on the wire:
/// `u8 status ‖ u8 att ‖ u64 n ‖ u64 len ‖ 32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// How far the receiver got.
    pub status: ReceiptStatus,
    /// The attempt that this speaks of.
    pub att: u8,
    /// Records (gRPC: messages); for a known body 1, for an empty one 0.
    pub n: u64,
    /// Payload bytes.
    pub len: u64,
    /// The transcript (records) or the known digest.
    pub digest: [u8; 32],
}

impl Receipt {
    /// The receipt of a known body of `len` bytes whose digest is `d`, or of no body.
    #[must_use]
    pub fn known(status: ReceiptStatus, att: u8, len: u64, d: [u8; 32]) -> Self {
        Self { status, att, n: u64::from(len > 0), len, digest: d }
    }

    /// The wire form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; RECEIPT_LEN] {
        let mut b = [0; RECEIPT_LEN];
        b[0] = self.status as u8;
        b[1] = self.att;
        b[2..10].copy_from_slice(&self.n.to_be_bytes());
        b[10..18].copy_from_slice(&self.len.to_be_bytes());
        b[18..].copy_from_slice(&self.digest);
        b
    }

    /// Reads the wire form; `None` where the status is unknown.
    #[must_use]
    pub fn from_bytes(b: &[u8; RECEIPT_LEN]) -> Option<Self> {
        let number = |at: usize| b[at..at + 8].iter().fold(0, |n, x| n << 8 | u64::from(*x));
        let mut digest = [0; 32];
        digest.copy_from_slice(&b[18..]);
        Some(Self {
            status: ReceiptStatus::from_number(b[0])?,
            att: b[1],
            n: number(2),
            len: number(10),
            digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_read_back_and_an_unknown_status_is_not() {
        let receipt = Receipt {
            status: ReceiptStatus::Partial,
            att: 3,
            n: 1 << 40,
            len: u64::MAX,
            digest: [7; 32],
        };
        let mut bytes = receipt.to_bytes();
        assert_eq!(Receipt::from_bytes(&bytes), Some(receipt));
        bytes[0] = 0;
        assert_eq!(Receipt::from_bytes(&bytes), None);
        bytes[0] = 5;
        assert_eq!(Receipt::from_bytes(&bytes), None);
    }
}
