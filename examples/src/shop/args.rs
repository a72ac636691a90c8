//! The command line.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::attacks::scenarios;

/// What `--help` prints.
pub const HELP: &str = "\
shop: three services, a bad hop between them, attackers around them, and a loop that answers

  cargo run --release --bin shop [-- OPTIONS]

gateway (axum) -> orders (axum) -> payments (tonic), each with an identity of its own. Between
them stands a hop that ends TLS; a dozen branch offices, a batch job and an intern call orders
directly. First all is calm, and each service learns what is normal. Then come attackers, one
after the other. Each has to be seen by the right service, on the right edge, by the right signal,
and cut off; and nobody honest may be. In the end the hop cuts, drops, repeats, swaps, replays,
strips, adds and forges, one fault after the other. Every application writes down what it sent and
what it took for whole; the report compares.

  --only NAME    of faults and attacks, only this one; may be given more than once
  --list         the names of the faults' part and of the attacks
  --stock        the same traffic and faults on the same stack without meshguard.
                 A demonstration: it exits with 0 however much is lost.
  --watch        no faults and no attacks: a calm table, until Ctrl-C
  --serve        no load and no faults: keeps running, and prints curl commands to try
  --seconds N    about so long, 1 to 600 [60; of --stock: 12]; longer where an attack takes longer
                 to be answered, and until each fault has been injected
  --seed N       of the load and the order of the faults [7]; timing remains the machine's
  --json         the report as one JSON document, and nothing else, on stdout
  --ledger DIR   keeps each service's ledger there, in a directory of its own
  --help         this

Exit status: 0 if nothing was silent, every fault was injected and named, every attack was seen
and answered, nobody honest was cut off, and the totals add up; 1 if not; 2 if it could not run.
";

/// The name of the hops' faults, beside those of the attacks.
pub(super) const FAULTS: &str = "faults";
const LENGTH: Duration = Duration::from_secs(60);
const STOCK_LENGTH: Duration = Duration::from_secs(12);

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The shop on meshguard.
    Mesh,
    /// The same on the stock stack.
    Stock,
    /// Services only, for a person to try.
    Serve,
    /// Services and their load, to look at.
    Watch,
    /// Only the names of what can be run.
    List,
}

/// The command line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// What to run.
    pub mode: Mode,
    /// Seeds the load and the order of the faults.
    pub seed: u64,
    /// Runs about so long.
    pub length: Duration,
    /// The report as JSON.
    pub json: bool,
    /// Only these of the faults and attacks; all where none is named.
    pub only: Vec<String>,
    /// Where the ledgers are kept. Else they are gone in the end.
    pub ledger: Option<PathBuf>,
}

impl Default for Args {
    fn default() -> Self {
        let (mode, seed, length) = (Mode::Mesh, 7, LENGTH);
        Self { mode, seed, length, json: false, only: Vec::new(), ledger: None }
    }
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgsError {
    /// There is no such option.
    Unknown(String),
    /// This option wants something after it.
    Missing(&'static str, &'static str),
    /// There is no such part.
    Name(String),
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
        let (mut read, mut seconds) = (Self::default(), None);
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--help" | "-h" => return Ok(None),
                "--stock" => read.set_mode(Mode::Stock)?,
                "--serve" => read.set_mode(Mode::Serve)?,
                "--watch" => read.set_mode(Mode::Watch)?,
                "--list" => read.set_mode(Mode::List)?,
                "--json" => read.json = true,
                "--only" => read.only.push(name(args.next())?),
                "--ledger" => {
                    let dir = args.next().ok_or(ArgsError::Missing("--ledger", "a directory"))?;
                    read.ledger = Some(dir.into());
                }
                "--seed" => {
                    read.seed = number(args.next(), 0..=u64::MAX)
                        .ok_or(ArgsError::Number("--seed", "a number from 0"))?;
                }
                "--seconds" => {
                    let read = number(args.next(), 1..=600)
                        .ok_or(ArgsError::Number("--seconds", "a number from 1 to 600"))?;
                    seconds = Some(Duration::from_secs(read));
                }
                _ => return Err(ArgsError::Unknown(arg)),
            }
        }
        let usual = if read.mode == Mode::Stock { STOCK_LENGTH } else { LENGTH };
        read.length = seconds.unwrap_or(usual);
        read.check()?;
        Ok(Some(read))
    }

    /// Whether this part is to be run.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    fn set_mode(&mut self, mode: Mode) -> Result<(), ArgsError> {
        if self.mode != Mode::Mesh && self.mode != mode {
            return Err(ArgsError::Both(self.mode.option(), mode.option()));
        }
        self.mode = mode;
        Ok(())
    }

    fn check(&self) -> Result<(), ArgsError> {
        let is_run = matches!(self.mode, Mode::Mesh | Mode::Stock);
        let is_mesh = self.mode == Mode::Mesh;
        for (given, fits, option) in [
            (self.json, is_run, "--json"),
            (!self.only.is_empty(), is_mesh, "--only"),
            (self.ledger.is_some(), is_mesh, "--ledger"),
        ] {
            if given && !fits {
                return Err(ArgsError::Both(self.mode.option(), option));
            }
        }
        Ok(())
    }
}

