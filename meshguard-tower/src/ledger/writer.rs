//! The thread that makes entries durable, and signs.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use meshguard_core::ledger::{Checkpoint, FRAME, Signer, Tree, leaf_hash, origin};

use super::error::{LedgerError, LedgerErrorKind};
use super::key::Key;
use super::options::seeded;
use super::queue::{Batch, Queue, Work};
use super::store::Store;

/// The writer: alone with the store, the tree and the key.
pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) store: Box<dyn Store>,
    pub(super) tree: Tree,
    pub(super) signed: u64,
    pub(super) key: Key,
    pub(super) origin: String,
}

/// Entries that the writer has taken and that are not durable; tells the queue of its end,
/// whatever that is.
struct Hand {
    queue: Arc<Queue>,
    count: usize,
    why: Option<LedgerError>,
}

impl Drop for Hand {
    fn drop(&mut self) {
        // Without a reason, the thread panics: somebody must still be told.
        let why = self.why.take().unwrap_or_else(|| LedgerError::new(LedgerErrorKind::Poisoned));
        self.queue.end(self.count, why);
    }
}

impl Writer {
    pub(super) fn start(mut self) -> Result<JoinHandle<()>, LedgerError> {
        let name = thread::Builder::new().name("meshguard-ledger".into());
        let thread = name.spawn(move || {
            let mut hand = Hand { queue: self.queue.clone(), count: 0, why: None };
            let why = match self.run(&mut hand) {
                Ok(()) => LedgerError::new(LedgerErrorKind::Closed),
                Err(error) => LedgerError::caused(LedgerErrorKind::Poisoned, None, error),
            };
            hand.why = Some(why);
            // The lock is free before anybody learns that the writer has ended.
            drop(self.store);
        });
        thread.map_err(|error| LedgerError::caused(LedgerErrorKind::Thread, None, error))
    }

    fn run(&mut self, hand: &mut Hand) -> io::Result<()> {
        let mut batch = Batch::of(&self.queue.options);
        let mut unsigned = (self.signed < self.tree.size()).then(Instant::now);
        loop {
            let urgent = match self.queue.take(&mut batch, unsigned) {
                Work::Write { urgent } => {
                    hand.count = batch.count;
                    self.write(&batch, hand)?;
                    batch.clear();
                    urgent
                }
                Work::Sign => true,
                Work::End => return Ok(()),
            };
            let due = self.tree.size() - self.signed;
            if urgent && due > 0 || due >= self.queue.options.checkpoint_entries {
                self.sign()?;
                unsigned = None;
            } else if due > 0 {
                unsigned = unsigned.or_else(|| Some(Instant::now()));
            }
        }
    }

    /// Writes the batch, into more segments than one where it fills them.
    fn write(&mut self, batch: &Batch, hand: &mut Hand) -> io::Result<()> {
        let mut rest = batch.frames.as_slice();
        while !rest.is_empty() {
            let (len, limit) = self.store.room();
            if len > 0 && len + frame_len(rest) as u64 > limit {
                self.store.begin(&self.tree)?;
                continue;
            }
            let (end, count) = self.hash(rest, limit.saturating_sub(len));
            let written = self.store.write(&rest[..end]);
            if seeded!(self.queue.options, TryAgain) && written.is_err() {
                self.store.write(&rest[..end])?;
            } else {
                written?;
            }
            self.queue.written(count, end);
            hand.count -= count;
            rest = &rest[end..];
        }
        Ok(())
    }

    /// Takes as many frames into the tree as fit into `room`, at least one; gives their end and
    /// their number.
    fn hash(&mut self, frames: &[u8], room: u64) -> (usize, usize) {
        let (mut end, mut count) = (0, 0);
        while end < frames.len() {
            let next = end + frame_len(&frames[end..]);
            if count > 0 && next as u64 > room {
                break;
            }
            self.tree.push(leaf_hash(&frames[end + FRAME..next]));
            (end, count) = (next, count + 1);
        }
        (end, count)
    }

    fn sign(&mut self) -> io::Result<()> {
        let checkpoint = Checkpoint::of(&self.tree, self.origin.as_str());
        let note = checkpoint.sign(&self.key);
        if seeded!(self.queue.options, AcknowledgeEarly) {
            self.queue.signed(checkpoint.size, &note);
        }
        self.store.checkpoint(checkpoint.size, &record(&note))?;
        self.signed = checkpoint.size;
        self.queue.signed(self.signed, &note);
        Ok(())
    }
}

/// The length of the frame that these bytes begin with. They are the queue's own.
fn frame_len(frames: &[u8]) -> usize {
    let len = frames.first_chunk::<4>().map_or(0, |len| u32::from_be_bytes(*len));
    FRAME + len as usize
}

/// The first checkpoint, of nothing, so that a ledger is never without one.
pub(super) fn first_note(key: &Key) -> String {
    Checkpoint::of(&Tree::new(), origin(&key.public_key())).sign(key)
}

/// A checkpoint as it stands among others.
pub(super) fn record(note: &str) -> String {
    format!("{note}\n")
}
