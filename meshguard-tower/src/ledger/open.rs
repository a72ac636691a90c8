//! A directory opened to be written: locked, read through, its torn tail cut off.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use meshguard_core::escape::Escaped;
use meshguard_core::ledger::{Audit, Covered, RECORD_LIMIT, Signer, Tree, next_record};

use super::error::{LedgerError, LedgerErrorKind, VerifyError};
use super::feed::Feed;
use super::key::{self, AwsLc, Key, verifier_key};
use super::options::{LedgerOptions, seeded};
use super::store::{
    CHECKPOINTS, Files, Segment, create_dir, frontier, list, replace, segment_path, sync_dir,
};
use super::verify::{Records, is_torn, scan_segment, size, uncut};
use super::writer::{first_note, record};

/// The file in a ledger's directory that is locked while the ledger is written.
const LOCK: &str = "lock";
/// A file that is made for a moment, to see whose it becomes.
#[cfg(unix)]
const PROBE: &str = "owner";

/// What was found when a ledger was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// The entries that were there and are kept, with those that the tree alone still has.
    pub entries: u64,
    /// Of these, the ones that a checkpoint covered.
    pub signed: u64,
    /// Segments.
    pub segments: u64,
    /// Entries behind the last checkpoint that were adopted, as a crash leaves them; they are
    /// signed from here on. The ledger records how many.
    pub adopted: u64,
    /// Entries behind the last checkpoint that were not: more than the interval of checkpoints
    /// allows, or any behind a service's last word. They lie in files that end in `.unsigned`.
    /// The ledger records them as a gap.
    pub set_aside: u64,
    /// Bytes that the last writer left half written and that were cut off: of entries that
    /// had not been said to be durable. The ledger records that as a gap.
    pub torn: u64,
    /// Bytes of a checkpoint that the last writer left half written and that were cut off.
    pub torn_checkpoint: u64,
    /// Which of the directory, its `lock` and its key another user can get at, or owns: but for
    /// root, which can get at all. A user that can open the lock can keep the service from starting.
    pub exposed: Vec<PathBuf>,
    /// Whether the last entry that is signed is a stop.
    pub(super) stopped: bool,
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
    let lock = lock(&dir.join(LOCK), options)?;
    let gone = frontier::read(dir)?;
    let first = gone.size();
    let (kept, old): (Vec<u64>, Vec<u64>) = list(dir)?.into_iter().partition(|seq| *seq >= first);
    let key = Key::of(dir, !kept.is_empty() || first > 0)?;
    if kept.is_empty() && first == 0 {
        begin(dir, &key)?;
    }
    let (note, torn_checkpoint) = cut_record(&dir.join(CHECKPOINTS))?;
    let mut what = What { dir, options, kept, gone, key: &key, signed: size(note.as_bytes()) };
    let mut read = what.read()?;
    if let Some(tail) = read.excess(options) {
        set_aside(dir, &what.kept, &read.covered, read.report.signed)?;
        let torn = read.report.torn;
        what.kept = list(dir)?.into_iter().filter(|seq| *seq >= first).collect();
        read = what.read()?;
        (read.report.set_aside, read.report.torn) = (tail, torn);
    }
    read.report.adopted = read.report.entries - read.report.signed;
    read.report.torn_checkpoint = torn_checkpoint;
    read.report.exposed = exposed(dir);
    let Read { tree, report, segments, .. } = read;
    let files = Files::open(dir, options, segments, what.gone, lock);
    let files = files.and_then(|files| files.finish_dropping(&old).map(|()| files));
    Ok(Opened { key, tree, files: files.map_err(LedgerError::io(dir))?, report, note })
}

/// Which of what only this process's user needs other users can get at. Root can in any case.
#[cfg(unix)]
fn exposed(dir: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let paths = [dir.to_owned(), dir.join(LOCK), dir.join(key::FILE)];
    let own = own_user(dir);
    let foreign = |owner| owner != 0 && own.is_some_and(|own| own != owner);
    let open = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.mode() & 0o077 != 0 || foreign(found.uid()))
    };
    let exposed: Vec<_> = paths.into_iter().filter(open).collect();
    for path in &exposed {
        tracing::warn!(
            target: "meshguard::ledger",
            "other users can get at {}", Escaped(path.display())
        );
    }
    exposed
}

/// The user whose files this process makes; `None` where none can be made.
#[cfg(unix)]
fn own_user(dir: &Path) -> Option<u32> {
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    let path = dir.join(PROBE);
    // One that a crash has left behind, or that somebody else has put there, is not ours to read.
    let _ = fs::remove_file(&path);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).ok()?;
    let owner = file.metadata().ok().map(|made| made.uid());
    // It says nothing any more, and the next start removes it.
    let _ = fs::remove_file(&path);
    owner
}

/// Elsewhere nobody can tell.
#[cfg(not(unix))]
fn exposed(_: &Path) -> Vec<PathBuf> {
    Vec::new()
}

