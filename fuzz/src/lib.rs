//! Fuzz targets for what reads bytes from peers and files: plain functions, which panic where a property
//! does not hold. `README.md` says how to run them.

#![forbid(unsafe_code)]

mod baseline;
mod dpop;
mod field;
mod grpc;
mod handshake;
mod istio;
mod ledger;
mod policy;
mod receipts;
mod records;
mod rng;
pub mod seeds;
mod settings;

pub use baseline::baseline;
pub use dpop::dpop;
pub use field::field;
pub use grpc::grpc_split;
pub use handshake::handshake;
pub use istio::istio;
pub use ledger::ledger;
pub use policy::policy;
pub use receipts::receipts;
pub use records::records;
pub use rng::Rng;
pub use settings::settings;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 11] = [
    ("field", field),
    ("records", records),
    ("policy", policy),
    ("istio", istio),
    ("settings", settings),
    ("grpc_split", grpc_split),
    ("dpop", dpop),
    ("ledger", ledger),
    ("baseline", baseline),
    ("handshake", handshake),
    ("receipts", receipts),
];

/// Runs a target on the files named on the command line, as a crash that cargo-fuzz has kept.
///
/// # Errors
/// Where a file cannot be read.
pub fn replay(target: Target) -> std::io::Result<()> {
    std::env::args_os().skip(1).try_for_each(|path| std::fs::read(path).map(|data| target(&data)))
}
