//! Prints the table of `../README.md`: `engines [rounds]`.

use std::io::Write as _;

use meshguard_bench_engines::{
    Casbin, Engine, Error, Mesh, Row, SIZES, Sample, Table, Workload, agree, engines,
};

/// Rounds without an argument: a minute or two.
const ROUNDS: usize = 40;
/// Calls that are timed, and calls that all engines must answer alike before.
const CALLS: usize = 256;
const GATE: usize = 1_000;

fn main() -> Result<(), Error> {
    let rounds = std::env::args().nth(1).map_or(Ok(ROUNDS), |n| n.parse())?;
    let mut out = std::io::stdout();
    let (mut table, mut growth, mut again) = (Table::default(), Vec::new(), Table::default());
    for rules in SIZES {
        let load = Workload::new(rules, rules as u64);
        let gate = load.mixed(GATE, 1);
        let yes = gate.calls.iter().filter(|call| call.allowed).count();
        agree(&mut engines(&load, &gate)?, &gate)?;
        writeln!(out, "{rules} rules: all agree on {GATE} calls, of which {yes} are allowed")?;
        let sample = load.allowed(CALLS, 2);
        let mut all = engines(&load, &sample)?;
        agree(&mut all, &sample)?;
        let row = Row::measure(rules, &mut all, rounds)?;
        let one = Sample { calls: sample.calls[..1].to_vec() };
        growth.push((rules, row.nanos[0].1));
        let cached: Box<dyn Engine> = Box::new(Casbin::cached(&load, &one)?);
        let mut one: Vec<Box<dyn Engine + '_>> = vec![Box::new(Mesh::new(&load, &one)?), cached];
        again.rows.push(Row::measure(rules, &mut one, rounds)?);
        table.rows.push(row);
    }
    writeln!(
        out,
        "\nCPU per allowed call, {CALLS} in turn (lower quartiles of {rounds} rounds)\n\n{table}"
    )?;
    writeln!(out, "One allowed call again and again\n\n{again}")?;
    for (rules, nanos) in &growth {
        writeln!(
            out,
            "meshguard at {rules} rules: {:.2} times its cost at {}",
            nanos / growth[0].1,
            growth[0].0
        )?;
    }
    Ok(())
}
