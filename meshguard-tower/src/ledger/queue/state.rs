//! The entries that wait, and what is counted; behind the queue's lock.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshguard_core::Timestamp;
use meshguard_core::ledger::{Entry, FRAME, Gap, GapCause, MAX_ENTRY, Stamp, put_frame};

use crate::ledger::error::LedgerError;
use crate::ledger::options::{LedgerOptions, seeded};
use crate::ledger::stats::Stats;

/// The frames that wait, or that the writer has in hand.
#[derive(Default)]
pub(in crate::ledger) struct Batch {
    pub(in crate::ledger) frames: Vec<u8>,
    pub(in crate::ledger) count: usize,
    /// When the first came.
    pub(super) since: Option<Instant>,
}

pub(super) struct State {
    pub(super) batch: Batch,
    pub(super) next_seq: u64,
    lost: Option<Lost>,
    pub(super) stats: Stats,
    /// Entries below this are wanted signed at once.
    pub(super) wanted: u64,
    /// At how many waiting entries the writer wants to be woken.
    pub(super) wake_at: Option<usize>,
    pub(super) closing: bool,
    pub(super) ended: Option<LedgerError>,
    /// The last checkpoint.
    pub(super) note: Arc<str>,
}

/// The clocks, read at once.
pub(super) struct Time {
    pub(super) at: Timestamp,
    pub(super) elapsed: Duration,
    pub(super) instant: Instant,
}

/// Lost since the last gap.
#[derive(Clone, Copy)]
struct Lost {
    cause: GapCause,
    count: u64,
    since: Timestamp,
    until: Timestamp,
}

impl Batch {
    /// With all the room that it will ever need.
    pub(in crate::ledger) fn of(options: &LedgerOptions) -> Self {
        let room = options.queue + FRAME + MAX_ENTRY;
        Self { frames: Vec::with_capacity(room), count: 0, since: None }
    }

    pub(in crate::ledger) fn clear(&mut self) {
        self.frames.clear();
        self.count = 0;
        self.since = None;
    }
}

impl State {
    pub(super) fn new(options: &LedgerOptions, entries: u64, signed: u64, note: &str) -> Self {
        Self {
            batch: Batch::of(options),
            next_seq: entries,
            lost: None,
            stats: Stats { entries, signed, ..Stats::default() },
            wanted: 0,
            wake_at: None,
            closing: false,
            ended: None,
            note: note.into(),
        }
    }

    pub(super) fn put(
        &mut self,
        entry: &Entry<'_>,
        time: &Time,
        options: &LedgerOptions,
    ) -> Option<u64> {
        let (seq, batch) = (self.next_seq, &mut self.batch);
        let before = batch.frames.len();
        // Behind one that is lost all are, until the gap is recorded: it keeps its place.
        let full = batch.count >= options.queue_entries || before >= options.queue;
        if full || self.lost.is_some() {
            return None;
        }
        put_frame(entry, &Stamp { seq, at: time.at, elapsed: time.elapsed }, &mut batch.frames);
        // The first is taken however long it is: else it never would be.
        if batch.frames.len() > options.queue && before > 0 {
            batch.frames.truncate(before);
            return None;
        }
        batch.count += 1;
        batch.since = batch.since.or(Some(time.instant));
        self.next_seq += 1;
        Some(seq)
    }

    /// Whether a gap is to be recorded.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.is_some()
    }

    pub(super) fn lose(&mut self, at: Timestamp) {
        self.stats.lost += 1;
        let cause = if self.stats.off { GapCause::WriteFailed } else { GapCause::QueueFull };
        let lost = self.lost.get_or_insert(Lost { cause, count: 0, since: at, until: at });
        if self.stats.off {
            lost.cause = cause;
        }
        lost.count += 1;
        lost.until = at;
    }

    /// Gives the batch that waits for `spare`. What was lost stands at the head of the next:
    /// between what came before it and what came after.
    pub(super) fn swap(&mut self, spare: &mut Batch, time: &Time, options: &LedgerOptions) {
        mem::swap(&mut self.batch, spare);
        let Some(lost) = self.lost.take().filter(|_| !seeded!(options, ForgetGap)) else { return };
        let gap = Gap {
            cause: lost.cause,
            count: Some(lost.count),
            first_seq: Some(self.next_seq),
            since: Some(lost.since),
            until: Some(lost.until),
        };
        self.stats.appended += 1;
        // An empty batch takes any entry.
        let _ = self.put(&Entry::Gap(gap), time, options);
    }
}
