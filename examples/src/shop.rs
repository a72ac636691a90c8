//! A shop of three services, and a bad hop between each two of them.
//!
//! `gateway` (axum) calls `orders` (axum) over HTTP/2 and HTTP/1.1, `orders` calls `payments`
//! (tonic). Every call crosses a hop that ends TLS and misbehaves on cue. The applications
//! write down what they sent and what they took for whole, and `truth` compares: a fault is
//! *silent* where an application was fooled and nobody had an error.

mod args;
mod calls;
mod clients;
mod desk;
mod director;
mod error;
mod faults;
mod goods;
mod load;
mod mesh;
mod report;
mod rng;
mod run;
mod serve;
mod services;
mod sign;
mod stock;
mod table;
mod truth;

use std::process::ExitCode;

pub use args::{Args, ArgsError, HELP, Mode};
pub use error::ShopError;
pub use report::{Books, FaultRow, LaneRow, Report};
pub use run::run;

/// The whole program: arguments in, exit status out.
#[allow(clippy::print_stdout, clippy::print_stderr)]
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let args = match Args::parse(args) {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("shop: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("shop: no runtime: {error}");
            return ExitCode::from(2);
        }
    };
    let end = runtime.block_on(dispatch(&args));
    // A thread may still wait for a line on stdin.
    runtime.shutdown_background();
    end.unwrap_or_else(|error| {
        eprintln!("shop: {error}");
        ExitCode::from(2)
    })
}

#[allow(clippy::print_stdout)]
async fn dispatch(args: &Args) -> Result<ExitCode, ShopError> {
    if args.mode == Mode::Serve {
        serve::serve().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = run(args).await?;
    if args.json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
