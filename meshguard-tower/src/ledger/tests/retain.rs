//! A ledger on disk that is bounded: what goes, what says so, and what is left to verify.

use std::fs;
use std::path::Path;

use meshguard_core::ledger::{FaultKind, leaf_hash};

use super::super::error::{LedgerErrorKind, VerifyErrorKind};
use super::super::handle::Ledger;
use super::super::options::LedgerOptions;
use super::super::store::{frontier, list, segment_path};
use super::super::verify::{verify, verify_against};
use super::super::{VerifyError, read};
use super::rig::{append, copy, fill, numbers, with};

const SEGMENT: u64 = 1000;
const KEPT: u64 = 5 * SEGMENT;

fn options() -> LedgerOptions {
    with(None).segment_bytes(SEGMENT).retain(KEPT)
}

/// Opens, appends a hundred entries, and closes. What is to go then is told with the flushes.
fn round(dir: &Path, options: LedgerOptions, round: u64) -> Ledger {
    let ledger = Ledger::open_with(dir, options).unwrap();
    for n in 100 * round..100 * (round + 1) {
        append(&ledger, n);
        if n % 10 == 0 {
            ledger.flush_blocking().unwrap();
        }
    }
    ledger.close().unwrap();
    ledger
}

fn bytes(dir: &Path) -> u64 {
    let segments = list(dir).unwrap().into_iter();
    segments.map(|seq| fs::metadata(segment_path(dir, seq)).unwrap().len()).sum()
}

#[test]
fn the_oldest_segments_go_and_what_is_left_verifies_from_there_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut first, mut notes) = (0, Vec::new());
    for n in 0..8 {
        let ledger = round(dir.path(), options(), n);
        // One segment more, and what came between the word and the deed.
        assert!(bytes(dir.path()) <= KEPT + 2 * SEGMENT, "{}", bytes(dir.path()));
        let verified = verify(dir.path(), ledger.public_key()).unwrap();
        assert_eq!(verified.unsigned(), 0);
        assert!(verified.first >= first && verified.told_first >= verified.first);
        first = verified.first;
        let (numbers, all) = (numbers(&ledger), 100 * (n + 1));
        assert_eq!(numbers, (all - numbers.len() as u64..all).collect::<Vec<_>>());
        notes.push(ledger.checkpoint());
        let key = ledger.public_key();
        assert!(verify_against(dir.path(), key, &notes[n as usize]).is_ok());
        // Checkpoints of what is gone are gone, too.
        let text = fs::read_to_string(dir.path().join("checkpoints")).unwrap();
        let oldest: u64 = text.lines().nth(1).unwrap().parse().unwrap();
        assert!(oldest >= frontier::read(dir.path()).unwrap().size());
    }
    assert!(first > 400, "{first}");
    let ledger = Ledger::open_with(dir.path(), options()).unwrap();
    let error = verify_against(dir.path(), ledger.public_key(), &notes[0]).unwrap_err();
    assert!(matches!(error.fault().unwrap().kind(), FaultKind::NotKept { .. }), "{error}");
    // Without a bound all that is still there stays.
    drop(ledger);
    let before = verify(dir.path(), round(dir.path(), with(None), 8).public_key()).unwrap();
    assert_eq!(before.first, verify(dir.path(), &key(dir.path())).unwrap().first);
}

fn key(dir: &Path) -> [u8; 32] {
    *Ledger::open(dir).unwrap().public_key()
}

/// Removes another segment, and writes down the tree as the ledger itself would.
fn cut_off(dir: &Path) {
    let segments = list(dir).unwrap();
    let mut tree = frontier::read(dir).unwrap();
    for entry in read(dir).unwrap().map(|entry| entry.unwrap()) {
        if entry.stamp().seq == segments[1] {
            break;
        }
        tree.push(leaf_hash(entry.bytes()));
    }
    frontier::write(dir, &tree).unwrap();
    fs::remove_file(segment_path(dir, segments[0])).unwrap();
}

#[test]
fn what_somebody_else_removes_is_missed() {
    for retained in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let options = if retained { options() } else { with(None).segment_bytes(SEGMENT) };
        (0..4).for_each(|n| drop(round(dir.path(), options.clone(), n)));
        let key = key(dir.path());
        let told = verify(dir.path(), &key).unwrap();
        // What the ledger has said it drops may go; the next segment may not.
        while list(dir.path()).unwrap()[0] < told.told_first {
            cut_off(dir.path());
            assert!(verify(dir.path(), &key).is_ok());
        }
        cut_off(dir.path());
        let error = verify(dir.path(), &key).unwrap_err();
        assert_eq!(error.kind(), VerifyErrorKind::Cut, "{error}");
        let error = Ledger::open_with(dir.path(), options).unwrap_err();
        assert_eq!(error.kind(), LedgerErrorKind::Damaged, "{error}");
    }
}

