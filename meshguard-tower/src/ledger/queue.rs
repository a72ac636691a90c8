//! What appenders and the writer share: the entries that wait.

mod state;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use meshguard_core::ledger::Entry;
use tokio::sync::watch;

use super::error::{LedgerError, LedgerErrorKind};
use super::options::LedgerOptions;
use super::stats::Stats;
use crate::clock::wall;
pub(super) use state::Batch;
use state::{State, Time};

/// Shared by the handles and the writer.
pub(super) struct Queue {
    pub(super) options: LedgerOptions,
    opened: Instant,
    state: Mutex<State>,
    /// The writer waits for it.
    work: Condvar,
    /// What is signed, and how the writer ended; flushes wait for it.
    progress: watch::Sender<Progress>,
    /// The same, for threads.
    progressed: Condvar,
    /// Whether entries are written.
    condition: watch::Sender<Condition>,
}

/// Whether entries are written, and how often that failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    pub(crate) failures: u64,
    /// What failed last.
    pub(crate) failure: Option<LedgerError>,
    pub(crate) off: bool,
}

/// What a flush waits for.
#[derive(Clone, Default)]
struct Progress {
    signed: u64,
    ended: Option<LedgerError>,
    /// Why nothing is written at present.
    off: Option<LedgerError>,
}

/// What the writer is to do next.
pub(super) enum Work {
    /// Write the batch; then sign, if so.
    Write {
        /// Whether somebody waits for the signature.
        urgent: bool,
    },
    /// Sign what is written.
    Sign,
    /// Nothing is left, and the ledger closes.
    End,
}

impl Queue {
    pub(super) fn new(options: LedgerOptions, entries: u64, signed: u64, note: &str) -> Arc<Self> {
        let state = State::new(&options, entries, signed, note);
        let progress = watch::Sender::new(Progress { signed, ..Progress::default() });
        Arc::new(Self {
            options,
            opened: Instant::now(),
            state: Mutex::new(state),
            work: Condvar::new(),
            progress,
            progressed: Condvar::new(),
            condition: watch::Sender::default(),
        })
    }

    /// The entry's seq, or `None` where it is lost.
    pub(super) fn append(&self, entry: &Entry<'_>) -> Option<u64> {
        let mut state = self.lock();
        state.stats.appended += 1;
        if state.closing || state.ended.is_some() {
            state.stats.lost += 1;
            return None;
        }
        // Under the lock, so that the clocks of successive entries follow each other.
        let time = self.time();
        let seq = state.put(entry, &time, &self.options);
        if seq.is_none() {
            state.lose(time.at);
        }
        let wake = state.wake_at.is_some_and(|at| state.batch.count >= at || self.is_full(&state));
        if wake {
            state.wake_at = None;
        }
        drop(state);
        if wake {
            self.work.notify_one();
        }
        seq
    }

    fn time(&self) -> Time {
        let instant = Instant::now();
        Time { at: wall(), elapsed: instant - self.opened, instant }
    }

    /// Whether the batch that waits should be taken now rather than grow.
    fn is_full(&self, state: &State) -> bool {
        let Batch { frames, count, .. } = &state.batch;
        let half = frames.len() >= self.options.queue / 2;
        half || *count >= self.options.window_entries || state.has_lost()
    }

    pub(super) fn stats(&self) -> Stats {
        self.lock().stats
    }

