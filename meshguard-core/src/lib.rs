//! The pure part of meshguard: identity, policy, the delivery protocol, baseline, control and
//! ledger as functions and sans-IO machines. No sockets, files, threads, logging or clocks; time
//! and randomness are arguments, so that a whole mesh runs inside one test.

pub mod access;
pub mod baseline;
pub mod control;
pub mod delivery;
pub mod dpop;
pub mod escape;
pub mod identity;
pub mod ledger;
pub mod policy;
pub mod reflex;
pub mod time;

pub use access::{Access, Evidence, OwnedAccess, Proofs};
pub use identity::{Peer, SpiffeId};
pub use policy::{Decision, Effect, Policy, PolicyError, Reason};
pub use time::Timestamp;