#[test]
fn a_tree_that_is_another_one_does_not_verify() {
    let dir = tempfile::tempdir().unwrap();
    drop(round(dir.path(), options(), 0));
    let ledger = round(dir.path(), options(), 1);
    let mut tree = frontier::read(dir.path()).unwrap();
    assert!(tree.size() > 0);
    let last = tree.frontier().len() - 1;
    let mut hashes = tree.frontier().to_vec();
    hashes[last][0] ^= 1;
    tree = meshguard_core::ledger::Tree::resume(tree.size(), &hashes).unwrap();
    frontier::write(dir.path(), &tree).unwrap();
    let error: VerifyError = verify(dir.path(), ledger.public_key()).unwrap_err();
    assert!(matches!(error.fault().unwrap().kind(), FaultKind::Root { .. }), "{error}");
    fs::write(dir.path().join("frontier"), "none").unwrap();
    let error = verify(dir.path(), ledger.public_key()).unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::Frontier);
}

#[test]
fn the_archive_is_a_ledger_that_ends_where_what_is_kept_begins() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let archive = elsewhere.path().join("deep/archive");
    let options = || options().archive(&archive);
    let mut ledger = round(dir.path(), options(), 0);
    for n in 1..6 {
        ledger = round(dir.path(), options(), n);
    }
    let kept = verify(dir.path(), ledger.public_key()).unwrap();
    let archived = verify(&archive, ledger.public_key()).unwrap();
    assert_eq!((archived.first, archived.entries), (0, kept.first));
    assert!(archived.unsigned() < 20 && archived.checkpoints > 10, "{archived:?}");
    let seqs = |dir: &Path| -> Vec<u64> {
        read(dir).unwrap().map(|entry| entry.unwrap().stamp().seq).collect()
    };
    let all = [seqs(&archive), seqs(dir.path())].concat();
    assert_eq!(all, (0..kept.entries).collect::<Vec<_>>());
}

/// A state in which the ledger may have been interrupted: these files of `after`, the others of
/// `before`, a moment earlier.
fn between(before: &Path, after: &Path, frontier: bool, segments: usize, checkpoints: bool) {
    let dir = tempfile::tempdir().unwrap();
    copy(before, dir.path());
    if frontier {
        fs::copy(after.join("frontier"), dir.path().join("frontier")).unwrap();
    }
    let gone = list(after).unwrap()[0];
    let going: Vec<u64> = list(dir.path()).unwrap().into_iter().filter(|s| *s < gone).collect();
    for first_seq in going.iter().take(segments) {
        fs::remove_file(segment_path(dir.path(), *first_seq)).unwrap();
    }
    if checkpoints {
        fs::copy(after.join("checkpoints"), dir.path().join("checkpoints")).unwrap();
    }
    let key = key(after);
    let verified = verify(dir.path(), &key).unwrap();
    assert_eq!(verified.first, if frontier { gone } else { 0 });
    let ledger = Ledger::open_with(dir.path(), options()).unwrap();
    fill(&ledger, 0..1);
    ledger.close().unwrap();
    assert!(verify(dir.path(), &key).is_ok());
    if frontier {
        assert_eq!(list(dir.path()).unwrap()[0], gone, "what was to go is gone");
    }
}

#[test]
fn whenever_it_is_interrupted_what_is_there_verifies() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger = round(before.path(), with(None).segment_bytes(SEGMENT), 0);
    drop(ledger);
    copy(before.path(), after.path());
    // The bound comes with the next start; that says so, and lets go.
    let ledger = Ledger::open_with(after.path(), options()).unwrap();
    while frontier::read(after.path()).unwrap().size() == 0 {
        append(&ledger, 0);
        ledger.flush_blocking().unwrap();
    }
    ledger.close().unwrap();
    // All that it has said and signed before it let anything go.
    let newest = *list(before.path()).unwrap().last().unwrap();
    for seq in list(after.path()).unwrap().into_iter().filter(|seq| *seq >= newest) {
        fs::copy(segment_path(after.path(), seq), segment_path(before.path(), seq)).unwrap();
    }
    let old = fs::read(before.path().join("checkpoints")).unwrap();
    let new = fs::read(after.path().join("checkpoints")).unwrap();
    let merged = merge(&old, &new);
    fs::write(before.path().join("checkpoints"), merged).unwrap();
    between(before.path(), after.path(), false, 0, false);
    between(before.path(), after.path(), true, 0, false);
    between(before.path(), after.path(), true, 1, false);
    between(before.path(), after.path(), true, 99, false);
    between(before.path(), after.path(), true, 99, true);
}

/// The checkpoints of `old`, and those of `new` that are of more entries.
fn merge(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut merged = old.to_vec();
    let size = |record: &[u8]| super::super::verify::size(record).unwrap();
    let last = records(old).last().map(&size).unwrap();
    for record in records(new).filter(|record| size(record) > last) {
        merged.extend_from_slice(record);
    }
    merged
}

fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = meshguard_core::ledger::next_record(bytes)?;
        let (record, rest) = bytes.split_at(len);
        bytes = rest;
        Some(record)
    })
}
