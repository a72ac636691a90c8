//! Streams as gRPC and HTTP use them: many small messages, windows, deadlines, and ends that come
//! early or from the other side.

#![allow(unreachable_pub)]

mod deadlines;
mod dropped;
pub mod pieces;
mod small;
pub mod ways;
mod windows;
