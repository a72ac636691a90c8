//! The newest entries, in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshguard_core::ledger::Tree;

use super::Store;
use crate::ledger::writer::record;

/// Segments that the limit is divided into: the oldest is dropped whole.
const SEGMENTS: u64 = 16;

/// What the writer and the readers of a ledger in memory share.
#[derive(Clone)]
pub(in crate::ledger) struct Memory(Arc<Shared>);

struct Shared {
    limit: u64,
    kept: Mutex<Kept>,
}

/// What is kept.
#[derive(Clone)]
pub(in crate::ledger) struct Kept {
    pub(in crate::ledger) segments: VecDeque<Segment>,
    /// The last checkpoint. It is of no less than what was dropped, so that what is kept
    /// verifies to it.
    pub(in crate::ledger) record: Box<str>,
    bytes: u64,
}

/// So many frames, and the tree of all before them, from which a reader can verify on.
#[derive(Clone)]
pub(in crate::ledger) struct Segment {
    pub(in crate::ledger) before: Tree,
    pub(in crate::ledger) frames: Vec<u8>,
}

impl Memory {
    pub(in crate::ledger) fn new(limit: u64, note: &str) -> Self {
        let first = Segment { before: Tree::new(), frames: Vec::new() };
        let kept =
            Kept { segments: VecDeque::from([first]), record: record(note).into(), bytes: 0 };
        Self(Arc::new(Shared { limit, kept: Mutex::new(kept) }))
    }

    pub(in crate::ledger) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Drops the oldest segments until no more than `limit` bytes are left, but nothing that
    /// no checkpoint covers.
    fn shrink(&mut self, limit: u64, signed: u64) {
        while self.bytes > limit && self.segments.get(1).is_some_and(|s| s.before.size() <= signed)
        {
            let dropped = self.segments.pop_front().map_or(0, |s| s.frames.len());
            self.bytes -= dropped as u64;
        }
    }
}

impl Store for Memory {
    fn room(&self) -> (u64, u64) {
        let newest = self.kept().segments.back().map_or(0, |s| s.frames.len());
        (newest as u64, self.0.limit / SEGMENTS)
    }

    fn begin(&mut self, tree: &Tree) -> io::Result<()> {
        let segment = Segment { before: tree.clone(), frames: Vec::new() };
        self.kept().segments.push_back(segment);
        Ok(())
    }

    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        let mut kept = self.kept();
        if let Some(newest) = kept.segments.back_mut() {
            newest.frames.extend_from_slice(frames);
        }
        kept.bytes += frames.len() as u64;
        Ok(())
    }

    fn checkpoint(&mut self, size: u64, record: &str) -> io::Result<()> {
        let mut kept = self.kept();
        kept.record = record.into();
        kept.shrink(self.0.limit, size);
        Ok(())
    }
}
