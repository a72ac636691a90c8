//! Proofs of possession: RFC 9449's own ones, and what each of its checks refuses.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::panic)]

#[path = "dpop/checks.rs"]
mod checks;
#[path = "dpop/maker.rs"]
mod maker;
#[path = "dpop/rfc.rs"]
mod rfc;
