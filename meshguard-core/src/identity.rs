//! Who: SPIFFE IDs and authenticated peers, parsed once and compared typed.

mod peer;
mod spiffe_id;

pub use peer::Peer;
pub(crate) use spiffe_id::digest;
pub use spiffe_id::{SpiffeId, SpiffeIdError, TrustDomain};
