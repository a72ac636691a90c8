//! `cargo run --release --bin shop`; `--help` says what it can do.

use std::process::ExitCode;

fn main() -> ExitCode {
    meshguard_examples::shop::main(std::env::args().skip(1))
}
