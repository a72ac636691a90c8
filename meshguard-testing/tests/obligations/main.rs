//! What a decision demands beyond allowing, and what it says where it does not: limits, routes,
//! shadow rules, expectations, explanations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod content;
mod explain;
mod limits;
#[path = "../rig/mod.rs"]
mod rig;
mod routes;
mod watched;
#[allow(dead_code)] // what only the other suite uses
#[path = "../hardened/wire.rs"]
mod wire;
