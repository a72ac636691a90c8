//! The bad hop between stock hyper or h2 callers and callees, over real sockets: what it does on
//! cue, and what the stock stack sees of it.

// Clippy knows test functions by their attribute, but not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod cuts;
mod faithful;
mod grpc;
mod messages;
mod requests;
mod stock;
mod tls;
