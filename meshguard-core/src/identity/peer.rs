//! The authenticated far end of a connection or session.

use std::fmt;
use std::sync::Arc;

use super::SpiffeId;
use crate::time::Timestamp;

/// An authenticated far end: the SPIFFE ID that its certificate proved, and which certificate.
///
/// Whoever makes a `Peer` states that the certificate's chain was verified. Cloning is cheap.
#[derive(Clone, PartialEq, Eq)]
pub struct Peer(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    id: SpiffeId,
    fingerprint: [u8; 32],
    not_after: Timestamp,
}

impl Peer {
    /// A peer whose certificate was verified: its SPIFFE ID, the SHA-256 of the leaf
    /// certificate's DER, and the end of the leaf's validity.
    #[must_use]
    pub fn new(id: SpiffeId, fingerprint: [u8; 32], not_after: Timestamp) -> Self {
        Self(Arc::new(Inner { id, fingerprint, not_after }))
    }

    /// The SPIFFE ID.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.0.id
    }

    /// SHA-256 of the leaf certificate's DER.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.0.fingerprint
    }

    /// The end of the leaf certificate's validity.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.0.id.as_str())
            .field("not_after", &self.0.not_after)
            .finish_non_exhaustive()
    }
}
