//! Decisions by meshguard alone, to be counted from outside: `ours RULES DECISIONS`.

use std::io::Write as _;

use meshguard_bench_engines::{Engine as _, Error, Mesh, Workload};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || {
        arguments.next().ok_or("usage: ours RULES DECISIONS")?.parse::<usize>().map_err(Error::from)
    };
    let (rules, decisions) = (number()?, number()?);
    let load = Workload::new(rules, rules as u64);
    let sample = load.allowed(256, 2);
    let allowed = Mesh::new(&load, &sample)?.decide(0, decisions);
    writeln!(std::io::stdout(), "{allowed} of {decisions} allowed")?;
    Ok(())
}
