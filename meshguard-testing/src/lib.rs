//! What tests of meshed services import: a throw-away certificate authority, its credentials as
//! files, and a hop that misbehaves on cue.
//!
//! ```
//! use meshguard_testing::{DevCa, SpiffeId, svid_files};
//!
//! let ca = DevCa::new("shop.example")?;
//! let files = svid_files(&ca, &SpiffeId::from_static("spiffe://shop.example/orders"))?;
//! assert!(files.svid.is_file() && files.key.is_file() && files.bundle.is_file());
//! # Ok::<(), meshguard_testing::SvidFilesError>(())
//! ```
//!
//! [`FaultHop`] stands between a caller and a callee, as a load balancer or a sidecar would: it
//! ends TLS on both sides and sees every byte. Queue a [`Fault`] and the next exchange suffers it,
//! once; the hop's log says when. Each fault says what a stock receiver makes of it, which is
//! often nothing at all. A hop is for tests: it is no proxy, and it trusts whom its bundle trusts.
//!
//! [`TokenIssuer`] and [`DpopKey`] make access tokens and proofs of possession, for policies that
//! ask for claims.
//!
//! [`Sim`](sim::Sim) runs services with their policies and loops on simulated time, with attackers
//! of nine sorts: what a reflex does, how soon, and what that costs honest callers, in a test
//! without a runtime.

mod files;
mod hop;
pub mod sim;
mod tokens;

pub use files::{SvidFiles, SvidFilesError, svid_files, write_svid_files};
pub use hop::{
    Builder, Cut, Direction, Fault, FaultHop, Forged, HopError, Injected, Injection, Match,
    Protocol, Transport,
};
pub use meshguard_core::SpiffeId;
pub use meshguard_tower::dev::{DevCa, DevCaError, DevSvid, KeyUse, LeafSpec};
pub use tokens::{DpopKey, TokenIssuer, TokenKeyError, certificate_thumbprint};
