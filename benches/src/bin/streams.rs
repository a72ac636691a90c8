//! Prints what long gRPC streams of small messages cost a server, as multiples of plain mTLS:
//! `README.md` says how to read it.

use std::io::Write as _;

use meshguard_benches::{Error, Rig, STREAMS};

/// Rounds without an argument: about a minute.
const ROUNDS: usize = 15;

fn main() -> Result<(), Error> {
    let rounds = std::env::args().nth(1).map_or(Ok(ROUNDS), |n| n.parse())?;
    let table = Rig::start()?.table(rounds, &STREAMS)?;
    writeln!(std::io::stdout(), "{table}")?;
    Ok(())
}