    /// The last checkpoint.
    pub(super) fn note(&self) -> Arc<str> {
        self.lock().note.clone()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Ends the writer once it has done what waits.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    /// Waits until all that was appended is signed.
    pub(super) async fn flush(&self) -> Result<(), LedgerError> {
        let wanted = self.want();
        let mut progress = self.progress.subscribe();
        let done = progress.wait_for(|p| p.is_done(wanted)).await;
        // The sender is in `self`, and cannot be gone.
        done.map_or_else(|_| Err(LedgerError::new(LedgerErrorKind::Closed)), |p| p.of(wanted))
    }

    /// As [`flush`](Self::flush), for threads.
    pub(super) fn flush_blocking(&self) -> Result<(), LedgerError> {
        let wanted = self.want();
        let mut state = self.lock();
        loop {
            let progress = self.progress.borrow().clone();
            if progress.is_done(wanted) {
                return progress.of(wanted);
            }
            state = self.progressed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Asks for a checkpoint of all that was appended.
    fn want(&self) -> u64 {
        let mut state = self.lock();
        state.wanted = state.wanted.max(state.next_seq);
        let wanted = state.next_seq;
        state.wake_at = None;
        drop(state);
        self.work.notify_one();
        wanted
    }

    /// Waits for work. `spare` is an empty batch, and holds the entries that waited where there
    /// is something to write; `unsigned` says since when entries wait for a checkpoint.
    pub(super) fn take(&self, spare: &mut Batch, unsigned: Option<Instant>) -> Work {
        let mut state = self.lock();
        loop {
            let urgent = state.closing || state.wanted > state.stats.signed;
            let written = match state.batch.since {
                Some(since) => self.left(since, &state, urgent),
                None => None,
            };
            if written == Some(Duration::ZERO) {
                state.swap(spare, &self.time(), &self.options);
                return Work::Write { urgent };
            }
            let signed = unsigned.map(|since| match urgent && written.is_none() {
                true => Duration::ZERO,
                false => self.options.checkpoint.saturating_sub(since.elapsed()),
            });
            match signed {
                Some(Duration::ZERO) => return Work::Sign,
                None if state.closing && written.is_none() => return Work::End,
                _ => {}
            }
            state = self.wait(state, [written, signed].into_iter().flatten().min());
        }
    }

    /// How much longer the batch that waits may grow.
    fn left(&self, since: Instant, state: &State, urgent: bool) -> Option<Duration> {
        let now = urgent || self.is_full(state);
        Some(if now { Duration::ZERO } else { self.options.window.saturating_sub(since.elapsed()) })
    }

    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        time: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        let waiting = state.batch.count;
        state.wake_at = Some(if waiting == 0 { 1 } else { self.options.window_entries });
        let mut state = match time {
            Some(time) => {
                let waited = self.work.wait_timeout(state, time);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
        state.wake_at = None;
        state
    }

    /// The writer has made so many entries, in so many bytes, durable.
    pub(super) fn written(&self, count: usize, bytes: usize) {
        let stats = &mut self.lock().stats;
        stats.durable += count as u64;
        stats.entries += count as u64;
        stats.bytes += bytes as u64;
    }

    /// The writer has signed all entries below `signed`.
    pub(super) fn signed(&self, signed: u64, note: &str) {
        let mut state = self.lock();
        state.note = note.into();
        state.stats.signed = signed;
        state.stats.checkpoints += 1;
        self.progress.send_modify(|p| p.signed = signed);
        self.progressed.notify_all();
    }

    /// A write has failed; `off`: and its repetition too.
    pub(super) fn failed(&self, why: &LedgerError, off: bool) {
        let mut state = self.lock();
        state.stats.failures += 1;
        self.condition.send_modify(|condition| {
            condition.failures += 1;
            (condition.failure, condition.off) = (Some(why.clone()), off);
        });
        self.set_off(&mut state, off.then_some(why));
    }

    /// The disk is as good as full.
    pub(super) fn off(&self, why: &LedgerError) {
        let mut state = self.lock();
        self.condition.send_modify(|condition| {
            (condition.failure, condition.off) = (Some(why.clone()), true);
        });
        self.set_off(&mut state, Some(why));
    }

    /// What had failed is done.
    pub(super) fn recovered(&self) {
        self.set_off(&mut self.lock(), None);
        self.condition.send_if_modified(|condition| std::mem::take(&mut condition.off));
    }

    fn set_off(&self, state: &mut State, why: Option<&LedgerError>) {
        state.stats.off = why.is_some();
        self.progress.send_modify(|p| p.off = why.cloned());
        if why.is_some() {
            self.progressed.notify_all();
        }
    }

    /// Waits so long before the writer tries again; `false`: the ledger closes.
    pub(super) fn rest(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.closing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let waited = self.work.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// Tells of failures.
    pub(super) fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// The writer has ended: `lost` entries that it had taken will not be durable, nor will
    /// those that wait.
    pub(super) fn end(&self, lost: usize, why: LedgerError) {
        let mut state = self.lock();
        state.stats.lost += (lost + state.batch.count) as u64;
        state.batch = Batch::default();
        state.stats.poisoned = why.kind() != LedgerErrorKind::Closed;
        state.stats.off = false;
        state.ended = Some(why.clone());
        self.progress.send_modify(|p| p.ended = Some(why));
        self.progressed.notify_all();
    }

    /// Why the writer has ended, if it has.
    pub(super) fn ended(&self) -> Option<LedgerError> {
        self.lock().ended.clone()
    }

    /// Why nothing is written at present, where that is so.
    pub(super) fn is_off(&self) -> Option<LedgerError> {
        self.progress.borrow().off.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Whether a flush need not, or cannot, wait any longer.
    fn is_done(&self, wanted: u64) -> bool {
        self.signed >= wanted || self.ended.is_some() || self.off.is_some()
    }

    fn of(&self, wanted: u64) -> Result<(), LedgerError> {
        match self.ended.as_ref().or(self.off.as_ref()) {
            Some(why) if self.signed < wanted => Err(why.clone()),
            _ => Ok(()),
        }
    }
}
