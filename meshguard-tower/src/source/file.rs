//! A policy in a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meshguard_core::Policy;
use meshguard_core::policy::{MAX_DOCUMENT, Syntax};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{News, NextNews, PolicySource};
use crate::mesh::{RELOAD_EVERY, ReloadError};

/// What tells that a file has changed; through symbolic links, as mounted secrets are swapped.
pub(crate) type Mark = Option<(SystemTime, u64)>;

pub(crate) fn mark(path: &Path) -> Mark {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}

/// A policy document in a file, read again when it changes: TOML, or YAML where its name ends in
/// `.yaml` or `.yml`.
#[derive(Debug)]
pub struct PolicyFile {
    path: PathBuf,
    name: String,
    every: Duration,
    ticks: Option<Interval>,
    seen: Option<Mark>,
    /// What was read last is in force.
    good: bool,
}

impl PolicyFile {
    /// The file at `path`, looked at every second.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.display().to_string();
        Self { path, name, every: RELOAD_EVERY, ticks: None, seen: None, good: false }
    }

    /// Looks for changes so often.
    #[must_use]
    pub fn every(mut self, period: Duration) -> Self {
        self.every = period.max(Duration::from_millis(1));
        self
    }

    /// What is there has been read, and is in force, if it still has this mark.
    pub(crate) fn seen(mut self, mark: Mark) -> Self {
        (self.seen, self.good) = (Some(mark), true);
        self
    }

    /// Reads it, now.
    pub(crate) fn read(path: &Path) -> Result<Policy, ReloadError> {
        let read = |e| ReloadError::Read(path.to_owned(), e);
        if std::fs::metadata(path).map_err(read)?.len() > MAX_DOCUMENT as u64 {
            return Err(read(io::Error::new(io::ErrorKind::FileTooLarge, "too large a document")));
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        let syntax = Syntax::of_file(&path.to_string_lossy());
        Policy::read(&text, syntax).map_err(|e| ReloadError::Policy(path.to_owned(), e))
    }

    fn look(&mut self) -> Option<News> {
        // Before it is read, so that no change is missed.
        let found = mark(&self.path);
        if self.seen != Some(found) {
            self.seen = Some(found);
            return Some(match Self::read(&self.path) {
                Ok(policy) => News::Policy(Box::new(policy)),
                Err(error) => News::Failed(error),
            });
        }
        self.good.then_some(News::Fresh)
    }
}

impl PolicySource for PolicyFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn next(&mut self) -> NextNews<'_> {
        Box::pin(async move {
            loop {
                let every = self.every;
                let ticks = self.ticks.get_or_insert_with(|| {
                    let mut ticks = interval(every);
                    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    ticks
                });
                ticks.tick().await;
                if let Some(news) = self.look() {
                    return Some(news);
                }
            }
        })
    }

    fn told(&mut self, outcome: &Result<u64, Arc<ReloadError>>) {
        self.good = outcome.is_ok();
    }
}
