//! What happens on an ordinary day: restarts, streams, proxies, honest mistakes. Each case has its
//! control on the stock stack (hyper, axum, tonic with mutual TLS) where there is one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod balancer;
#[cfg(target_os = "linux")]
mod clock;
mod deploys;
mod forwarded;
mod given_up;
mod heads;
mod honest;
mod http1;
mod interop;
mod preferred;
mod reset_content;
mod restarts;
#[path = "../rig/mod.rs"]
mod rig;
mod short_lives;
mod streams;
mod unread;
