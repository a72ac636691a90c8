//! The handle.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use meshguard_core::ledger::{
    Adopted, Audit, Audited, Entry, Gap, GapCause, Signer, Tree, VerifierKey, origin,
};

use tokio::sync::watch;

use super::entries::Entries;
use super::error::{LedgerError, LedgerErrorKind, VerifyError};
use super::key::{AwsLc, Key, verifier_key};
use super::open::{self, OpenReport};
use super::options::{LedgerOptions, seeded};
use super::queue::{Condition, Queue};
use super::stats::{LedgerState, Stats};
use super::store::{Memory, Store};
use super::verify::verify;
use super::writer::{Writer, first_note};

/// A ledger that is written. Clones are one ledger; with the last of them it is closed, which
/// may wait for the disk.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
    public_key: [u8; 32],
    place: Place,
    report: OpenReport,
}

pub(super) enum Place {
    Memory(Memory),
    Dir(PathBuf),
}

impl Ledger {
    /// A ledger in memory, with a key of its own that is nowhere else: the newest 16 MiB of
    /// entries, which verify to its signed root though older ones are gone.
    ///
    /// # Errors
    /// No key can be made, or no thread be started.
    pub fn memory() -> Result<Self, LedgerError> {
        Self::memory_with(LedgerOptions::default())
    }

    /// As [`memory`](Self::memory), with options.
    ///
    /// # Errors
    /// As [`memory`](Self::memory).
    pub fn memory_with(options: LedgerOptions) -> Result<Self, LedgerError> {
        let key = Key::generate()?;
        let note = first_note(&key);
        let memory = Memory::new(options.memory, &note);
        let place = Place::Memory(memory.clone());
        let report = OpenReport::default();
        Self::start(options, key, Box::new(memory), Tree::new(), place, report, &note)
    }

    /// The ledger in a directory, which is made where there is none, with a key. Reads all that
    /// is there and verifies it, and cuts off what a crash left half written at its end.
    ///
    /// # Errors
    /// A file fails; another process has it; what is there has no key, or does not verify.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, LedgerError> {
        Self::open_with(dir, LedgerOptions::default())
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(dir: impl AsRef<Path>, options: LedgerOptions) -> Result<Self, LedgerError> {
        let dir = dir.as_ref();
        let opened = open::open(dir, &options)?;
        let found = opened.report.clone();
        let (store, place) = (Box::new(opened.files), Place::Dir(dir.into()));
        let (tree, report) = (opened.tree, opened.report);
        let ledger = Self::start(options, opened.key, store, tree, place, report, &opened.note)?;
        ledger.tell(&found);
        Ok(ledger)
    }

    /// Records what was found, beyond entries in order.
    fn tell(&self, found: &OpenReport) {
        let gap = |cause, count, first_seq| {
            Entry::Gap(Gap { cause, count, first_seq: Some(first_seq), since: None, until: None })
        };
        if found.adopted > 0 {
            let (first_seq, count) = (found.signed, found.adopted);
            self.append(&Entry::Adopted(Adopted { first_seq, count }));
        }
        if found.set_aside > 0 {
            self.append(&gap(GapCause::Unsigned, Some(found.set_aside), found.signed));
        }
        if found.torn > 0 {
            self.append(&gap(GapCause::TornTail, None, found.entries));
        }
    }

    pub(super) fn start(
        options: LedgerOptions,
        key: Key,
        store: Box<dyn Store>,
        tree: Tree,
        place: Place,
        report: OpenReport,
        note: &str,
    ) -> Result<Self, LedgerError> {
        let public_key = key.public_key();
        let signed = report.signed;
        let queue = Queue::new(options, tree.size(), signed, note);
        let origin = origin(&public_key);
        let stopped = report.stopped;
        let writer = Writer {
            queue: queue.clone(),
            store,
            tree,
            signed,
            key,
            origin,
            released: false,
            dropping: None,
            stopped,
            signed_stop: stopped,
        };
        let thread = Mutex::new(Some(writer.start()?));
        Ok(Self(Arc::new(Inner { queue, thread, public_key, place, report })))
    }

    /// Records an entry and gives its seq; `None` where it is lost, which is counted and, once
    /// there is room again, recorded as a [`Gap`]. Never waits for the disk, and allocates
    /// nothing.
    pub fn append(&self, entry: &Entry<'_>) -> Option<u64> {
        self.0.queue.append(entry)
    }

