//! `cargo run --release -p meshguard-testing --bin soak`; `--help` says what it does.

mod app;
mod args;
mod callees;
mod calls;
mod error;
mod evidence;
mod journal;
mod judge;
mod memory;
mod policy;
mod report;
mod rng;
mod run;
mod shape;
mod stock;
mod told;
mod wire;
mod world;

use std::io::Write as _;
use std::process::ExitCode;

use args::{Args, HELP};
use report::Report;

/// The service of `proto/interop.proto`; a test keeps it current.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::too_many_lines)]
mod proto {
    include!("../../gen/interop.v1.rs");
}

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => return say(HELP, 0),
        Err(error) => return say(&format!("soak: {error}; --help says what there is\n"), 2),
    };
    say(&format!("seed {}, {} s\n", args.seed, args.length.as_secs()), 0);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return say(&format!("soak: {error}\n"), 2),
    };
    match runtime.block_on(run::run(args)) {
        Ok(evidence) => {
            let verdicts = judge::judge(&evidence);
            let report = Report { evidence, verdicts };
            say(&report.to_string(), u8::from(!report.passed()))
        }
        Err(error) => say(&format!("soak: {error}\n"), 2),
    }
}

/// Prints, and gives the exit status. Nobody may be listening.
fn say(text: &str, status: u8) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(status)
}
