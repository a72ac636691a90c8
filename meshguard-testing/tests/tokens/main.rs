//! Access tokens over real sockets: what holds is let in, and what does not is refused for its
//! own reason.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "certificates.rs"]
mod certificates;
#[path = "claims.rs"]
mod claims;
#[path = "nonces.rs"]
mod nonces;
#[path = "proofs.rs"]
mod proofs;
#[path = "shop.rs"]
mod shop;