impl Mode {
    fn option(self) -> &'static str {
        match self {
            Self::Mesh => "--only",
            Self::Stock => "--stock",
            Self::Serve => "--serve",
            Self::Watch => "--watch",
            Self::List => "--list",
        }
    }
}

/// All that can be named by `--only`.
pub(super) fn names() -> Vec<(&'static str, &'static str)> {
    let faults = (FAULTS, "each hop does to calls all that a hop can, one fault after the other");
    let attacks = scenarios().into_iter().map(|scenario| (scenario.name, scenario.about));
    std::iter::once(faults).chain(attacks).collect()
}

fn name(text: Option<String>) -> Result<String, ArgsError> {
    let text = text.ok_or(ArgsError::Missing("--only", "a name of --list"))?;
    match names().iter().any(|(name, _)| *name == text) {
        true => Ok(text),
        false => Err(ArgsError::Name(text)),
    }
}

fn number(text: Option<String>, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    text?.parse().ok().filter(|n| range.contains(n))
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(arg) => write!(f, "unknown option {arg:?}"),
            Self::Name(name) => write!(f, "no part is called {name:?}; --list names them"),
            Self::Missing(option, wants) | Self::Number(option, wants) => {
                write!(f, "{option} wants {wants}")
            }
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
        let read = Args { mode: Mode::Stock, seed: 3, length, json: true, ..Args::default() };
        assert_eq!(args, read);
        assert_eq!(parse("--stock").unwrap().unwrap().length, STOCK_LENGTH);
        let args = parse("--only faults --only slow-loris --ledger a/b").unwrap().unwrap();
        assert_eq!(args.ledger, Some("a/b".into()));
        assert!(args.wants("faults") && args.wants("slow-loris") && !args.wants("sick-instance"));
        assert_eq!(parse("").unwrap().unwrap(), Args::default());
        assert_eq!(parse("--seed 3 -h").unwrap(), None);
        assert_eq!(parse("--fast"), Err(ArgsError::Unknown("--fast".into())));
        for odd in ["--seconds 0", "--seconds 601", "--seconds", "--seconds x"] {
            assert!(matches!(parse(odd), Err(ArgsError::Number("--seconds", _))), "{odd}");
        }
        assert_eq!(parse("--only rain"), Err(ArgsError::Name("rain".into())));
        assert!(matches!(parse("--ledger"), Err(ArgsError::Missing("--ledger", _))));
        for odd in ["--stock --serve", "--serve --stock", "--serve --json", "--watch --only faults"]
        {
            assert!(matches!(parse(odd), Err(ArgsError::Both(..))), "{odd}");
        }
    }

    #[test]
    fn every_part_has_a_name_of_its_own() {
        let names: Vec<_> = names().into_iter().map(|(name, _)| name).collect();
        let once: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!((names.len(), once.len()), (7, 7));
        assert!(names.iter().all(|name| parse(&format!("--only {name}")).is_ok()));
    }
}
