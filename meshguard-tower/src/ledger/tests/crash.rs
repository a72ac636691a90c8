//! What a crash leaves behind, at every length.

use std::fs;
use std::path::{Path, PathBuf};

use meshguard_core::ledger::{Entry, GapCause};

use super::super::error::LedgerErrorKind;
use super::super::handle::Ledger;
use super::super::verify::verify;
use super::Defect;
use super::rig::{append, copy, fill, numbers, with};

/// Entries that are signed, and those behind them that are not.
const SIGNED: u64 = 20;
const TAIL: u64 = 8;

/// A ledger as a crash leaves it: the last entries are whole, but no checkpoint covers them.
fn crashed(dir: &Path) -> [u8; 32] {
    let ledger = Ledger::open(dir).unwrap();
    fill(&ledger, 0..SIGNED);
    ledger.close().unwrap();
    let checkpoints = fs::read(dir.join("checkpoints")).unwrap();
    let ledger = Ledger::open(dir).unwrap();
    fill(&ledger, SIGNED..SIGNED + TAIL);
    ledger.close().unwrap();
    fs::write(dir.join("checkpoints"), checkpoints).unwrap();
    *ledger.public_key()
}

fn segment(dir: &Path) -> PathBuf {
    dir.join("00000000000000000000.seg")
}

/// Opens the ledger with its segment ending so; gives what was found and what is there then.
fn reopened(from: &Path, bytes: &[u8], defect: Option<Defect>) -> Result<(u64, Vec<u64>), String> {
    let dir = tempfile::tempdir().unwrap();
    copy(from, dir.path());
    fs::write(segment(dir.path()), bytes).unwrap();
    let ledger = Ledger::open_with(dir.path(), with(defect)).map_err(|e| e.to_string())?;
    let (torn, kept) = (ledger.opened().torn, ledger.opened().entries);
    let adopted = ledger.opened().adopted;
    assert_eq!(adopted, kept - SIGNED);
    append(&ledger, 900);
    ledger.close().unwrap();
    let verified = verify(dir.path(), ledger.public_key()).map_err(|e| e.to_string())?;
    let told = u64::from(torn > 0) + u64::from(adopted > 0);
    assert_eq!((verified.entries, verified.unsigned()), (kept + 1 + told, 0));
    let gap = ledger.entries().unwrap().map(|e| e.unwrap()).find_map(|e| match e.get() {
        (stamp, Entry::Gap(gap)) => Some((stamp.seq, gap)),
        _ => None,
    });
    assert_eq!(gap.is_some(), torn > 0);
    if let Some((seq, gap)) = gap {
        assert_eq!((gap.cause, gap.count, gap.first_seq), (GapCause::TornTail, None, Some(kept)));
        assert_eq!(seq, kept + u64::from(adopted > 0));
    }
    let mut numbers = numbers(&ledger);
    assert_eq!(numbers.pop(), Some(900));
    assert_eq!(numbers, (0..kept).collect::<Vec<_>>());
    Ok((torn, numbers))
}

/// Where the frames of the segment end.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![0];
    while let Some(at) = ends.last().copied().filter(|at| *at < bytes.len()) {
        let len = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        ends.push(at + 8 + len as usize);
    }
    ends
}

#[test]
fn a_tail_cut_at_any_length_is_cut_back_to_whole_entries_and_recorded() {
    let dir = tempfile::tempdir().unwrap();
    crashed(dir.path());
    let bytes = fs::read(segment(dir.path())).unwrap();
    let ends = ends(&bytes);
    assert_eq!(ends.len() as u64, 1 + SIGNED + TAIL);
    for len in ends[SIGNED as usize]..=bytes.len() {
        let whole = ends.partition_point(|end| *end <= len) - 1;
        let (torn, numbers) = reopened(dir.path(), &bytes[..len], None).unwrap();
        assert_eq!(numbers.len(), whole, "cut at {len}");
        assert_eq!(torn as usize, len - ends[whole], "cut at {len}");
    }
}

#[test]
fn a_tail_that_was_never_written_is_cut_back_too() {
    let dir = tempfile::tempdir().unwrap();
    crashed(dir.path());
    let bytes = fs::read(segment(dir.path())).unwrap();
    let ends = ends(&bytes);
    let from = ends[SIGNED as usize + 3];
    // The file has its length, but some blocks of it not their bytes.
    for filler in [0, 0xff] {
        let mut torn = bytes.clone();
        torn[from + 5..from + 40].fill(filler);
        let (cut, numbers) = reopened(dir.path(), &torn, None).unwrap();
        assert_eq!((cut as usize, numbers.len()), (bytes.len() - from, SIGNED as usize + 3));
    }
}

#[test]
fn a_torn_tail_that_stayed_would_show() {
    let dir = tempfile::tempdir().unwrap();
    crashed(dir.path());
    let bytes = fs::read(segment(dir.path())).unwrap();
    let cut = &bytes[..bytes.len() - 3];
    let error = reopened(dir.path(), cut, Some(Defect::KeepTornTail)).unwrap_err();
    assert!(error.contains("entry 27"), "{error}");
}

#[test]
fn damage_to_what_is_signed_is_no_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let key = crashed(dir.path());
    let bytes = fs::read(segment(dir.path())).unwrap();
    let signed = ends(&bytes)[SIGNED as usize];
    let (mut cuts, mut flips) = (0, 0);
    for at in (0..signed).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        for (damaged, count) in [(&bytes[..at], &mut cuts), (&flipped[..], &mut flips)] {
            fs::write(segment(dir.path()), damaged).unwrap();
            let error = Ledger::open(dir.path()).unwrap_err();
            assert_eq!(error.kind(), LedgerErrorKind::Damaged, "at {at}");
            // And nothing was done to it.
            assert_eq!(fs::read(segment(dir.path())).unwrap(), damaged);
            assert!(verify(dir.path(), &key).is_err());
            *count += 1;
        }
    }
    assert!(cuts > 100 && flips == cuts);
}

#[test]
fn a_checkpoint_cut_at_any_length_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    append(&ledger, 0);
    ledger.close().unwrap();
    let checkpoints = fs::read(dir.path().join("checkpoints")).unwrap();
    let first = meshguard_core::ledger::next_record(&checkpoints).unwrap();
    for len in first..checkpoints.len() {
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        fs::write(copied.path().join("checkpoints"), &checkpoints[..len]).unwrap();
        let ledger = Ledger::open(copied.path()).unwrap();
        assert_eq!(ledger.opened().torn_checkpoint as usize, len - first);
        assert_eq!((ledger.opened().entries, ledger.opened().signed), (1, 0));
        // The entry is signed again without anybody asking.
        ledger.close().unwrap();
        let verified = verify(copied.path(), ledger.public_key()).unwrap();
        assert_eq!((verified.signed, verified.adopted), (2, 1));
    }
}
