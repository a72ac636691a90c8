//! Access tokens over real sockets: what holds is let in, and what does not is refused for its
//! own reason.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "certificates.rs"]
mod certificates;
#[path = "claims.rs"]
mod claims;
#[path = "nonces.rs"]
mod nonces;
#[path = "open.rs"]
mod open;
#[path = "proofs.rs"]
mod proofs;
#[path = "shop.rs"]
mod shop;
