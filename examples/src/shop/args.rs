//! The command line.

use std::fmt;
use std::time::Duration;

/// What `--help` prints.
pub const HELP: &str = "\
shop: three services, a bad hop between them, and who noticed

  cargo run --release --bin shop [-- OPTIONS]

gateway (axum) -> orders (axum) -> payments (tonic), each with an identity of its own. Between
them stands a hop that ends TLS. Under ordinary load it cuts, drops, repeats, swaps, replays,
strips, adds and forges, one fault after the other. Every application writes down what it sent
and what it took for whole; the report compares the two.

  --stock        the same traffic and faults on the same stack without meshguard.
                 A demonstration: it exits with 0 however much is lost.
  --serve        no load and no faults: keeps running, and prints curl commands to try
  --seconds N    at least so long, 1 to 100 [12]; longer until each fault has been injected
  --seed N       of the load and the order of the faults [7]; timing remains the machine's
  --json         the report as one JSON document, and nothing else, on stdout
  --help         this

Exit status: 0 if nothing was silent, every fault was injected and named, and the totals add up;
1 if not; 2 if it could not run.
";

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The shop on meshguard.
    Mesh,
    /// The same on the stock stack.
    Stock,
    /// Services only, for a person to try.
    Serve,
}

/// The command line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// What to run.
    pub mode: Mode,
    /// Seeds the load and the order of the faults.
    pub seed: u64,
    /// Runs at least so long.
    pub length: Duration,
    /// The report as JSON.
    pub json: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self { mode: Mode::Mesh, seed: 7, length: Duration::from_secs(12), json: false }
    }
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgsError {
    /// There is no such option.
    Unknown(String),
    /// This option wants a number in a range.
    Number(&'static str, &'static str),
    /// These two options exclude each other.
    Both(&'static str, &'static str),
}

impl Args {
    /// Reads the arguments, without the program's name. `None`: help is asked for.
    ///
    /// # Errors
    /// [`ArgsError`] names the argument at fault.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Self>, ArgsError> {
        let mut read = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--help" | "-h" => return Ok(None),
                "--stock" => read.set_mode(Mode::Stock)?,
                "--serve" => read.set_mode(Mode::Serve)?,
                "--json" => read.json = true,
                "--seed" => {
                    read.seed = number(args.next(), 0..=u64::MAX)
                        .ok_or(ArgsError::Number("--seed", "a number from 0"))?;
                }
                "--seconds" => {
                    let seconds = number(args.next(), 1..=100)
                        .ok_or(ArgsError::Number("--seconds", "a number from 1 to 100"))?;
                    read.length = Duration::from_secs(seconds);
                }
                _ => return Err(ArgsError::Unknown(arg)),
            }
        }
        if read.json && read.mode == Mode::Serve {
            return Err(ArgsError::Both("--serve", "--json"));
        }
        Ok(Some(read))
    }

    fn set_mode(&mut self, mode: Mode) -> Result<(), ArgsError> {
        if self.mode != Mode::Mesh && self.mode != mode {
            return Err(ArgsError::Both("--stock", "--serve"));
        }
        self.mode = mode;
        Ok(())
    }
}

fn number(text: Option<String>, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    text?.parse().ok().filter(|n| range.contains(n))
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(arg) => write!(f, "unknown option {arg:?}"),
            Self::Number(option, wants) => write!(f, "{option} wants {wants}"),
            Self::Both(a, b) => write!(f, "{a} and {b} exclude each other"),
        }
    }
}

impl std::error::Error for ArgsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Args>, ArgsError> {
        Args::parse(text.split_whitespace().map(ToOwned::to_owned))
    }

    #[test]
    fn options_are_read_and_odd_ones_refused() {
        let args = parse("--stock --seed 3 --seconds 8 --json").unwrap().unwrap();
        let length = Duration::from_secs(8);
        assert_eq!(args, Args { mode: Mode::Stock, seed: 3, length, json: true });
        assert_eq!(parse("").unwrap().unwrap(), Args::default());
        assert_eq!(parse("--seed 3 -h").unwrap(), None);
        assert_eq!(parse("--fast"), Err(ArgsError::Unknown("--fast".into())));
        for odd in ["--seconds 0", "--seconds 101", "--seconds", "--seconds x"] {
            assert!(matches!(parse(odd), Err(ArgsError::Number("--seconds", _))), "{odd}");
        }
        for odd in ["--stock --serve", "--serve --stock", "--serve --json"] {
            assert!(matches!(parse(odd), Err(ArgsError::Both(..))), "{odd}");
        }
    }
}
