//! The loop on real sockets: what is cut off, what is not, and what is written down.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ledger;
mod mall;
mod operators;
mod outbound;
mod quarantine;
#[path = "../rig/mod.rs"]
mod rig;
mod truncation;
