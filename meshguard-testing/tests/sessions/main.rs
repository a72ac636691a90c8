//! Who may open a session, how long it lives, and what becomes of calls when it is gone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ends;
mod federation;
mod hops;
mod issuers;
mod limits;
mod restarts;
#[path = "../rig/mod.rs"]
mod rig;
mod rotation;
