//! A ledger in a directory: made, locked, gone on with, and verified from its files alone.

use std::fs;

use super::super::error::{LedgerErrorKind, VerifyErrorKind};
use super::super::handle::Ledger;
use super::super::verify::{verify, verify_against};
use super::super::{FaultKind, read};
use super::Defect;
use super::rig::{append, copy, fill, numbers, with};

#[test]
fn a_ledger_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut notes = Vec::new();
    let mut public_key = None;
    for round in 0..4 {
        let ledger = Ledger::open(dir.path()).unwrap();
        assert_eq!(ledger.opened().entries, round * 100);
        assert_eq!(ledger.opened().torn, 0);
        assert_eq!(*public_key.get_or_insert(*ledger.public_key()), *ledger.public_key());
        assert!(notes.last().is_none_or(|note| *note == ledger.checkpoint()));
        for n in 0..100 {
            assert_eq!(append(&ledger, round * 100 + n), Some(round * 100 + n));
        }
        ledger.close().unwrap();
        notes.push(ledger.checkpoint());
    }
    let key = public_key.unwrap();
    let verified = verify(dir.path(), &key).unwrap();
    assert_eq!((verified.entries, verified.unsigned()), (400, 0));
    for (round, note) in (1..).zip(&notes) {
        let verified = verify_against(dir.path(), &key, note).unwrap();
        assert_eq!(verified.earlier, Some(round * 100));
    }
    let entries: Vec<_> = read(dir.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(entries.len(), 400);
}

#[test]
fn a_directory_that_is_open_is_not_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let second = Ledger::open(dir.path()).unwrap_err();
    assert_eq!(second.kind(), LedgerErrorKind::Locked);
    let clone = ledger.clone();
    drop(ledger);
    assert_eq!(Ledger::open(dir.path()).unwrap_err().kind(), LedgerErrorKind::Locked);
    drop(clone);
    for _ in 0..20 {
        append(&Ledger::open(dir.path()).unwrap(), 0);
    }
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.close().unwrap();
    // A closed ledger has let go, though its handle is there.
    assert_eq!(Ledger::open(dir.path()).unwrap().opened().entries, 20);
}

#[test]
fn without_the_lock_two_would_write_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let options = with(Some(Defect::NoLock));
    let first = Ledger::open_with(dir.path(), options.clone()).unwrap();
    let second = Ledger::open_with(dir.path(), options).unwrap();
    append(&first, 0);
    append(&second, 0);
    first.close().unwrap();
    second.close().unwrap();
    assert!(verify(dir.path(), first.public_key()).is_err());
}

#[test]
fn segments_are_named_by_their_first_entry_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open_with(dir.path(), with(None).segment_bytes(1000)).unwrap();
    fill(&ledger, 0..200);
    ledger.flush_blocking().unwrap();
    assert_eq!(numbers(&ledger), (0..200).collect::<Vec<_>>());
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|file| file.unwrap())
        .filter(|file| file.path().extension().is_some_and(|e| e == "seg"))
        .map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len()))
        .collect();
    names.sort();
    assert!(names.len() > 5 && names[0].0 == "00000000000000000000.seg", "{names:?}");
    assert!(names.iter().all(|(_, len)| (1..=1000).contains(len)), "{names:?}");
    let verified = ledger.verify().unwrap();
    assert_eq!((verified.segments, verified.entries), (names.len() as u64, 200));
    ledger.close().unwrap();
    // One entry a segment, where no two fit.
    let ledger = Ledger::open_with(dir.path(), with(None).segment_bytes(1)).unwrap();
    fill(&ledger, 200..205);
    assert_eq!(ledger.verify().unwrap().segments, names.len() as u64 + 5);
}

