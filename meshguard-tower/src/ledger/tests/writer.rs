//! The queue and the thread behind it.

use std::sync::mpsc::{channel, sync_channel};
use std::thread;
use std::time::Duration;

use meshguard_core::ledger::{Entry, Gap, GapCause};

use super::super::error::LedgerErrorKind;
use super::super::handle::Ledger;
use super::super::options::LedgerOptions;
use super::Defect;
use super::rig::{Op, Rng, append, fill, numbers, scripted, with};

/// Longer than any test: what waits for so long waits for something else.
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(20);

/// Batches of exactly ten, and of what a flush finds.
fn tens(defect: Option<Defect>) -> LedgerOptions {
    with(defect).queue(1 << 20, 10).window(NEVER, 10).checkpoints(NEVER, u64::MAX)
}

fn gaps(ledger: &Ledger) -> Vec<(u64, Gap)> {
    let entries = ledger.entries().unwrap().map(|entry| entry.unwrap());
    entries
        .filter_map(|entry| match entry.get() {
            (stamp, Entry::Gap(gap)) => Some((stamp.seq, gap)),
            _ => None,
        })
        .collect()
}

/// Ten entries are in the writer's hands, ten wait, thirty find no room.
fn overflown(defect: Option<Defect>) -> Ledger {
    let (ledger, remote) = scripted(tens(defect));
    let release = remote.hold();
    (0..10).for_each(|n| assert_eq!(append(&ledger, n), Some(n)));
    assert_eq!(remote.ops.recv_timeout(SOON), Ok(Op::Write));
    (10..20).for_each(|n| assert_eq!(append(&ledger, n), Some(n)));
    (20..50).for_each(|n| assert_eq!(append(&ledger, n), None));
    assert_eq!(ledger.stats().lost, 30);
    drop(release);
    ledger.flush_blocking().unwrap();
    append(&ledger, 50);
    ledger.flush_blocking().unwrap();
    ledger
}

#[test]
fn what_finds_the_queue_full_is_counted_and_told() {
    let ledger = overflown(None);
    let [(seq, gap)] = gaps(&ledger)[..] else { panic!("not one gap") };
    assert_eq!((seq, gap.first_seq), (20, Some(20)));
    assert_eq!((gap.cause, gap.count), (GapCause::QueueFull, Some(30)));
    assert!(gap.since.unwrap() <= gap.until.unwrap());
    assert_eq!(numbers(&ledger), (0..20).chain([50]).collect::<Vec<_>>());
    let verified = ledger.verify().unwrap();
    assert_eq!((verified.entries, verified.lost), (22, 30));
    ledger.close().unwrap();
    let stats = ledger.stats();
    assert_eq!((stats.appended, stats.durable, stats.lost), (52, 22, 30));
}

#[test]
fn a_writer_that_forgets_its_gaps_would_show() {
    assert_eq!(gaps(&overflown(Some(Defect::ForgetGap))), []);
}

#[test]
fn a_gap_stands_where_the_lost_would_have_stood() {
    let (ledger, remote) = scripted(tens(None).queue(400, 10).window(NEVER, 1));
    let release = remote.hold();
    append(&ledger, 0);
    assert_eq!(remote.ops.recv_timeout(SOON), Ok(Op::Write));
    fill(&ledger, 1..6);
    let long = "a".repeat(200);
    let long = Entry::Operator(meshguard_core::ledger::Operator { verb: &long, target: "7" });
    assert_eq!(ledger.append(&long), None);
    // There would be room for this one; but then it would stand before the gap.
    assert_eq!(append(&ledger, 8), None);
    drop(release);
    ledger.flush_blocking().unwrap();
    append(&ledger, 9);
    ledger.flush_blocking().unwrap();
    assert_eq!(numbers(&ledger), [0, 1, 2, 3, 4, 5, 9]);
    let [(seq, gap)] = gaps(&ledger)[..] else { panic!("not one gap") };
    assert_eq!((seq, gap.count), (6, Some(2)));
}

