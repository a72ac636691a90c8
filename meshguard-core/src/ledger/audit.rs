//! The audit of a ledger: from its bytes and the public key alone, in constant memory.

mod fault;
mod sums;

#[cfg(test)]
mod tests;

pub use fault::{Fault, FaultKind, Place};
pub use sums::Audited;

use super::checkpoint::{Checkpoint, CheckpointError, Record};
use super::entry::Entry;
use super::frame::{Frame, FrameError, read_frame};
use super::note::{Verifier, VerifierKey};
use super::tree::{Tree, leaf_hash};

/// Reads a ledger in order and stops at the first fault.
///
/// Feed it so: while [`wants_record`](Self::wants_record), one more of the file `checkpoints`;
/// then of the segments, by their names' numbers, [`segment`](Self::segment), its bytes, and
/// [`end_segment`](Self::end_segment); then [`finish`](Self::finish).
pub struct Audit<'v> {
    key: VerifierKey,
    verifier: &'v dyn Verifier,
    tree: Tree,
    segment: Option<u64>,
    offset: u64,
    awaited: Awaited,
    record_at: u64,
    /// Where the record that is awaited begins.
    awaited_at: u64,
    signatures_from: u64,
    earlier: Option<Checkpoint>,
    sums: Audited,
    /// Whether the last entry is a stop.
    stopped: bool,
    /// What the entries so far say to be the first that is kept.
    told_first: u64,
    covered: Covered,
    #[cfg(test)]
    blind: Option<tests::Check>,
}

/// Where what the last checkpoint covers ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The segment, by its first seq; `None` before any is read.
    pub segment: Option<u64>,
    /// The byte in it behind the last entry that is covered.
    pub offset: u64,
    /// Whether that entry is a [`Stop`](super::Stop): the service ended in order.
    pub stopped: bool,
}

/// What is known of the next checkpoint.
enum Awaited {
    /// It must be read before another entry is.
    Unread,
    /// The tree has not grown to it.
    At(Checkpoint),
    /// There is none.
    End,
}

/// Says whether a seeded defect makes this audit blind to a check; outside of tests, never.
macro_rules! blind {
    ($audit:expr, $check:ident) => {{
        #[cfg(test)]
        let blind = $audit.blind == Some(tests::Check::$check);
        #[cfg(not(test))]
        let blind = false;
        blind
    }};
}

impl<'v> Audit<'v> {
    /// Of the ledger with this key, from its first entry on.
    #[must_use]
    pub fn new(key: VerifierKey, verifier: &'v dyn Verifier) -> Self {
        Self::resume(key, verifier, Tree::new())
    }

    /// Of what is kept of a ledger, from the entry on whose seq is the size of `tree`. That the
    /// tree is the right one shows with the next checkpoint.
    #[must_use]
    pub fn resume(key: VerifierKey, verifier: &'v dyn Verifier, tree: Tree) -> Self {
        let sums = Audited::from(&tree);
        Self {
            key,
            verifier,
            tree,
            segment: None,
            offset: 0,
            awaited: Awaited::Unread,
            record_at: 0,
            awaited_at: 0,
            signatures_from: 0,
            earlier: None,
            sums,
            stopped: false,
            told_first: 0,
            covered: Covered { segment: None, offset: 0, stopped: false },
            #[cfg(test)]
            blind: None,
        }
    }

    /// Also finds out whether the ledger still begins with what it was when it gave this
    /// checkpoint: whoever holds an earlier checkpoint knows that nothing before it has
    /// changed, even if the host has signed the change.
    #[must_use]
    pub fn against(mut self, earlier: Checkpoint) -> Self {
        self.earlier = Some(earlier);
        self
    }

    /// Verifies the signatures only of checkpoints of `size` entries or more, of which there must
    /// be one: it covers all entries that the older ones cover. Their roots are still compared.
    #[must_use]
    pub fn signatures_from(mut self, size: u64) -> Self {
        self.signatures_from = size;
        self
    }

    /// Whether [`record`](Self::record) or [`end_records`](Self::end_records) comes next.
    #[must_use]
    pub fn wants_record(&self) -> bool {
        matches!(self.awaited, Awaited::Unread)
    }

    /// The next record of the file `checkpoints`, as [`next_record`](super::next_record) cuts
    /// it, or the file's rest where that is no record.
    ///
    /// # Errors
    /// It is no checkpoint of this ledger, or of another tree.
    pub fn record(&mut self, record: &[u8]) -> Result<(), Fault> {
        self.awaited_at = self.record_at;
        let checkpoint = self.open(record);
        let checkpoint =
            checkpoint.map_err(|error| self.at_record(FaultKind::Checkpoint(error)))?;
        let first = self.sums.checkpoints == 0;
        let size = checkpoint.size;
        if size < self.tree.size() || (!first && size == self.sums.signed) {
            return Err(self.at_record(FaultKind::CheckpointOrder { size }));
        }
        self.record_at += record.len() as u64;
        self.awaited = Awaited::At(checkpoint);
        self.compare()
    }

    /// There are no more checkpoints.
    pub fn end_records(&mut self) {
        self.awaited = Awaited::End;
    }

    /// The next segment begins, by its name with the entry `first_seq`.
    ///
    /// # Errors
    /// It does not go on where the one before ended: segments are missing, or doubled.
    pub fn segment(&mut self, first_seq: u64) -> Result<(), Fault> {
        self.segment = Some(first_seq);
        self.offset = 0;
        self.sums.segments += 1;
        let expected = self.tree.size();
        if first_seq != expected && !blind!(self, Segments) {
            return Err(self.at_entry(FaultKind::SegmentOrder { expected }));
        }
        self.compare()
    }

