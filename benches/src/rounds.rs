//! Variants measured against each other, in turns.

use std::fmt;

use tokio::runtime::Runtime;

use crate::{Caller, Error, Load, Server, Variant};

/// One server and one caller for each variant, all in this process.
#[derive(Debug)]
pub struct Rig {
    runtime: Runtime,
    sides: Vec<(Variant, Server, Caller)>,
}

/// Server CPU by load and variant.
#[derive(Debug)]
pub struct Table {
    rounds: usize,
    /// Of each load: nanoseconds per request with plain mTLS, and the ratios to it.
    rows: Vec<(Load, f64, Vec<f64>)>,
}

impl Rig {
    /// Starts all servers and connects to them.
    ///
    /// # Errors
    /// Where a server does not start, or cannot be called.
    pub fn start() -> Result<Self, Error> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut sides = Vec::new();
        for variant in Variant::ALL {
            let server = Server::start(variant)?;
            let caller = runtime.block_on(Caller::connect(variant, &server))?;
            sides.push((variant, server, caller));
        }
        Ok(Self { runtime, sides })
    }

    /// Nanoseconds of server CPU that `count` requests cost.
    ///
    /// # Errors
    /// Where a request fails.
    pub fn measure(&self, variant: Variant, load: Load, count: usize) -> Result<f64, Error> {
        let side = self.sides.iter().find(|(v, ..)| *v == variant);
        let (_, server, caller) = side.ok_or("no such variant")?;
        let before = server.cpu.nanos()?;
        let sent = self.runtime.block_on(load.run(caller.clone(), count))?;
        let spent = server.cpu.nanos()? - before;
        Ok(spent as f64 * count as f64 / sent as f64)
    }

    /// Measures these loads on all variants, in `rounds` rounds after one to warm up. In a round
    /// each load goes to every variant, beginning with another one each time. A variant's cost is
    /// the lower quartile over the rounds: what else runs on a core can make it slower by half,
    /// and never faster.
    ///
    /// # Errors
    /// Where a request fails.
    pub fn table(&self, rounds: usize, loads: &[Load]) -> Result<Table, Error> {
        let variants = Variant::ALL.len();
        let mut seen = vec![vec![Vec::new(); variants]; loads.len()];
        for round in 0..=rounds {
            for (load, seen) in loads.iter().zip(&mut seen) {
                for turn in 0..variants {
                    let at = (round + turn) % variants;
                    let spent = self.measure(Variant::ALL[at], *load, load.round)?;
                    if round > 0 {
                        seen[at].push(spent / load.round as f64);
                    }
                }
            }
        }
        let row = |(load, seen): (&Load, Vec<Vec<f64>>)| {
            let costs: Vec<f64> = seen.into_iter().map(quartile).collect();
            (*load, costs[0], costs[1..].iter().map(|cost| cost / costs[0]).collect())
        };
        let rows = loads.iter().zip(seen).map(row).collect();
        Ok(Table { rounds, rows })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = Variant::ALL[0];
        writeln!(
            f,
            "Server CPU per request, as a multiple of {plain} (lower quartiles of {} rounds)",
            self.rounds
        )?;
        write!(f, "\n| load | {plain} |")?;
        Variant::ALL[1..].iter().try_for_each(|v| write!(f, " {v} |"))?;
        write!(f, "\n|---|---|")?;
        Variant::ALL[1..].iter().try_for_each(|_| f.write_str("---|"))?;
        for (load, nanos, ratios) in &self.rows {
            write!(f, "\n| {} | {:.1} us |", load.name, nanos / 1000.0)?;
            ratios.iter().try_for_each(|r| write!(f, " {r:.2} |"))?;
        }
        writeln!(f)
    }
}

fn quartile(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 4).copied().unwrap_or(f64::NAN)
}
