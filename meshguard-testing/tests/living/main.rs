//! What is open does not outlive its allowance.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod causes;
mod connections;
mod gentle;
#[path = "../rig/mod.rs"]
mod rig;
mod sources;
mod swaps;
mod world;