    /// Waits until all that was appended before is durable and covered by a checkpoint.
    ///
    /// # Errors
    /// The disk fails or is full, so that it may take long; or the ledger is closed before that.
    pub async fn flush(&self) -> Result<(), LedgerError> {
        self.0.queue.flush().await
    }

    /// As [`flush`](Self::flush), for threads that may wait.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn flush_blocking(&self) -> Result<(), LedgerError> {
        self.0.queue.flush_blocking()
    }

    /// Writes what waits, signs it, and ends the writer; then the directory is free. What is
    /// appended later is lost. Waits for the disk.
    ///
    /// # Errors
    /// What waited could not be written.
    pub fn close(&self) -> Result<(), LedgerError> {
        self.0.close();
        match self.0.queue.ended() {
            Some(ended) if ended.kind() != LedgerErrorKind::Closed => Err(ended),
            _ => Ok(()),
        }
    }

    /// What it counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.queue.stats()
    }

    /// Whether entries are written.
    #[must_use]
    pub fn state(&self) -> LedgerState {
        match (self.0.queue.ended(), self.0.queue.is_off()) {
            (Some(_), _) => LedgerState::Ended,
            (None, Some(_)) => LedgerState::Off,
            (None, None) => LedgerState::Writing,
        }
    }

    /// Why nothing is written, at present or any more, where that is so.
    #[must_use]
    pub fn failure(&self) -> Option<LedgerError> {
        self.0.queue.ended().or_else(|| self.0.queue.is_off())
    }

    /// Tells of failures as they happen.
    pub(crate) fn condition(&self) -> watch::Receiver<Condition> {
        self.0.queue.condition()
    }

    /// What was found when it was opened.
    #[must_use]
    pub fn opened(&self) -> &OpenReport {
        &self.0.report
    }

    /// The Ed25519 public key (RFC 8032 §5.1.5) of its checkpoints.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.0.public_key
    }

    /// The same with the name that it signs under, which is the [`origin`](Self::origin).
    #[must_use]
    pub fn verifier_key(&self) -> VerifierKey {
        verifier_key(&self.0.public_key)
    }

    /// The first line of its checkpoints: follows from the public key.
    #[must_use]
    pub fn origin(&self) -> String {
        origin(&self.0.public_key)
    }

    /// The last checkpoint, a signed note (c2sp.org/tlog-checkpoint). Whoever keeps it
    /// elsewhere can tell later whether anything before it was changed.
    #[must_use]
    pub fn checkpoint(&self) -> Arc<str> {
        self.0.queue.note()
    }

    /// The entries that are kept and durable.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn entries(&self) -> Result<Entries, VerifyError> {
        match &self.0.place {
            Place::Memory(memory) => Ok(Entries::kept(memory)),
            Place::Dir(dir) => Entries::of(dir, self.stats().entries),
        }
    }

    /// Flushes, and verifies what is kept. Waits for the disk, and reads all of it.
    ///
    /// # Errors
    /// The first fault. Of a ledger on disk that others append to meanwhile, the last frame may
    /// be half written.
    pub fn verify(&self) -> Result<Audited, VerifyError> {
        // Where the writer has failed, what it wrote before can still be verified.
        let _ = self.flush_blocking();
        match &self.0.place {
            Place::Memory(memory) => verify_kept(memory, &self.0.public_key),
            Place::Dir(dir) => verify(dir, &self.0.public_key),
        }
    }
}

/// From the oldest segment on, to the last checkpoint and beyond.
pub(super) fn verify_kept(memory: &Memory, public_key: &[u8; 32]) -> Result<Audited, VerifyError> {
    // A copy, so that the writer does not wait.
    let kept = memory.kept().clone();
    let before = kept.segments.front().map_or_else(Tree::new, |s| s.before.clone());
    let mut audit = Audit::resume(verifier_key(public_key), &AwsLc, before);
    audit.record(kept.record.as_bytes())?;
    for segment in &kept.segments {
        audit.segment(segment.before.size())?;
        let mut rest = segment.frames.as_slice();
        loop {
            if audit.wants_record() {
                audit.end_records();
            }
            match audit.bytes(rest)? {
                0 => break audit.end_segment(rest.len() as u64)?,
                taken => rest = &rest[taken..],
            }
        }
    }
    Ok(audit.finish()?)
}

impl Inner {
    fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|_| !seeded!(self.queue.options, LeaveThread)) {
            // A panic of the writer is told as its failure.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("origin", &self.origin())
            .field("stats", &self.stats())
            .finish()
    }
}
