//! An entry that owns its bytes.

use std::fmt;

use super::{Entry, EntryError, Stamp};

/// An entry that owns its bytes, as readers give it.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryBuf {
    bytes: Box<[u8]>,
}

impl EntryBuf {
    /// Takes the bytes of one entry.
    ///
    /// # Errors
    /// As [`Entry::decode`].
    pub fn new(bytes: Box<[u8]>) -> Result<Self, EntryError> {
        Entry::decode(&bytes)?;
        Ok(Self { bytes })
    }

    /// The entry and its stamp.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn get(&self) -> (Stamp, Entry<'_>) {
        // INVARIANT: `new` has decoded these bytes, and nothing changes them.
        Entry::decode(&self.bytes).expect("decoded before")
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> Entry<'_> {
        self.get().1
    }

    /// Its stamp.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.get().0
    }

    /// Its encoding: what the tree's leaf is the hash of.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for EntryBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
