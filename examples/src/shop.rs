//! A shop of three services, a bad hop between each two of them, and attackers around them.
//!
//! `gateway` (axum) calls `orders` (axum) over HTTP/2 and HTTP/1.1, `orders` calls two instances
//! of `payments` (tonic). Calls cross a hop that ends TLS and misbehaves on cue. The applications
//! write down what they sent and what they took for whole, and `truth` compares: a fault is
//! *silent* where an application was fooled and nobody had an error.
//!
//! Then `attacks` come, one after the other; `journal` writes down what the services' loops do
//! about them, and `verdict` judges: seen on the right edge, cut off, and nobody honest hit.

mod args;
mod attacks;
mod books;
mod calls;
mod clients;
mod desk;
mod director;
mod edges;
mod error;
mod faults;
mod goods;
mod ids;
mod incidents;
mod journal;
mod ledgers;
mod load;
mod member;
mod mesh;
mod report;
mod rng;
mod run;
mod serve;
mod servers;
mod services;
mod sign;
mod stage;
mod stock;
mod table;
mod timing;
mod town;
mod truth;
mod verdict;
mod watch;

use std::process::ExitCode;

pub use args::{Args, ArgsError, HELP, Mode};
pub use books::{Books, CalleeBooks};
pub use edges::EdgeRow;
pub use error::ShopError;
pub use journal::StepRow;
pub use ledgers::LedgerRow;
pub use report::{FaultRow, LaneRow, Report, Windows};
pub use run::run;
pub use verdict::{ActionRow, ScenarioRow};

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
    match args.mode {
        Mode::Serve => serve::serve().await?,
        Mode::Watch => watch::watch(args).await?,
        Mode::List => args::names().iter().for_each(|(name, about)| println!("{name:<20}{about}")),
        Mode::Mesh | Mode::Stock => return report(args).await,
    }
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::print_stdout)]
async fn report(args: &Args) -> Result<ExitCode, ShopError> {
    let report = run(args).await?;
    if args.json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
