//! A directory: segments named by their first entry, and the checkpoints.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use meshguard_core::ledger::Tree;

use super::{CHECKPOINTS, Store, create, sync_dir};
use crate::ledger::error::{VerifyError, Why};

/// Digits in a segment's name: those of 2^64.
const DIGITS: usize = 20;

/// The files of an open ledger.
pub(in crate::ledger) struct Files {
    dir: PathBuf,
    segment: File,
    len: u64,
    limit: u64,
    checkpoints: File,
    /// Held, and with it the ledger, until this is dropped.
    _lock: File,
}

impl Files {
    /// Goes on where the newest segment ends, or begins the first.
    pub(in crate::ledger) fn open(
        dir: &Path,
        limit: u64,
        newest: Option<u64>,
        lock: File,
    ) -> io::Result<Self> {
        let segment = match newest {
            Some(newest) => OpenOptions::new().append(true).open(segment_path(dir, newest))?,
            None => create(&segment_path(dir, 0))?,
        };
        sync_dir(dir)?;
        let len = segment.metadata()?.len();
        let checkpoints = OpenOptions::new().append(true).open(dir.join(CHECKPOINTS))?;
        Ok(Self { dir: dir.into(), segment, len, limit, checkpoints, _lock: lock })
    }
}

impl Store for Files {
    fn room(&self) -> (u64, u64) {
        (self.len, self.limit)
    }

    fn begin(&mut self, tree: &Tree) -> io::Result<()> {
        self.segment = create(&segment_path(&self.dir, tree.size()))?;
        self.len = 0;
        sync_dir(&self.dir)
    }

    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        self.segment.write_all(frames)?;
        self.len += frames.len() as u64;
        self.segment.sync_data()
    }

    fn checkpoint(&mut self, _: u64, record: &str) -> io::Result<()> {
        self.checkpoints.write_all(record.as_bytes())?;
        self.checkpoints.sync_data()
    }
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
