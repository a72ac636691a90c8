//! The Merkle tree over a ledger's entries: RFC 6962 §2.1, with SHA-256.

use sha2::{Digest, Sha256};

/// A hash in the tree.
pub type TreeHash = [u8; 32];

/// The tree as it grows: its size, and the roots of the perfect subtrees it consists of, so
/// that it takes at most 64 hashes however many leaves it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// One for each bit that is set in `size`, the largest subtree first.
    frontier: Vec<TreeHash>,
}

impl Tree {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self { size: 0, frontier: Vec::with_capacity(64) }
    }

    /// The tree of so many leaves with these perfect subtrees; `None` unless there is one for
    /// each bit that is set in `size`. Whether they are the right ones only a root can tell.
    #[must_use]
    pub fn resume(size: u64, frontier: &[TreeHash]) -> Option<Self> {
        let fits = size.count_ones() as usize == frontier.len();
        fits.then(|| Self { size, frontier: frontier.to_vec() })
    }

    /// Adds a leaf by its [`leaf_hash`]: amortised, one more hash.
    pub fn push(&mut self, leaf: TreeHash) {
        let mut hash = leaf;
        // As a carry in binary addition: equal subtrees join.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.frontier.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.frontier.push(hash);
        self.size += 1;
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The Merkle tree hash of all leaves.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let mut subtrees = self.frontier.iter().rev();
        let Some(last) = subtrees.next() else { return empty_root() };
        subtrees.fold(*last, |right, left| node_hash(left, &right))
    }

    /// The roots of the perfect subtrees, the largest first.
    #[must_use]
    pub fn frontier(&self) -> &[TreeHash] {
        &self.frontier
    }
}

/// The root of a tree without leaves: the hash of nothing.
#[must_use]
pub fn empty_root() -> TreeHash {
    Sha256::digest([]).into()
}

/// `SHA-256(0x00 ‖ entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> TreeHash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// `SHA-256(0x01 ‖ left ‖ right)`.
#[must_use]
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}
