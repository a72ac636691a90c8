//! sans-IO machines. No sockets, files, threads, logging or clocks; time and randomness are
//! arguments, so that a whole mesh runs inside one test.

pub mod access;
pub mod delivery;
pub mod identity;
pub mod time;

pub use access::{Access, Evidence};
pub use identity::{Peer, SpiffeId};
pub use time::Timestamp;
