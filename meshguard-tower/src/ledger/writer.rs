//! The thread that makes entries durable, and signs.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use meshguard_core::ledger::{Checkpoint, Entry, FRAME, Signer, Tree, leaf_hash, origin};

use super::error::{LedgerError, LedgerErrorKind};
use super::key::Key;
use super::options::seeded;
use super::queue::{Batch, Queue, Work};
use super::store::Store;

/// The second byte of a stop.
const STOP: u8 = 2;

/// The writer: alone with the store, the tree and the key.
pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) store: Box<dyn Store>,
    pub(super) tree: Tree,
    pub(super) signed: u64,
    pub(super) key: Key,
    pub(super) origin: String,
    /// Whether the reserve was given back, and is not whole again.
    pub(super) released: bool,
    /// What is to go, from which entry on is kept, and the entry that says so.
    pub(super) dropping: Option<(u64, u64)>,
    /// Whether the last entry of the tree is a stop, and whether the last one that is signed is.
    pub(super) stopped: bool,
    pub(super) signed_stop: bool,
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
            if self.released {
                self.wait_for_room()?;
                unsigned = None;
            }
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
            let due = self.unsigned();
            // What follows a service's last word is not adopted without a signature.
            let urgent = urgent || self.signed_stop;
            if urgent && due > 0 || due >= self.queue.options.checkpoint_entries {
                self.sign()?;
                unsigned = None;
                self.retain();
            } else if due > 0 {
                unsigned = unsigned.or_else(|| Some(Instant::now()));
            }
        }
    }

    /// Writes the batch, into more segments than one where it fills them, and signs as soon as
    /// there are as many entries as may go without.
    fn write(&mut self, batch: &Batch, hand: &mut Hand) -> io::Result<()> {
        let mut rest = batch.frames.as_slice();
        while !rest.is_empty() {
            if self.unsigned() >= self.queue.options.checkpoint_entries {
                self.sign()?;
            }
            let (len, limit) = self.store.room();
            if len > 0 && len + frame_len(rest) as u64 > limit {
                self.surely(|store, tree| store.begin(tree))?;
                continue;
            }
            let (end, count) = self.hash(rest, limit.saturating_sub(len));
            self.surely(|store, _| store.write(&rest[..end]))?;
            self.queue.written(count, end);
            hand.count -= count;
            rest = &rest[end..];
        }
        Ok(())
    }

    /// Does it, as often as it takes, but no second time to the same files.
    ///
    /// # Errors
    /// The ledger closes, and it cannot be done.
    fn surely(&mut self, act: impl Fn(&mut dyn Store, &Tree) -> io::Result<()>) -> io::Result<()> {
        let Err(mut error) = act(&mut *self.store, &self.tree) else { return Ok(()) };
        if seeded!(self.queue.options, TryAgain) {
            return act(&mut *self.store, &self.tree);
        }
        let (mut off, mut open) = (false, true);
        loop {
            let full =
                matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            self.queue.failed(&LedgerError::caused(LedgerErrorKind::Off, None, error), off);
            // The first time at once: a full disk has its reserve, another fault may be over.
            open &= !off || self.queue.rest(self.queue.options.retry);
            if full {
                self.released |= self.store.release().unwrap_or(false);
            }
            match self.store.reopen().and_then(|()| act(&mut *self.store, &self.tree)) {
                Ok(()) => break,
                Err(again) if !open => return Err(again),
                Err(again) => (error, off) = (again, true),
            }
        }
        if !self.released {
            self.queue.recovered();
        }
        Ok(())
    }

    /// The reserve is spent on what was in hand. What comes now waits until there is room for it
    /// again; unless the ledger closes, which takes what room there is.
    fn wait_for_room(&mut self) -> io::Result<()> {
        if self.unsigned() > 0 {
            self.sign()?;
        }
        self.released = false;
        while let Err(error) = self.store.reserve() {
            self.queue.off(&LedgerError::caused(LedgerErrorKind::Off, None, error));
            if !self.queue.rest(self.queue.options.retry) {
                return Ok(());
            }
        }
        self.queue.recovered();
        Ok(())
    }

    /// Lets go of the oldest entries where there are too many. The ledger says so first: what is
    /// missing without a word is missed.
    fn retain(&mut self) {
        match self.dropping {
            None if self.queue.is_closing() => {} // what is told now is not kept
            None => {
                let Some(dropped) = self.store.surplus(self.signed) else { return };
                let told = self.queue.append(&Entry::Dropped(dropped));
                self.dropping = told.map(|told| (dropped.first_kept, told));
            }
            Some((first_kept, told)) if told < self.signed => {
                self.dropping = None;
                if let Err(error) = self.store.drop_before(first_kept) {
                    // It is tried again with the next checkpoint; nothing of what is kept is lost.
                    let error = LedgerError::caused(LedgerErrorKind::Off, None, error);
                    self.queue.failed(&error, false);
                }
            }
            Some(_) => {}
        }
    }

    /// Entries that no checkpoint covers.
    fn unsigned(&self) -> u64 {
        self.tree.size() - self.signed
    }

    /// Takes as many frames into the tree as fit into `room` and may go without a checkpoint, at
    /// least one; gives their end and their number.
    fn hash(&mut self, frames: &[u8], room: u64) -> (usize, usize) {
        let (mut end, mut count) = (0, 0);
        while end < frames.len() {
            let next = end + frame_len(&frames[end..]);
            let many = self.unsigned() >= self.queue.options.checkpoint_entries;
            if count > 0 && (many || next as u64 > room) {
                break;
            }
            let entry = &frames[end + FRAME..next];
            self.tree.push(leaf_hash(entry));
            self.stopped = entry.get(1) == Some(&STOP);
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
        let (size, record) = (checkpoint.size, record(&note));
        self.surely(|store, _| store.checkpoint(size, &record))?;
        (self.signed, self.signed_stop) = (checkpoint.size, self.stopped);
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
