//! The command line.

use std::fmt;
use std::time::Duration;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
soak: every shape of call, on meshguard and beside it on the stock stack, through ordinary trouble

  cargo run --release -p meshguard-testing --bin soak [-- OPTIONS]

Two callees restart, at once and gracefully; policies change; certificates rotate; callers cancel,
read slowly and stop reading. Unary calls, streams, uploads, downloads and SSE go over HTTP/2 and
HTTP/1.1, direct and through a hop, in clear and sealed. The same mix runs on hyper, axum and tonic
over mutual TLS, with restarts at the same times.

  --seconds N          how long, 20 to 86400 [60]
  --seed N             of what is called and what happens [7]; timing remains the machine's
  --without-renewal    callees do not say that a session is unknown. The soak must then fail
  --help               this

Exit status: 0 if every verdict holds, 1 if not, 2 if it could not run.
";

/// The command line, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) length: Duration,
    pub(crate) seed: u64,
    /// Callees say *renew* to callers whose session they do not know.
    pub(crate) renewal: bool,
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ArgsError {
    /// There is no such option.
    Unknown(String),
    /// This option wants a number in a range.
    Number(&'static str, &'static str),
}

impl Args {
    /// Reads the arguments, without the program's name. `None`: help is asked for.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Self>, ArgsError> {
        let mut read = Self { length: Duration::from_secs(60), seed: 7, renewal: true };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--help" | "-h" => return Ok(None),
                "--without-renewal" => read.renewal = false,
                "--seed" => {
                    read.seed = number(args.next(), 0..=u64::MAX)
                        .ok_or(ArgsError::Number("--seed", "a number from 0"))?;
                }
                "--seconds" => {
                    let seconds = number(args.next(), 20..=86_400)
                        .ok_or(ArgsError::Number("--seconds", "a number from 20 to 86400"))?;
                    read.length = Duration::from_secs(seconds);
                }
                _ => return Err(ArgsError::Unknown(arg)),
            }
        }
        Ok(Some(read))
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
        let length = Duration::from_secs(600);
        let args = parse("--seconds 600 --seed 3 --without-renewal").unwrap().unwrap();
        assert_eq!(args, Args { length, seed: 3, renewal: false });
        let args = parse("").unwrap().unwrap();
        assert_eq!(args, Args { length: Duration::from_secs(60), seed: 7, renewal: true });
        assert_eq!(parse("--seed 3 -h").unwrap(), None);
        assert_eq!(parse("--fast"), Err(ArgsError::Unknown("--fast".into())));
        for odd in ["--seconds 19", "--seconds 86401", "--seconds", "--seconds x"] {
            assert!(matches!(parse(odd), Err(ArgsError::Number("--seconds", _))), "{odd}");
        }
    }
}
