//! What a ledger counts.

/// Counts since the ledger was opened. What waits is `appended - durable - lost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries given to it, its own gaps included.
    pub appended: u64,
    /// Of these, written; on disk: and flushed.
    pub durable: u64,
    /// Of these, lost: the queue was full, the writer has failed, or the ledger is closed.
    pub lost: u64,
    /// Checkpoints signed.
    pub checkpoints: u64,
    /// Bytes of durable entries, with their frames.
    pub bytes: u64,
    /// Entries that the whole ledger has, older ones included.
    pub entries: u64,
    /// Of these, the ones that the last checkpoint covers.
    pub signed: u64,
    /// Writes and flushes that failed. Each is done again on files that are opened anew: on the
    /// old ones a flush that failed once may succeed without having written anything.
    pub failures: u64,
    /// Whether nothing is written at present, because that failed too.
    pub off: bool,
    /// Whether the writer has ended by a failure: nothing is written any more.
    pub poisoned: bool,
}

/// Whether entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LedgerState {
    /// They are.
    Writing,
    /// The disk is full, or fails: they wait, and are lost, counted and recorded as a gap where
    /// too many wait. Writing is tried again, and goes on by itself.
    Off,
    /// Not any more: the ledger is closed, or its writer has failed for good.
    Ended,
}
