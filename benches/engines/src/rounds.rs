//! Engines timed in turns.

use std::fmt;
use std::fs;
use std::thread;
use std::time::Duration;

use crate::{Engine, Error};

/// How much CPU time one engine's turn in a round is to take, about, in nanoseconds.
const TURN: u64 = 10_000_000;

/// Nanoseconds of CPU per decision, by number of rules.
#[derive(Debug, Default)]
pub struct Table {
    /// One for each size.
    pub rows: Vec<Row>,
}

/// One size.
#[derive(Debug)]
pub struct Row {
    /// How many rules.
    pub rules: usize,
    /// Engines' names, and nanoseconds of CPU per decision; the first is what the others are held to.
    pub nanos: Vec<(&'static str, f64)>,
}

impl Row {
    /// Times the engines against each other: in each round every engine has one turn, beginning
    /// with another one each time, and goes on in the sample where its last turn ended. An
    /// engine's cost is the lower quartile over the rounds: what else runs beside makes a
    /// turn slower, and never faster.
    ///
    /// # Errors
    /// Where there is no `/proc`: only Linux has it.
    pub fn measure(
        rules: usize,
        engines: &mut [Box<dyn Engine + '_>],
        rounds: usize,
    ) -> Result<Self, Error> {
        let counts = engines.iter_mut().map(|engine| turn(&mut **engine));
        let counts = counts.collect::<Result<Vec<_>, _>>()?;
        let mut seen = vec![Vec::with_capacity(rounds); engines.len()];
        for round in 0..rounds {
            for step in 0..engines.len() {
                let at = (round + step) % engines.len();
                let begin = cpu()?;
                engines[at].decide(round * counts[at], counts[at]);
                seen[at].push((cpu()? - begin) as f64 / counts[at] as f64);
            }
        }
        let nanos = engines.iter().zip(seen).map(|(engine, seen)| (engine.name(), quartile(seen)));
        Ok(Self { rules, nanos: nanos.collect() })
    }
}

/// How many decisions fill a turn; at least four. The first of them warm up.
fn turn(engine: &mut dyn Engine) -> Result<usize, Error> {
    let mut count = 1;
    loop {
        let begin = cpu()?;
        engine.decide(0, count);
        let took = cpu()? - begin;
        if took * 4 >= TURN {
            return Ok((count * TURN as usize / took as usize).max(4));
        }
        count *= 2;
    }
}

/// Nanoseconds that this thread has been on a CPU: what else the machine does is not in it. The
/// kernel brings the number up to date when a thread stops running, so it is made to.
fn cpu() -> Result<u64, Error> {
    thread::sleep(Duration::from_micros(1));
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().unwrap_or_default().parse()?)
}

fn quartile(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 4).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.rows.first() else { return Ok(()) };
        write!(f, "| rules |")?;
        first.nanos.iter().try_for_each(|(name, _)| write!(f, " {name} |"))?;
        write!(f, "\n|---|{}", "---|".repeat(first.nanos.len()))?;
        for row in &self.rows {
            write!(f, "\n| {} |", row.rules)?;
            let ours = row.nanos.first().map_or(f64::NAN, |(_, nanos)| *nanos);
            for (at, (_, nanos)) in row.nanos.iter().enumerate() {
                let unit = if *nanos < 10_000.0 {
                    format!("{nanos:.0} ns")
                } else {
                    format!("{:.1} us", nanos / 1000.0)
                };
                if at == 0 {
                    write!(f, " {unit} |")?;
                } else {
                    write!(f, " {unit}, {:.0}x |", nanos / ours)?;
                }
            }
        }
        writeln!(f)
    }
}