#[test]
fn an_entry_longer_than_the_queue_still_gets_through() {
    let (ledger, remote) = scripted(tens(None).queue(8, 10));
    let release = remote.hold();
    assert_eq!(append(&ledger, 0), Some(0));
    // The writer has it in hand: the queue is empty again.
    assert_eq!(remote.ops.recv_timeout(SOON), Ok(Op::Write));
    assert_eq!(append(&ledger, 1), Some(1));
    assert_eq!(append(&ledger, 2), None);
    drop(release);
    ledger.flush_blocking().unwrap();
    assert_eq!(numbers(&ledger), [0, 1]);
}

#[test]
fn a_flush_comes_back_when_the_checkpoint_is_durable_and_not_before() {
    let (ledger, remote) = scripted(tens(None));
    fill(&ledger, 0..3);
    ledger.flush_blocking().unwrap();
    assert_eq!(remote.ops.try_iter().collect::<Vec<_>>(), [Op::Write, Op::Checkpoint(3)]);
    append(&ledger, 3);
    remote.break_down(Op::Checkpoint(0));
    assert_eq!(ledger.flush_blocking().unwrap_err().kind(), LedgerErrorKind::Off);
}

#[test]
fn a_flush_that_comes_back_early_would_show() {
    let (ledger, remote) = scripted(tens(Some(Defect::AcknowledgeEarly)));
    append(&ledger, 0);
    remote.break_down(Op::Checkpoint(0));
    assert!(ledger.flush_blocking().is_ok());
}

#[tokio::test]
async fn a_flush_can_be_awaited() {
    let (ledger, remote) = scripted(tens(None));
    append(&ledger, 0);
    let other = ledger.clone();
    // From another task: the future can be sent.
    tokio::spawn(async move { other.flush().await }).await.unwrap().unwrap();
    assert_eq!(remote.ops.try_iter().collect::<Vec<_>>(), [Op::Write, Op::Checkpoint(1)]);
    append(&ledger, 1);
    remote.break_down(Op::Write);
    assert_eq!(ledger.flush().await.unwrap_err().kind(), LedgerErrorKind::Off);
    // What is signed already stays so.
    assert_eq!(numbers(&ledger), [0]);
}

/// The second write fails, and the third would not. Gives all operations.
fn after_a_failure(defect: Option<Defect>) -> (Ledger, Vec<Op>) {
    let (ledger, remote) = scripted(tens(defect));
    fill(&ledger, 0..5);
    ledger.flush_blocking().unwrap();
    remote.fail(Op::Write);
    fill(&ledger, 5..8);
    ledger.flush_blocking().unwrap();
    fill(&ledger, 8..10);
    ledger.close().unwrap();
    (ledger, remote.ops.iter().collect())
}

#[test]
fn a_write_that_failed_is_done_again_on_files_that_are_opened_anew() {
    let (ledger, ops) = after_a_failure(None);
    let again = [Op::Write, Op::Reopen, Op::Write, Op::Checkpoint(8)];
    let rest = [Op::Write, Op::Checkpoint(10), Op::Dropped];
    assert_eq!(ops, [&[Op::Write, Op::Checkpoint(5)][..], &again, &rest].concat());
    let stats = ledger.stats();
    assert_eq!((stats.appended, stats.durable, stats.lost), (10, 10, 0));
    assert_eq!((stats.failures, stats.off, stats.poisoned), (1, false, false));
    assert_eq!(numbers(&ledger), (0..10).collect::<Vec<_>>());
    assert_eq!(ledger.verify().unwrap().signed, 10);
}

#[test]
fn a_writer_that_tries_the_same_files_again_would_show() {
    let (_, ops) = after_a_failure(Some(Defect::TryAgain));
    assert!(!ops.contains(&Op::Reopen), "{ops:?}");
}

#[test]
fn a_panic_of_the_writer_is_told() {
    let (ledger, remote) = scripted(tens(None));
    drop(remote.hold());
    append(&ledger, 0);
    ledger.flush_blocking().unwrap();
    remote.poison();
    append(&ledger, 1);
    assert_eq!(ledger.flush_blocking().unwrap_err().kind(), LedgerErrorKind::Poisoned);
    let stats = ledger.stats();
    assert_eq!((stats.appended, stats.durable, stats.lost), (2, 1, 1));
}

