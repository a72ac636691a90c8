//! A policy in a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshguard_core::Policy;
use meshguard_core::policy::{MAX_DOCUMENT, Syntax};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{News, NextNews, PolicySource};
use crate::files::{Disk, Look, MIN_EVERY, System, Text, Unsettled, Watched};
use crate::mesh::{RELOAD_EVERY, ReloadError};

/// A policy document in a file, read again when it changes: TOML, or YAML where its name ends in
/// `.yaml` or `.yml`.
///
/// It is read when it was the same at two looks, and around the reading, so that no document is
/// taken while it is being written; one that comes with a swapped `..data` link is read at once. The
/// file is read and its document compiled in a thread that may block.
#[derive(Debug)]
pub struct PolicyFile {
    reader: Reader,
    name: String,
    every: Duration,
    ticks: Option<Interval>,
    /// A look that has begun. It outlives a future of [`next`](PolicySource::next) that is dropped, so
    /// that what it reads is not lost.
    looking: Option<JoinHandle<Option<(u64, News)>>>,
    /// The number of the reading whose policy it brought last.
    brought: u64,
}

/// The file, as all know it who read it: clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Reader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Held while it is looked at and read, which may take long.
    watched: Mutex<Watched>,
    /// Held for a moment.
    outcome: Mutex<Outcome>,
}

/// What became of what was read.
#[derive(Debug, Default)]
struct Outcome {
    /// How often it was read.
    readings: u64,
    /// What was read last is in force.
    good: bool,
    /// It is to be read again, whether it changes or not.
    again: bool,
}

impl PolicyFile {
    /// The file at `path`, looked at every second.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::of(Reader::new(System::shared(), path.into()))
    }

    /// The file that is read here already.
    pub(crate) fn of(reader: Reader) -> Self {
        let (name, brought) = (reader.name(), reader.outcome().readings);
        Self { reader, name, every: RELOAD_EVERY, ticks: None, looking: None, brought }
    }

    /// Looks for changes so often, but not more often than every 20 ms.
    #[must_use]
    pub fn every(mut self, period: Duration) -> Self {
        self.every = period.max(MIN_EVERY);
        self
    }
}

impl Reader {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        let watched = Watched::new(disk, vec![path.clone()], MAX_DOCUMENT as u64);
        let (watched, outcome) = (Mutex::new(watched), Mutex::default());
        Self(Arc::new(Shared { path, watched, outcome }))
    }

    /// What it is, for an operator.
    pub(crate) fn name(&self) -> String {
        self.0.path.display().to_string()
    }

    /// Reads it for the first time, blocking. What it has is taken to be in force.
    pub(crate) fn first(&self) -> Result<Policy, ReloadError> {
        let policy = self.read(self.watched().first()).1?;
        self.outcome().good = true;
        Ok(policy)
    }

    /// Reads it now, blocking; with the number of the reading.
    pub(crate) fn now(&self) -> (u64, Result<Policy, ReloadError>) {
        let mut watched = self.watched();
        let read = watched.now();
        self.read(read)
    }

    /// Looks once, blocking; with the number of the reading that the news is of.
    pub(crate) fn look(&self) -> Option<(u64, News)> {
        let mut watched = self.watched();
        if std::mem::take(&mut self.outcome().again) {
            watched.forget();
        }
        let found = watched.look();
        if matches!(found, Look::Same) {
            let outcome = self.outcome();
            return outcome.good.then_some((outcome.readings, News::Fresh));
        }
        let (reading, policy) = self.read(found.news()?);
        Some((reading, policy.map_or_else(News::Failed, |policy| News::Policy(Box::new(policy)))))
    }

    /// What became of what that reading gave.
    pub(crate) fn told(&self, reading: u64, result: &Result<u64, Arc<ReloadError>>) {
        let mut outcome = self.outcome();
        if reading != outcome.readings {
            // Two have read it at a time, and it is not known whose policy is in force.
            outcome.again = true;
            return;
        }
        match result {
            Err(error) if matches!(**error, ReloadError::Unsettled(_)) => {} // nothing was read
            result => outcome.good = result.is_ok(),
        }
    }

    /// Counts a reading, and compiles what it has. The caller holds `watched`, so that readings are
    /// counted in their order.
    fn read(&self, read: Result<Vec<Text>, Unsettled>) -> (u64, Result<Policy, ReloadError>) {
        let texts = match read {
            Ok(texts) => texts,
            Err(Unsettled(path)) => {
                return (self.outcome().readings, Err(ReloadError::Unsettled(path)));
            }
        };
        let reading = {
            let mut outcome = self.outcome();
            (outcome.readings, outcome.good) = (outcome.readings + 1, false);
            outcome.readings
        };
        let text = texts.into_iter().next().ok_or(io::ErrorKind::NotFound.into());
        (reading, compile(&self.0.path, text.flatten()))
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compile(path: &Path, text: Text) -> Result<Policy, ReloadError> {
    let read = |e| ReloadError::Read(path.to_owned(), e);
    let text = text.map_err(read)?;
    let text = std::str::from_utf8(&text)
        .map_err(|e| read(io::Error::new(io::ErrorKind::InvalidData, e)))?;
    let syntax = Syntax::of_file(&path.to_string_lossy());
    Policy::read(text, syntax).map_err(|e| ReloadError::Policy(path.to_owned(), e))
}

impl PolicySource for PolicyFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn next(&mut self) -> NextNews<'_> {
        Box::pin(async move {
            loop {
                if let Some(looking) = &mut self.looking {
                    let found = looking.await;
                    self.looking = None;
                    match found {
                        Ok(Some((reading, news))) => {
                            self.brought = reading;
                            return Some(news);
                        }
                        Ok(None) => {}
                        // The runtime ends.
                        Err(error) if error.is_cancelled() => return None,
                        Err(error) => {
                            let error = ReloadError::Source(self.name.clone(), error.into());
                            return Some(News::Failed(error));
                        }
                    }
                }
                let every = self.every;
                let ticks = self.ticks.get_or_insert_with(|| {
                    let mut ticks = interval(every);
                    // Two looks are apart, whatever has held one up.
                    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    ticks
                });
                ticks.tick().await;
                let reader = self.reader.clone();
                self.looking = Some(spawn_blocking(move || reader.look()));
            }
        })
    }

    fn told(&mut self, outcome: &Result<u64, Arc<ReloadError>>) {
        self.reader.told(self.brought, outcome);
    }
}
