//! What the benches of meshguard share: servers whose CPU time can be read, their callers, and
//! the loads that are put on them. `README.md` says what each bench answers.

mod app;
mod caller;
mod cpu;
mod grpc;
mod load;
mod plain;
mod rounds;
mod server;
mod variant;

pub use caller::Caller;
pub use cpu::ThreadCpu;
pub use load::{LOADS, Load, STREAMS, Shape};
pub use rounds::{Rig, Table};
pub use server::Server;
pub use variant::Variant;

/// A bench that cannot run says why, and ends.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
