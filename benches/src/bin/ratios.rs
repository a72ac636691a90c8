//! Prints what the mesh costs a server, as multiples of plain mTLS: `README.md` says how to
//! read it.

use std::io::Write as _;

use meshguard_benches::{Error, LOADS, Rig};

/// Rounds without an argument: about a minute.
const ROUNDS: usize = 25;

fn main() -> Result<(), Error> {
    let rounds = std::env::args().nth(1).map_or(Ok(ROUNDS), |n| n.parse())?;
    let table = Rig::start()?.table(rounds, &LOADS)?;
    writeln!(std::io::stdout(), "{table}")?;
    Ok(())
}
