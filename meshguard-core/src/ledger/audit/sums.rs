//! What an audit found, where it found no fault.

use crate::ledger::entry::{Entry, Gap, KINDS, Stamp};
use crate::ledger::tree::{Tree, TreeHash};
use crate::time::Timestamp;

/// A ledger without a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audited {
    /// The seq of the first entry that is kept; 0 unless older ones were dropped.
    pub first: u64,
    /// The tree's size: the entries there ever were.
    pub entries: u64,
    /// The tree's root.
    pub root: TreeHash,
    /// Entries below this seq are covered by the last checkpoint. For those above it, which
    /// are the last second's before a crash, nothing speaks but a checksum.
    pub signed: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of entries, without their frames.
    pub bytes: u64,
    /// How many entries of each kind there are, by [`Entry::number`] less 1.
    pub kinds: [u64; KINDS],
    /// How many entries the gaps say are missing, where they know.
    pub lost: u64,
    /// How many requests were refused: those that have a decision of their own, and those that
    /// are counted only.
    pub refused: u64,
    /// Of these, the ones that are counted only.
    pub counted: u64,
    /// How many entries without a signature were kept when the ledger was opened.
    pub adopted: u64,
    /// The seq of the first entry that the ledger itself says to keep, in what is signed; 0 where
    /// it says nothing of that. [`first`](Self::first) is no larger, unless somebody else dropped some.
    pub told_first: u64,
    /// Stops whose books do not balance.
    pub unbalanced: u64,
    /// The wall clock of the first entry that is kept.
    pub begin: Option<Timestamp>,
    /// The wall clock of the last.
    pub end: Option<Timestamp>,
    /// The size of the earlier checkpoint that was compared, with the same root.
    pub earlier: Option<u64>,
}

impl Audited {
    /// How many entries no checkpoint covers.
    #[must_use]
    pub fn unsigned(&self) -> u64 {
        self.entries - self.signed
    }

    /// Whether older entries are missing than those that the ledger itself says it dropped.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.first > self.told_first
    }

    pub(super) fn from(tree: &Tree) -> Self {
        Self {
            first: tree.size(),
            entries: tree.size(),
            root: tree.root(),
            signed: tree.size(),
            checkpoints: 0,
            segments: 0,
            bytes: 0,
            kinds: [0; KINDS],
            lost: 0,
            refused: 0,
            counted: 0,
            adopted: 0,
            told_first: 0,
            unbalanced: 0,
            begin: None,
            end: None,
            earlier: None,
        }
    }

    pub(super) fn add(&mut self, len: usize, stamp: &Stamp, entry: &Entry<'_>) {
        self.bytes += len as u64;
        self.kinds[usize::from(entry.number()) - 1] += 1;
        self.begin = self.begin.or(Some(stamp.at));
        self.end = Some(stamp.at);
        match entry {
            Entry::Gap(Gap { count, .. }) => {
                self.lost = self.lost.saturating_add(count.unwrap_or(0));
            }
            Entry::Decision(decision) if !decision.allowed => {
                self.refused = self.refused.saturating_add(1);
            }
            Entry::Refusals(refusals) => {
                self.refused = self.refused.saturating_add(refusals.count);
                self.counted = self.counted.saturating_add(refusals.count);
            }
            Entry::Adopted(adopted) => self.adopted = self.adopted.saturating_add(adopted.count),
            Entry::Stop(stop) if !stop.balances() => self.unbalanced += 1,
            _ => {}
        }
    }
}
