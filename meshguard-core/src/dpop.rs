//! Proofs that whoever presents a token holds the key that it was issued for (DPoP, RFC 9449).
//!
//! A proof is a small JWT in the request's `dpop` field. It names the request's method and
//! target, the hash of the token, the time and a number of its own, and is signed with the key
//! that it carries. [`Proof::parse`] reads one, [`Proof::check`] holds it against the request,
//! and [`ReplayWindow::claim`] takes its number, once. The token itself says which key it is
//! bound to; to verify that token is not done here.
//!
//! ```
//! use meshguard_core::dpop::{Algorithm, Expected, Leeway, Proof, ProofError, ReplayWindow, Token};
//! use meshguard_core::dpop::{SignatureCheck, Thumbprint};
//! use meshguard_core::{SpiffeId, Timestamp};
//!
//! fn present(
//!     field: &str, token: &str, key: &Thumbprint, caller: &SpiffeId, seen: &mut ReplayWindow,
//!     signatures: &dyn SignatureCheck, now: Timestamp,
//! ) -> Result<(), ProofError> {
//!     let proof = Proof::parse(field, &Algorithm::ALL)?;
//!     let expected = Expected {
//!         method: "GET",
//!         authority: "orders.shop.example:8443",
//!         path: "/orders/7",
//!         token: Some(Token { text: token, key }),
//!         nonces: &[],
//!         leeway: Leeway::default(),
//!         now,
//!     };
//!     let checked = proof.check(&expected, signatures)?;
//!     seen.claim(&checked, caller, now)
//! }
//! ```
//!
//! Nothing here is of use on a stolen connection: it is the token that a proof protects.

mod error;
mod key;
mod nonce;
mod proof;
mod replay;
mod target;

pub use error::{KeyFault, Part, ProofError};
pub use key::{Algorithm, Jwk, PublicKey, SignatureCheck, Thumbprint};
pub use nonce::Nonces;
pub use proof::{Checked, Expected, Leeway, Proof, Token, field};
pub use replay::ReplayWindow;

/// The header field that carries a proof (RFC 9449 §4.1), lower case.
pub const FIELD: &str = "dpop";
/// A proof has at most so many bytes.
pub const MAX_PROOF: usize = 4096;
/// A proof's number, `jti`, has at most so many bytes.
pub const MAX_JTI: usize = 256;
