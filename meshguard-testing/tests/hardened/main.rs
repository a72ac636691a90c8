//! Heads that two readers could take for two things, written by hand onto real sockets: they are
//! refused, or stripped, before the application runs. Policy allows everything here, so that
//! nothing but the reading of the head refuses; beside each stands what passes, and the same bytes
//! run the handlers of axum as it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alike;
mod covered;
mod framing;
mod h2;
mod heads;
mod paths;
#[path = "../rig/mod.rs"]
mod rig;
mod spoofs;
mod wire;
