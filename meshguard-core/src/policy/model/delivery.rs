//! How edges deliver.

use super::Peers;

/// One `[[delivery]]`.
#[derive(Debug, PartialEq)]
pub(in crate::policy) struct EdgeRule {
    pub(in crate::policy) from: Peers,
    pub(in crate::policy) to: Peers,
    pub(in crate::policy) rule: DeliveryRule,
}

/// How an edge delivers bodies. The default is `require`, unsealed by policy, SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeliveryRule {
    /// Whether the delivery protocol is spoken.
    pub mode: DeliveryMode,
    /// Whether bodies are sealed; `None` leaves it to the endpoints.
    pub seal: Option<bool>,
    /// The hash of the transcript.
    pub transcript: TranscriptHash,
}

impl DeliveryRule {
    /// Of two rules that may both hold, what serves both: the stricter mode, and sealed where
    /// either seals.
    pub(in crate::policy) fn stricter(self, other: Self) -> Self {
        let (mut strict, lax) = if other.mode < self.mode { (other, self) } else { (self, other) };
        if lax.seal == Some(true) || strict.seal.is_none() {
            strict.seal = lax.seal.or(strict.seal);
        }
        strict
    }
}

/// Whether an edge speaks the delivery protocol. Ordered: the strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DeliveryMode {
    /// Calls without it are refused.
    #[default]
    Require,
    /// It is spoken where both ends can.
    Prefer,
    /// It is not spoken.
    Off,
}

super::words!(pub DeliveryMode { Require = "require", Prefer = "prefer", Off = "off" });

/// The hash of a delivery's transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TranscriptHash {
    /// SHA-256 (FIPS 180-4).
    #[default]
    Sha256,
    /// BLAKE3.
    Blake3,
}

super::words!(pub TranscriptHash { Sha256 = "sha256", Blake3 = "blake3" });
