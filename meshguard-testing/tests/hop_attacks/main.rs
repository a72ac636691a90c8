//! A hop that policy lets carry calls, and that does more than carry: what it can do is break
//! off. It cannot change, repeat, reorder, leave out, make up or answer anything unnoticed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod bodies;
mod heads;
mod requests;
#[path = "../rig/mod.rs"]
mod rig;
mod streams;
