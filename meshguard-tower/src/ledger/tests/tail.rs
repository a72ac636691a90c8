//! What lies behind the last checkpoint when a ledger is opened: a crash's, or somebody's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meshguard_core::ledger::{Adopted, Entry, Gap, GapCause, Stop};

use super::super::handle::Ledger;
use super::super::options::LedgerOptions;
use super::super::verify::verify;
use super::Defect;
use super::rig::{Op, append, fill, numbers, scripted, with};

/// Entries that are signed, and those behind them that are not.
const SIGNED: u64 = 20;
const TAIL: u64 = 8;
const NEVER: Duration = Duration::from_secs(3600);

/// So many entries may go without a checkpoint.
fn every(entries: u64, defect: Option<Defect>) -> LedgerOptions {
    with(defect).checkpoints(NEVER, entries)
}

/// A ledger whose last entries no checkpoint covers, in segments of so many bytes; `stopped`: its
/// service has said its last word before them.
fn tailed(dir: &Path, segment: u64, stopped: bool) {
    let ledger = Ledger::open_with(dir, with(None).segment_bytes(segment)).unwrap();
    fill(&ledger, 0..SIGNED - u64::from(stopped));
    if stopped {
        ledger.append(&Entry::Stop(Stop { sent: Default::default(), accepted: 0, settled: 0 }));
    }
    ledger.close().unwrap();
    let checkpoints = fs::read(dir.join("checkpoints")).unwrap();
    let ledger = Ledger::open_with(dir, with(None).segment_bytes(segment)).unwrap();
    fill(&ledger, SIGNED..SIGNED + TAIL);
    ledger.close().unwrap();
    fs::write(dir.join("checkpoints"), checkpoints).unwrap();
}

fn aside(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut aside: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|e| e == "unsigned")).collect();
    aside.sort();
    aside
}

fn told(ledger: &Ledger) -> Vec<(u64, String)> {
    let entries = ledger.entries().unwrap().map(|entry| entry.unwrap());
    let told = entries.filter_map(|entry| match entry.get() {
        (stamp, entry @ (Entry::Adopted(_) | Entry::Gap(_))) => {
            Some((stamp.seq, format!("{entry:?}")))
        }
        _ => None,
    });
    told.collect()
}

fn gap(count: u64, first_seq: u64) -> String {
    let (cause, count, first_seq) = (GapCause::Unsigned, Some(count), Some(first_seq));
    format!("{:?}", Entry::Gap(Gap { cause, count, first_seq, since: None, until: None }))
}

#[test]
fn what_a_crash_left_is_adopted_and_recorded() {
    let dir = tempfile::tempdir().unwrap();
    tailed(dir.path(), 1 << 20, false);
    let ledger = Ledger::open_with(dir.path(), every(TAIL, None)).unwrap();
    assert_eq!((ledger.opened().adopted, ledger.opened().set_aside), (TAIL, 0));
    ledger.close().unwrap();
    assert_eq!(numbers(&ledger), (0..SIGNED + TAIL).collect::<Vec<_>>());
    let adopted = Entry::Adopted(Adopted { first_seq: SIGNED, count: TAIL });
    assert_eq!(told(&ledger), [(SIGNED + TAIL, format!("{adopted:?}"))]);
    let verified = verify(dir.path(), ledger.public_key()).unwrap();
    assert_eq!((verified.adopted, verified.unsigned()), (TAIL, 0));
    assert_eq!(aside(dir.path()), Vec::<PathBuf>::new());
    // And nothing is adopted twice.
    assert_eq!(Ledger::open(dir.path()).unwrap().opened().adopted, 0);
}

/// Opens such a ledger where at most 5 entries may go without a checkpoint, or none after the
/// service's last word.
fn opened(segment: u64, stopped: bool, defect: Option<Defect>) -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    tailed(dir.path(), segment, stopped);
    let most = if stopped { 1000 } else { 5 };
    let ledger = Ledger::open_with(dir.path(), every(most, defect)).unwrap();
    append(&ledger, 900);
    ledger.close().unwrap();
    (dir, ledger)
}