/// Takes the lock, which only the owner can open: whoever can open it can hold it.
fn lock(path: &Path, options: &LedgerOptions) -> Result<File, LedgerError> {
    let mut open = OpenOptions::new();
    open.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    let file = open.open(path).map_err(LedgerError::io(path))?;
    // Older versions made it for everybody. Where it cannot be narrowed, that is reported.
    #[cfg(unix)]
    let _ = file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
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

/// What there is to read.
struct What<'a> {
    dir: &'a Path,
    options: &'a LedgerOptions,
    /// Segments, by their first seqs.
    kept: Vec<u64>,
    /// The tree of what is before.
    gone: Tree,
    key: &'a Key,
    /// What the last checkpoint says to cover.
    signed: Option<u64>,
}

/// What was read.
struct Read {
    tree: Tree,
    segments: VecDeque<Segment>,
    covered: Covered,
    report: OpenReport,
}

impl What<'_> {
    /// Reads everything, and cuts off what a crash left half written at its end.
    fn read(&self) -> Result<Read, LedgerError> {
        let (dir, key) = (self.dir, verifier_key(&self.key.public_key()));
        let audit = Audit::resume(key, &AwsLc, self.gone.clone());
        // The last signature is for all entries: a start need not verify one for each second.
        let mut audit = audit.signatures_from(self.signed.unwrap_or(0));
        let mut records = Records::open(dir, self.gone.size())?;
        records.feed(&mut audit)?;
        let (mut torn, mut segments) = (0, VecDeque::new());
        for first_seq in &self.kept {
            let before = audit.tree().clone();
            let last = self.kept.last() == Some(first_seq);
            torn += self.read_segment(*first_seq, last, &mut audit, &mut records)?;
            let found = fs::metadata(segment_path(dir, *first_seq));
            let bytes = found.map_err(LedgerError::io(dir))?.len();
            segments.push_back(Segment { before, bytes });
        }
        let (tree, covered) = (audit.tree().clone(), audit.covered());
        let audited = uncut(audit.finish().map_err(VerifyError::from)?)?;
        let (entries, signed) = (audited.entries, audited.signed);
        let (segments_read, stopped) = (audited.segments, covered.stopped);
        let report = OpenReport {
            entries,
            signed,
            segments: segments_read,
            torn,
            stopped,
            ..OpenReport::default()
        };
        Ok(Read { tree, segments, covered, report })
    }

    /// Gives how many bytes of it were torn, and are cut off.
    fn read_segment(
        &self,
        first_seq: u64,
        last: bool,
        audit: &mut Audit<'_>,
        records: &mut Records,
    ) -> Result<u64, LedgerError> {
        let Err(error) = scan_segment(self.dir, first_seq, audit, records) else { return Ok(0) };
        let Some(fault) = is_torn(&error, audit).filter(|_| last) else {
            return Err(error.into());
        };
        if seeded!(self.options, KeepTornTail) {
            return Ok(0);
        }
        cut(&segment_path(self.dir, first_seq), fault.offset())
    }
}

impl Read {
    /// How many entries no checkpoint covers, where no crash can have left as many: a writer signs
    /// before there are more, and after a service's last word at once.
    fn excess(&self, options: &LedgerOptions) -> Option<u64> {
        let tail = self.report.entries - self.report.signed;
        let most = if self.covered.stopped { 0 } else { options.checkpoint_entries };
        (tail > most && !seeded!(options, AdoptAll)).then_some(tail)
    }
}

/// Puts the entries that no checkpoint covers into files of their own, and out of the ledger:
/// nobody knows who wrote them, and somebody may want to see them.
fn set_aside(dir: &Path, kept: &[u64], covered: &Covered, signed: u64) -> Result<(), LedgerError> {
    let io = LedgerError::io(dir);
    let Some(last) = covered.segment.or(kept.first().copied()) else { return Ok(()) };
    // The newest first, so that what is there is a ledger whenever this is interrupted.
    for first_seq in kept.iter().rev().filter(|seq| **seq > last) {
        let to = free_name(dir, *first_seq).map_err(&io)?;
        fs::rename(segment_path(dir, *first_seq), to).map_err(&io)?;
    }
    let path = segment_path(dir, last);
    let mut file = File::open(&path).map_err(&io)?;
    if file.seek(SeekFrom::End(0)).map_err(&io)? > covered.offset {
        file.seek(SeekFrom::Start(covered.offset)).map_err(&io)?;
        let to = free_name(dir, signed).map_err(&io)?;
        replace(&to, |to| io::copy(&mut file, to).map(drop)).map_err(&io)?;
        sync_dir(dir).map_err(&io)?;
        cut(&path, covered.offset)?;
    }
    sync_dir(dir).map_err(io)
}

/// A name for entries without a signature, from `first_seq` on, that no file has.
fn free_name(dir: &Path, first_seq: u64) -> io::Result<PathBuf> {
    let path = segment_path(dir, first_seq);
    let mut name = path.with_extension("unsigned");
    let mut n = 1;
    while fs::exists(&name)? {
        name = path.with_extension(format!("{n}.unsigned"));
        n += 1;
    }
    Ok(name)
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

/// Cuts a file to so many bytes, durably, and says how many went.
fn cut(path: &Path, len: u64) -> Result<u64, LedgerError> {
    let io = LedgerError::io(path);
    let file = OpenOptions::new().write(true).open(path).map_err(&io)?;
    let before = file.metadata().map_err(&io)?.len();
    file.set_len(len).and_then(|()| file.sync_all()).map_err(io)?;
    Ok(before.saturating_sub(len))
}
