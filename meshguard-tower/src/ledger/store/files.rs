//! A directory: segments named by their first entry, and the checkpoints.

use std::collections::VecDeque;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use meshguard_core::ledger::{Dropped, Tree};

use super::reserve::Reserve;
use super::retain::{Retained, Segment};
use super::{CHECKPOINTS, Store, create, sync_dir};
use crate::ledger::error::{VerifyError, Why};
use crate::ledger::options::LedgerOptions;

/// Digits in a segment's name: those of 2^64.
const DIGITS: usize = 20;

/// The files of an open ledger.
pub(in crate::ledger) struct Files {
    dir: PathBuf,
    segment: Durable,
    first_seq: u64,
    limit: u64,
    checkpoints: Durable,
    retained: Retained,
    reserve: Reserve,
    /// Held, and with it the ledger, until this is dropped.
    _lock: File,
}

/// A file and how much of it is durable.
struct Durable {
    file: File,
    len: u64,
    /// Another was put in its place, all of it durable: this is not written any more.
    is_gone: bool,
}

impl Files {
    /// Goes on where the newest segment ends, or begins the first after `gone`.
    pub(in crate::ledger) fn open(
        dir: &Path,
        options: &LedgerOptions,
        mut segments: VecDeque<Segment>,
        gone: Tree,
        lock: File,
    ) -> io::Result<Self> {
        let newest = segments.back().map(|segment| segment.before.size());
        let first_seq = newest.unwrap_or(gone.size());
        let segment = match newest {
            Some(newest) => OpenOptions::new().append(true).open(segment_path(dir, newest))?,
            None => create(&segment_path(dir, first_seq))?,
        };
        if newest.is_none() {
            segments.push_back(Segment { before: gone, bytes: 0 });
        }
        sync_dir(dir)?;
        let checkpoints = OpenOptions::new().append(true).open(dir.join(CHECKPOINTS))?;
        let (segment, checkpoints) = (Durable::new(segment)?, Durable::new(checkpoints)?);
        let (dir, limit) = (dir.to_owned(), options.segment);
        let (retain, archive) = (options.retain, options.archive.clone());
        let retained = Retained { limit: retain, archive, segments };
        let reserve = Reserve::new(&dir, options.reserve);
        // A disk that is full already: what there is to write shows it.
        let _ = reserve.fill();
        Ok(Self { dir, segment, first_seq, limit, checkpoints, retained, reserve, _lock: lock })
    }
}

impl Files {
    /// Disposes of segments that were to go when the last writer was interrupted.
    pub(in crate::ledger) fn finish_dropping(&self, old: &[u64]) -> io::Result<()> {
        old.iter().try_for_each(|first_seq| self.retained.dispose(&self.dir, *first_seq))
    }
}

impl Store for Files {
    fn room(&self) -> (u64, u64) {
        (self.segment.len, self.limit)
    }

    fn begin(&mut self, tree: &Tree) -> io::Result<()> {
        let path = segment_path(&self.dir, tree.size());
        let file = match create(&path) {
            // One that was begun before an error.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = OpenOptions::new().append(true).open(&path)?;
                if file.metadata()?.len() > 0 {
                    return Err(error);
                }
                file
            }
            made => made?,
        };
        sync_dir(&self.dir)?;
        (self.segment, self.first_seq) = (Durable::new(file)?, tree.size());
        self.retained.segments.push_back(Segment { before: tree.clone(), bytes: 0 });
        Ok(())
    }

    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        self.segment.append(frames)?;
        if let Some(newest) = self.retained.segments.back_mut() {
            newest.bytes = self.segment.len;
        }
        Ok(())
    }

    fn checkpoint(&mut self, _: u64, record: &str) -> io::Result<()> {
        self.checkpoints.append(record.as_bytes())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.segment.reopen(&segment_path(&self.dir, self.first_seq))?;
        self.checkpoints.reopen(&self.dir.join(CHECKPOINTS))?;
        sync_dir(&self.dir)
    }

    fn release(&mut self) -> io::Result<bool> {
        self.reserve.release()
    }

    fn reserve(&mut self) -> io::Result<()> {
        self.reserve.fill()
    }

    fn surplus(&self, signed: u64) -> Option<Dropped> {
        let first_kept = self.retained.surplus(signed)?;
        Some(Dropped { first_kept, archived: self.retained.archive.is_some() })
    }

    fn drop_before(&mut self, first_kept: u64) -> io::Result<()> {
        let dropped = self.retained.drop_before(&self.dir, first_kept);
        // Their file may be another now, whatever happened then.
        self.checkpoints.is_gone = true;
        self.checkpoints.reopen(&self.dir.join(CHECKPOINTS))?;
        dropped
    }
}

impl Durable {
    /// All that is in it is: it was read, or is new.
    fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len, is_gone: false })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_gone {
            return Err(io::Error::other("the file has been replaced"));
        }
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The same file on another handle, without what is not durable. All behind that is written
    /// again, so that no page is left of which the system believes that it is on the disk.
    fn reopen(&mut self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().append(true).open(path)?;
        if self.is_gone {
            *self = Self::new(file)?;
            return Ok(());
        }
        let found = file.metadata()?;
        if !is_same(&self.file.metadata()?, &found) || found.len() < self.len {
            let other = format!("{} is not the file that was written", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, other));
        }
        file.set_len(self.len)?;
        file.sync_all()?;
        self.file = file;
        Ok(())
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere nobody can tell.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// The file of the segment that begins with this entry.
pub(in crate::ledger) fn segment_path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:0DIGITS$}.seg"))
}

/// The first entries of all segments in a directory, in order.
pub(in crate::ledger) fn list(dir: &Path) -> Result<Vec<u64>, VerifyError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(VerifyError::io(dir))? {
        let path = entry.map_err(VerifyError::io(dir))?.path();
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let digits = stem.filter(|s| s.len() == DIGITS && s.bytes().all(|b| b.is_ascii_digit()));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(first_seq) => segments.push(first_seq),
            None => return Err(VerifyError(Why::Name(path))),
        }
    }
    segments.sort_unstable();
    Ok(segments)
}