#[test]
fn more_than_the_interval_allows_or_any_after_the_last_word_is_set_aside_and_recorded() {
    for (segment, stopped) in [(1 << 20, false), (1 << 20, true), (200, false), (200, true)] {
        let before = tempfile::tempdir().unwrap();
        tailed(before.path(), segment, stopped);
        let all: u64 = segments(before.path());
        let (dir, ledger) = opened(segment, stopped, None);
        let report = ledger.opened();
        assert_eq!((report.adopted, report.set_aside), (0, TAIL), "{segment}, {stopped}");
        assert_eq!((report.entries, report.signed), (SIGNED, SIGNED));
        let kept = SIGNED - u64::from(stopped);
        assert_eq!(numbers(&ledger), (0..kept).chain([900]).collect::<Vec<_>>());
        assert_eq!(told(&ledger), [(SIGNED, gap(TAIL, SIGNED))]);
        let verified = verify(dir.path(), ledger.public_key()).unwrap();
        assert_eq!((verified.lost, verified.adopted, verified.unsigned()), (TAIL, 0, 0));
        // Not a byte of them is gone.
        let files = aside(dir.path());
        let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        let signed = read_signed(dir.path());
        assert_eq!(bytes + signed, all, "{files:?}");
        assert!(files[0].ends_with("00000000000000000020.unsigned"), "{files:?}");
    }
}

/// Bytes of all segments.
fn segments(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|e| e == "seg"));
    segments.map(|path| fs::metadata(path).unwrap().len()).sum()
}

/// Bytes of the entries that were signed, with their frames.
fn read_signed(dir: &Path) -> u64 {
    let entries = super::super::read(dir).unwrap().map(|entry| entry.unwrap());
    entries.take(SIGNED as usize).map(|entry| entry.bytes().len() as u64 + 8).sum()
}

#[test]
fn an_opener_that_adopts_all_would_show() {
    let (_dir, ledger) = opened(1 << 20, false, Some(Defect::AdoptAll));
    assert_eq!(ledger.opened().adopted, TAIL);
}

#[test]
fn what_was_set_aside_before_stays() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..4 {
        let checkpoints = fs::read(dir.path().join("checkpoints"));
        let ledger = Ledger::open(dir.path()).unwrap();
        fill(&ledger, 0..TAIL);
        ledger.close().unwrap();
        let Ok(checkpoints) = checkpoints else { continue };
        fs::write(dir.path().join("checkpoints"), checkpoints).unwrap();
        // The gap that the round before recorded was behind the last checkpoint, too.
        drop(Ledger::open_with(dir.path(), every(1, None)).unwrap());
        assert_eq!(aside(dir.path()).len(), round - 1);
    }
}

#[test]
fn a_writer_leaves_no_more_behind_a_checkpoint_than_the_interval_allows() {
    let options = every(7, None).queue(1 << 20, 1000).window(NEVER, 100);
    let (ledger, remote) = scripted(options);
    fill(&ledger, 0..100);
    ledger.flush_blocking().unwrap();
    let ops: Vec<_> = remote.ops.try_iter().collect();
    let signed: Vec<_> = (1..=15).map(|n| Op::Checkpoint((n * 7).min(100))).collect();
    let want: Vec<_> = signed.into_iter().flat_map(|signed| [Op::Write, signed]).collect();
    assert_eq!(ops, want);
}

#[test]
fn what_follows_a_services_last_word_is_signed_with_the_write() {
    let options = every(1000, None).window(Duration::ZERO, 1);
    let (ledger, remote) = scripted(options);
    ledger.append(&Entry::Stop(Stop { sent: Default::default(), accepted: 0, settled: 0 }));
    ledger.flush_blocking().unwrap();
    append(&ledger, 1);
    let soon = Duration::from_secs(20);
    let next = || remote.ops.recv_timeout(soon).unwrap();
    let ops = [next(), next(), next(), next()];
    assert_eq!(ops, [Op::Write, Op::Checkpoint(1), Op::Write, Op::Checkpoint(2)]);
    // And from then on as always.
    append(&ledger, 2);
    assert_eq!(next(), Op::Write);
    ledger.close().unwrap();
    assert_eq!(next(), Op::Checkpoint(3));
}

#[test]
fn a_service_that_dies_as_it_starts_again_loses_no_start() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.append(&Entry::Stop(Stop { sent: Default::default(), accepted: 0, settled: 0 }));
    ledger.close().unwrap();
    let options = every(1000, None).window(Duration::ZERO, 1);
    let ledger = Ledger::open_with(dir.path(), options).unwrap();
    append(&ledger, 1);
    // Nobody flushes.
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while ledger.stats().signed < 2 {
        assert!(std::time::Instant::now() < until);
        std::thread::yield_now();
    }
}
