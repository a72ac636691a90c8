//! A directory opened to be written: locked, read through, its torn tail cut off.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use meshguard_core::ledger::{Audit, Checkpoint, Note, RECORD_LIMIT, Signer, Tree, next_record};

use super::error::{LedgerError, LedgerErrorKind, VerifyError};
use super::feed::Feed;
use super::key::{AwsLc, Key, verifier_key};
use super::options::{LedgerOptions, seeded};
use super::store::{CHECKPOINTS, Files, list, replace, segment_path, sync_dir};
use super::verify::{Records, is_torn, scan_segment};
use super::writer::{first_note, record};

/// What was found when a ledger was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// The entries that were there and are kept.
    pub entries: u64,
    /// Of these, the ones that a checkpoint covers.
    pub signed: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes that the last writer left half written and that were cut off: of entries that
    /// had not been said to be durable. The ledger records that as a gap.
    pub torn: u64,
    /// Bytes of a checkpoint that the last writer left half written and that were cut off.
    pub torn_checkpoint: u64,
}

/// What the writer goes on with.
pub(super) struct Opened {
    pub(super) key: Key,
    pub(super) tree: Tree,
    pub(super) files: Files,
    pub(super) report: OpenReport,
    /// The last checkpoint.
    pub(super) note: String,
}

/// Opens the ledger in a directory, which is made where there is none.
pub(super) fn open(dir: &Path, options: &LedgerOptions) -> Result<Opened, LedgerError> {
    create_dir(dir).map_err(LedgerError::io(dir))?;
    let lock = lock(&dir.join("lock"), options)?;
    let segments = list(dir)?;
    let key = Key::of(dir, !segments.is_empty())?;
    if segments.is_empty() {
        begin(dir, &key)?;
    }
    let (note, torn_checkpoint) = cut_record(&dir.join(CHECKPOINTS))?;
    let audit = Audit::new(verifier_key(&key.public_key()), &AwsLc);
    // The last signature is for all entries: a start need not verify one for each second.
    let audit = audit.signatures_from(size(&note));
    let (tree, mut report) = read(dir, &segments, audit, options)?;
    report.torn_checkpoint = torn_checkpoint;
    let files = Files::open(dir, options.segment, segments.last().copied(), lock);
    Ok(Opened { key, tree, files: files.map_err(LedgerError::io(dir))?, report, note })
}

/// Makes a directory, and those above it, durably.
fn create_dir(dir: &Path) -> io::Result<()> {
    let Some(above) = dir.parent().filter(|_| !dir.is_dir()) else { return Ok(()) };
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    create_dir(above)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_dir(above),
    }
}

fn lock(path: &Path, options: &LedgerOptions) -> Result<File, LedgerError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(LedgerError::io(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) if seeded!(options, NoLock) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::new(LedgerErrorKind::Locked)),
        Err(TryLockError::Error(error)) => Err(LedgerError::io(path)(error)),
    }
}

/// Makes the first checkpoint, where there is none. There are no segments yet.
fn begin(dir: &Path, key: &Key) -> Result<(), LedgerError> {
    let path = dir.join(CHECKPOINTS);
    let io = LedgerError::io(&path);
    if fs::exists(&path).map_err(&io)? {
        return Ok(());
    }
    let record = record(&first_note(key));
    replace(&path, |file| file.write_all(record.as_bytes())).map_err(&io)?;
    sync_dir(dir).map_err(io)
}

/// Reads everything, and cuts off what a crash left at its end.
fn read(
    dir: &Path,
    segments: &[u64],
    mut audit: Audit<'_>,
    options: &LedgerOptions,
) -> Result<(Tree, OpenReport), LedgerError> {
    let mut records = Records::open(dir)?;
    records.feed(&mut audit)?;
    let mut torn = 0;
    for first_seq in segments {
        let Err(error) = scan_segment(dir, *first_seq, &mut audit, &mut records) else { continue };
        let last = segments.last() == Some(first_seq);
        let Some(fault) = is_torn(&error, &audit).filter(|_| last) else {
            return Err(error.into());
        };
        if seeded!(options, KeepTornTail) {
            continue;
        }
        torn = cut(&segment_path(dir, *first_seq), fault.offset())?;
    }
    let tree = audit.tree().clone();
    let audited = audit.finish().map_err(VerifyError::from)?;
    let report = OpenReport {
        entries: audited.entries,
        signed: audited.signed,
        segments: audited.segments,
        torn,
        torn_checkpoint: 0,
    };
    Ok((tree, report))
}

/// Reads the last checkpoint, and cuts off the half of one that a crash left behind it.
fn cut_record(path: &Path) -> Result<(String, u64), LedgerError> {
    let io = LedgerError::io(path);
    let mut last = Vec::new();
    let Ok(file) = File::open(path) else { return Ok((String::new(), 0)) };
    let (mut feed, mut whole) = (Feed::new(file), 0);
    loop {
        let len = feed.record().map_err(&io)?;
        let record = &feed.bytes()[..len];
        if next_record(record).is_none() {
            // A longer piece is damage, and found as that.
            let half = (1..=RECORD_LIMIT).contains(&len);
            let torn = if half { cut(path, whole)? } else { 0 };
            return Ok((String::from_utf8_lossy(&last).into(), torn));
        }
        last.clear();
        last.extend_from_slice(&record[..len - 1]);
        whole += len as u64;
        feed.consume(len);
    }
}

/// The size that a checkpoint says to have; that it does have it shows when it is read.
fn size(note: &str) -> u64 {
    Note::parse(note.as_bytes())
        .ok()
        .and_then(|note| Checkpoint::parse(note.text()).ok())
        .map_or(0, |checkpoint| checkpoint.size)
}

/// Cuts a file to so many bytes, durably, and says how many went.
fn cut(path: &Path, len: u64) -> Result<u64, LedgerError> {
    let io = LedgerError::io(path);
    let file = OpenOptions::new().write(true).open(path).map_err(&io)?;
    let before = file.metadata().map_err(&io)?.len();
    file.set_len(len).and_then(|()| file.sync_all()).map_err(io)?;
    Ok(before.saturating_sub(len))
}