#[test]
fn after_closing_all_is_written_or_lost_and_counted() {
    let (ledger, remote) = scripted(tens(None));
    fill(&ledger, 0..7);
    ledger.close().unwrap();
    assert_eq!(append(&ledger, 7), None);
    ledger.flush_blocking().unwrap();
    let ops: Vec<_> = remote.ops.iter().collect();
    assert_eq!(ops, [Op::Write, Op::Checkpoint(7), Op::Dropped]);
    let stats = ledger.stats();
    assert_eq!((stats.appended, stats.durable, stats.lost), (8, 7, 1));
    assert!(!stats.poisoned);
    ledger.close().unwrap();
}

#[test]
fn what_is_appended_is_durable_or_lost_however_many_append() {
    let mut rng = Rng::seeded("what_is_appended_is_durable_or_lost_however_many_append");
    let room = 20 + rng.below(200) as usize;
    let (ledger, remote) = scripted(with(None).queue(1 << 20, room));
    // Held until one of them is through, so that the queue overflows.
    let release = remote.hold();
    let mut threads: Vec<thread::JoinHandle<Vec<u64>>> = (0..4)
        .map(|thread| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                let numbers = (0..5000).map(|n| thread * 10_000 + n);
                numbers.filter(|n| append(&ledger, *n).is_some()).collect::<Vec<_>>()
            })
        })
        .collect();
    let first: Vec<u64> = threads.remove(0).join().unwrap();
    drop(release);
    // A writer that is slower than they are, now and then.
    for _ in 0..20 {
        let release = remote.hold();
        for _ in 0..rng.below(3) {
            let _ = release.send(());
        }
    }
    drop(remote.hold());
    let others = threads.into_iter().map(|t| t.join().unwrap());
    let kept: Vec<Vec<u64>> = [first].into_iter().chain(others).collect();
    ledger.close().unwrap();
    let stats = ledger.stats();
    assert!(stats.lost > 0);
    assert_eq!(stats.appended, stats.durable + stats.lost);
    let told: u64 = gaps(&ledger).iter().map(|(_, gap)| gap.count.unwrap()).sum();
    assert_eq!(told, stats.lost);
    assert_eq!(stats.appended, 20_000 + gaps(&ledger).len() as u64);
    let written = numbers(&ledger);
    for (thread, kept) in (0..).zip(kept) {
        let own = written.iter().copied().filter(|n| n / 10_000 == thread);
        assert_eq!(own.collect::<Vec<_>>(), kept);
    }
    assert_eq!(ledger.verify().unwrap().unsigned(), 0);
}

/// Whether the writer had ended when the last handle was gone.
fn ended_with_the_last_handle(defect: Option<Defect>) -> bool {
    let (ledger, remote) = scripted(tens(defect));
    append(&ledger, 0);
    let (gone, is_gone) = sync_channel(1);
    let (ending, ended) = channel();
    let release = remote.hold();
    thread::spawn(move || {
        // Everything passes but the very last; that, when the handle is gone or seems to wait.
        while remote.ops.recv() != Ok(Op::Dropped) {
            let _ = release.send(());
        }
        let early = is_gone.recv_timeout(Duration::from_millis(200)).is_ok();
        let _ = ending.send(!early);
    });
    let clone = ledger.clone();
    drop(ledger);
    assert!(append(&clone, 1).is_some());
    drop(clone);
    let _ = gone.send(());
    ended.recv_timeout(SOON).unwrap()
}

#[test]
fn the_last_handle_waits_for_the_writers_end() {
    assert!(ended_with_the_last_handle(None));
}

#[test]
fn a_thread_that_is_left_behind_would_show() {
    assert!(!ended_with_the_last_handle(Some(Defect::LeaveThread)));
}

#[test]
fn entries_are_signed_in_time_without_a_flush() {
    let options = with(None).window(Duration::ZERO, 1).checkpoints(Duration::ZERO, u64::MAX);
    let (ledger, remote) = scripted(options);
    append(&ledger, 0);
    assert_eq!(remote.ops.recv_timeout(SOON), Ok(Op::Write));
    assert_eq!(remote.ops.recv_timeout(SOON), Ok(Op::Checkpoint(1)));
    let (ledger, remote) = scripted(with(None).window(NEVER, 4).checkpoints(NEVER, 8));
    fill(&ledger, 0..8);
    let signed = remote.ops.iter().find_map(|op| match op {
        Op::Checkpoint(size) => Some(size),
        _ => None,
    });
    assert_eq!(signed, Some(8));
}
