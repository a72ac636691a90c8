//! How much a ledger holds, and how long it waits.

/// Whether a seeded defect breaks the ledger of these options; outside of tests, never.
macro_rules! seeded {
    ($options:expr, $defect:ident) => {{
        #[cfg(test)]
        let on = $options.defect == Some(crate::ledger::tests::Defect::$defect);
        #[cfg(not(test))]
        let on = {
            let _ = &$options;
            false
        };
        on
    }};
}
pub(super) use seeded;

use std::path::PathBuf;
use std::time::Duration;

/// What can be set. The defaults are for a service that writes some thousand entries a second.
#[derive(Clone, Debug)]
pub struct LedgerOptions {
    pub(super) segment: u64,
    pub(super) memory: u64,
    pub(super) queue: usize,
    pub(super) queue_entries: usize,
    pub(super) window: Duration,
    pub(super) window_entries: usize,
    pub(super) checkpoint: Duration,
    pub(super) checkpoint_entries: u64,
    pub(super) retry: Duration,
    pub(super) reserve: u64,
    pub(super) retain: Option<u64>,
    pub(super) archive: Option<PathBuf>,
    #[cfg(test)]
    pub(super) defect: Option<super::tests::Defect>,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self {
            segment: 64 << 20,
            memory: 16 << 20,
            queue: 4 << 20,
            queue_entries: 65_536,
            window: Duration::from_millis(10),
            window_entries: 1024,
            checkpoint: Duration::from_secs(1),
            checkpoint_entries: 4096,
            retry: Duration::from_secs(1),
            reserve: 1 << 20,
            retain: None,
            archive: None,
            #[cfg(test)]
            defect: None,
        }
    }
}

impl LedgerOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes in one segment on disk, after which the next begins; 64 MiB. A segment has at
    /// least one entry, however small this is.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment = bytes;
        self
    }

    /// Bytes of the newest entries that a ledger in memory keeps; 16 MiB. It drops a sixteenth
    /// of that at a time.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Bytes and entries that may wait to be written, at least 1; 4 MiB and 65,536. There is as
    /// much again in the hands of the writer.
    #[must_use]
    pub fn queue(mut self, bytes: usize, entries: usize) -> Self {
        (self.queue, self.queue_entries) = (bytes.max(1), entries.max(1));
        self
    }

    /// How long the first entry of a batch waits for more, and for how many; 10 ms and 1,024.
    #[must_use]
    pub fn window(mut self, time: Duration, entries: usize) -> Self {
        (self.window, self.window_entries) = (time, entries);
        self
    }

    /// How long entries, and how many, go without a checkpoint; 1 s and 4,096, at least 1. No
    /// more than so many are ever on disk without one, so a start adopts no more.
    #[must_use]
    pub fn checkpoints(mut self, time: Duration, entries: u64) -> Self {
        (self.checkpoint, self.checkpoint_entries) = (time, entries.max(1));
        self
    }

    /// How long after a write that failed it is tried again; 1 s. The first time that is done at
    /// once.
    #[must_use]
    pub fn retry(mut self, every: Duration) -> Self {
        self.retry = every;
        self
    }

    /// Bytes of segments that are kept on disk; without this, all are. The oldest segments that
    /// are covered by a checkpoint go, whole; so there is up to one segment more. The tree over
    /// what went stays, and what is left verifies from there on.
    #[must_use]
    pub fn retain(mut self, bytes: u64) -> Self {
        self.retain = Some(bytes);
        self
    }

    /// Where segments go that are not kept, with their checkpoints; without this they are
    /// removed. The directory is a ledger that verifies by itself, as far as it reaches.
    #[must_use]
    pub fn archive(mut self, dir: impl Into<PathBuf>) -> Self {
        self.archive = Some(dir.into());
        self
    }

    /// Bytes on disk that are kept free for the entries in hand when the disk is full; 1 MiB. With
    /// 0 there is no reserve.
    #[must_use]
    pub fn reserve(mut self, bytes: u64) -> Self {
        self.reserve = bytes;
        self
    }
}
