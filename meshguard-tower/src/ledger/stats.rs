//! What a ledger counts.

/// Counts since the ledger was opened. What waits is `appended - durable - lost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries given to it, its own gaps included.
    pub appended: u64,
    /// Of these, written; on disk: and flushed.
    pub durable: u64,
    /// Of these, lost: the queue was full, the writer is poisoned, or the ledger closed.
    pub lost: u64,
    /// Checkpoints signed.
    pub checkpoints: u64,
    /// Bytes of durable entries, with their frames.
    pub bytes: u64,
    /// Entries that the whole ledger has, older ones included.
    pub entries: u64,
    /// Of these, the ones that the last checkpoint covers.
    pub signed: u64,
    /// Whether a write or a flush failed. Nothing is written after that; it is not tried again,
    /// for a flush that failed once may succeed then without having written anything.
    pub poisoned: bool,
}
