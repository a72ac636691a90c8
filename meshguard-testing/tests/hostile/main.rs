//! A peer with a valid certificate that means harm, over real sockets: what it does costs nobody
//! else anything, and this side no more than is documented.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod denied;
mod handshakes;
mod load;
#[path = "../rig/mod.rs"]
mod rig;
mod table;
mod windows;