    /// Reads whole frames and says how many bytes they took: offer the rest again, with more
    /// behind it. Stops where it [wants](Self::wants_record) a checkpoint first.
    ///
    /// # Errors
    /// The first frame that does not belong there.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut rest = bytes;
        while !self.wants_record() {
            let frame = self.frame(rest);
            let frame = frame.map_err(|error| self.at_entry(FaultKind::Frame(error)))?;
            let Some(frame) = frame else { break };
            self.entry(frame.entry)?;
            self.offset += (rest.len() - frame.rest.len()) as u64;
            rest = frame.rest;
            self.compare()?;
        }
        Ok(bytes.len() - rest.len())
    }

    /// The segment ends; `left` of its bytes were offered and not taken.
    ///
    /// # Errors
    /// It ends inside a frame.
    pub fn end_segment(&mut self, left: u64) -> Result<(), Fault> {
        match left {
            0 => Ok(()),
            left => Err(self.at_entry(FaultKind::Torn { left })),
        }
    }

    /// The ledger ends.
    ///
    /// # Errors
    /// A checkpoint is of more entries than there are, or there is none at all.
    pub fn finish(self) -> Result<Audited, Fault> {
        let entries = self.tree.size();
        if let Awaited::At(Checkpoint { size, .. }) = self.awaited
            && !blind!(self, Short)
        {
            return Err(self.at_record(FaultKind::Short { size, entries }));
        }
        if let Some(Checkpoint { size, .. }) = self.earlier {
            return Err(self.at_earlier(FaultKind::Short { size, entries }));
        }
        let unverified = self.sums.signed < self.signatures_from;
        if self.sums.checkpoints == 0 || self.wants_record() || unverified {
            return Err(self.at_record(FaultKind::NoCheckpoint));
        }
        Ok(Audited { entries, root: self.tree.root(), ..self.sums })
    }

    /// How many entries have been read and found in order.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The tree over them.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Whether a checkpoint is known that covers the entry that comes next.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        matches!(self.awaited, Awaited::At(_))
    }

    /// The entries that the last checkpoint so far covers.
    #[must_use]
    pub fn signed(&self) -> u64 {
        self.sums.signed
    }

    /// Where that ends.
    #[must_use]
    pub fn covered(&self) -> Covered {
        self.covered
    }

    fn entry(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let decoded = Entry::decode(bytes);
        let (stamp, entry) = decoded.map_err(|error| self.at_entry(FaultKind::Entry(error)))?;
        if stamp.seq != self.tree.size() && !blind!(self, Seq) {
            return Err(self.at_entry(FaultKind::Seq { found: stamp.seq }));
        }
        self.tree.push(leaf_hash(bytes));
        self.stopped = matches!(entry, Entry::Stop(_));
        if let Entry::Dropped(dropped) = &entry {
            self.told_first = self.told_first.max(dropped.first_kept);
        }
        self.sums.add(bytes.len(), &stamp, &entry);
        Ok(())
    }

    fn open(&self, record: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let record = Record::parse(record)?;
        record.check_origin(&self.key)?;
        if record.checkpoint.size >= self.signatures_from && !blind!(self, Signature) {
            record.verify(&self.key, self.verifier)?;
        }
        Ok(record.checkpoint)
    }

    /// Holds the tree against the checkpoints of its size.
    fn compare(&mut self) -> Result<(), Fault> {
        let size = self.tree.size();
        if self.earlier.as_ref().is_some_and(|earlier| earlier.size <= size) {
            self.compare_earlier()?;
        }
        let Awaited::At(next) = &self.awaited else { return Ok(()) };
        if next.size != size {
            return Ok(());
        }
        if next.root != self.tree.root() && !blind!(self, Root) {
            return Err(self.at_record(FaultKind::Root { size }));
        }
        self.awaited = Awaited::Unread;
        self.sums.signed = size;
        self.sums.checkpoints += 1;
        // Only what is signed counts: anybody can append to the rest.
        self.sums.told_first = self.told_first;
        let (segment, offset, stopped) = (self.segment, self.offset, self.stopped);
        self.covered = Covered { segment, offset, stopped };
        Ok(())
    }

    fn compare_earlier(&mut self) -> Result<(), Fault> {
        let Some(earlier) = self.earlier.take() else { return Ok(()) };
        let size = self.tree.size();
        if earlier.size < size {
            return Err(self.at_earlier(FaultKind::NotKept { size: earlier.size }));
        }
        if earlier.root != self.tree.root() && !blind!(self, Earlier) {
            return Err(self.at_earlier(FaultKind::Rewritten { size }));
        }
        self.sums.earlier = Some(size);
        Ok(())
    }

    fn at_entry(&self, kind: FaultKind) -> Fault {
        let place = Place::Segment(self.segment.unwrap_or(self.tree.size()));
        Fault { place, offset: self.offset, seq: self.tree.size(), kind }
    }

    fn at_record(&self, kind: FaultKind) -> Fault {
        Fault { place: Place::Checkpoints, offset: self.awaited_at, seq: self.tree.size(), kind }
    }

    fn at_earlier(&self, kind: FaultKind) -> Fault {
        Fault { place: Place::Earlier, offset: 0, seq: self.tree.size(), kind }
    }

    #[cfg(not(test))]
    fn frame<'b>(&self, bytes: &'b [u8]) -> Result<Option<Frame<'b>>, FrameError> {
        read_frame(bytes)
    }
}