#[cfg(unix)]
#[test]
fn the_files_are_their_owners_alone_and_no_key_is_made_twice() {
    use std::os::unix::fs::PermissionsExt as _;
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("ledger");
    let file = dir.join("ledger.key");
    let opened = Ledger::open(&dir).unwrap();
    let public_key = *opened.public_key();
    assert_eq!(opened.opened().exposed, Vec::<std::path::PathBuf>::new());
    drop(opened);
    let mode = fs::metadata(&dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for name in ["lock", "reserve", "ledger.key", "checkpoints", "00000000000000000000.seg"] {
        let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(*Ledger::open(&dir).unwrap().public_key(), public_key);
    let key = fs::read(&file).unwrap();
    fs::write(&file, &key[..key.len() - 1]).unwrap();
    assert_eq!(Ledger::open(&dir).unwrap_err().kind(), LedgerErrorKind::Key);
    fs::remove_file(&file).unwrap();
    assert_eq!(Ledger::open(&dir).unwrap_err().kind(), LedgerErrorKind::NoKey);
    fs::write(&file, key).unwrap();
    assert_eq!(*Ledger::open(&dir).unwrap().public_key(), public_key);
}

#[cfg(unix)]
#[test]
fn what_others_can_get_at_is_told_and_the_lock_is_narrowed() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    drop(Ledger::open(dir.path()).unwrap());
    let wide = |path: &std::path::Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    // As older versions made it: whoever can open it can keep the service from starting.
    let lock = dir.path().join("lock");
    wide(&lock, 0o644);
    assert_eq!(Ledger::open(dir.path()).unwrap().opened().exposed.len(), 0);
    assert_eq!(fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o600);
    let key = dir.path().join("ledger.key");
    wide(&key, 0o640);
    wide(dir.path(), 0o755);
    let ledger = Ledger::open(dir.path()).unwrap();
    assert_eq!(ledger.opened().exposed, [dir.path(), &key]);
    // It is told, and no reason not to serve.
    append(&ledger, 0);
    ledger.close().unwrap();
}

/// Only root can give a file away, so nobody else sees this fail.
#[cfg(unix)]
#[test]
fn what_another_user_owns_is_told_whatever_its_mode() {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    drop(Ledger::open(dir.path()).unwrap());
    if fs::metadata(dir.path()).unwrap().uid() != 0 {
        return;
    }
    let lock = dir.path().join("lock");
    chown(&lock, Some(65_534), None).unwrap();
    assert_eq!(Ledger::open(dir.path()).unwrap().opened().exposed, std::slice::from_ref(&lock));
    chown(dir.path(), Some(65_534), None).unwrap();
    assert_eq!(Ledger::open(dir.path()).unwrap().opened().exposed, [dir.path(), &lock]);
    assert!(!dir.path().join("owner").exists());
}

#[test]
fn a_directory_half_made_is_made_whole() {
    let whole = tempfile::tempdir().unwrap();
    drop(Ledger::open(whole.path()).unwrap());
    // In the order in which they are made.
    let files = ["lock", "ledger.key", "checkpoints", "00000000000000000000.seg"];
    for made in 0..=files.len() {
        let dir = tempfile::tempdir().unwrap();
        for file in &files[..made] {
            fs::copy(whole.path().join(file), dir.path().join(file)).unwrap();
        }
        fs::write(dir.path().join("ledger.new"), "half a key").unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        append(&ledger, 0);
        assert_eq!(ledger.verify().unwrap().entries, 1, "{made} files");
    }
}

#[test]
fn a_ledger_rewritten_with_its_own_key_is_found_by_an_earlier_checkpoint() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(Ledger::open(dir.path()).unwrap());
    copy(dir.path(), other.path());
    let write = |dir: &std::path::Path, changed: u64| {
        let ledger = Ledger::open(dir).unwrap();
        (0..50).for_each(|n| _ = append(&ledger, if n == changed { 999 } else { n }));
        ledger.close().unwrap();
        (*ledger.public_key(), ledger.checkpoint())
    };
    let (key, earlier) = write(dir.path(), 50);
    let (same_key, _) = write(other.path(), 17);
    assert_eq!(key, same_key);
    assert!(verify(other.path(), &key).is_ok());
    assert_eq!(verify_against(dir.path(), &key, &earlier).unwrap().earlier, Some(50));
    let error = verify_against(other.path(), &key, &earlier).unwrap_err();
    assert_eq!(error.fault().unwrap().kind(), FaultKind::Rewritten { size: 50 });
    let error = verify_against(dir.path(), &key, &earlier.replace("50", "49")).unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::Earlier);
    let error = verify(dir.path(), &[7; 32]).unwrap_err();
    assert_eq!(error.kind(), VerifyErrorKind::Fault);
}

#[test]
fn a_file_that_only_looks_like_a_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let key = *Ledger::open(dir.path()).unwrap().public_key();
    fs::write(dir.path().join("00.seg"), "").unwrap();
    assert_eq!(verify(dir.path(), &key).unwrap_err().kind(), VerifyErrorKind::Name);
    assert_eq!(Ledger::open(dir.path()).unwrap_err().kind(), LedgerErrorKind::Damaged);
}
