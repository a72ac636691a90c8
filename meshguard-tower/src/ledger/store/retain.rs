//! How much of a ledger is kept on disk, and where the rest goes.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use meshguard_core::ledger::{Tree, next_record};

use super::{CHECKPOINTS, create_dir, frontier, replace, segment_path, sync_dir};
use crate::ledger::feed::Feed;
use crate::ledger::verify::size;

/// The segments of a ledger, the oldest first.
pub(in crate::ledger) struct Retained {
    /// Bytes of segments, at most; `None`: all are kept.
    pub(super) limit: Option<u64>,
    /// Where older ones go; `None`: nowhere.
    pub(super) archive: Option<PathBuf>,
    pub(super) segments: VecDeque<Segment>,
}

/// One segment.
pub(in crate::ledger) struct Segment {
    /// The tree of all before it.
    pub(in crate::ledger) before: Tree,
    pub(in crate::ledger) bytes: u64,
}

impl Retained {
    /// The first entry that is kept once there is no more than the limit; `None` where all is.
    /// Only what a checkpoint covers can go, and never the newest segment.
    pub(super) fn surplus(&self, signed: u64) -> Option<u64> {
        let limit = self.limit?;
        let mut bytes: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let mut first = None;
        for (oldest, next) in self.segments.iter().zip(self.segments.iter().skip(1)) {
            if bytes <= limit || next.before.size() > signed {
                break;
            }
            bytes -= oldest.bytes;
            first = Some(next.before.size());
        }
        first
    }

    /// Lets go of all before the entry `first`, with which a segment begins. The tree over them
    /// is written down before, so that whenever this is interrupted what is there verifies.
    pub(super) fn drop_before(&mut self, dir: &Path, first: u64) -> io::Result<()> {
        let Some(kept) = self.segments.iter().find(|s| s.before.size() == first) else {
            return Ok(());
        };
        frontier::write(dir, &kept.before)?;
        while let Some(oldest) = self.segments.front().filter(|s| s.before.size() < first) {
            self.dispose(dir, oldest.before.size())?;
            self.segments.pop_front();
        }
        self.trim(dir, first)?;
        sync_dir(dir)
    }

    /// Puts one segment into the archive, or removes it.
    pub(super) fn dispose(&self, dir: &Path, first_seq: u64) -> io::Result<()> {
        let from = segment_path(dir, first_seq);
        let gone = match &self.archive {
            Some(archive) => shift(&from, archive, &segment_path(archive, first_seq)),
            None => fs::remove_file(&from),
        };
        match gone {
            // It went before an error.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            gone => gone,
        }
    }

    /// Leaves out the checkpoints of less than is kept. Those go into the archive, too.
    fn trim(&self, dir: &Path, first: u64) -> io::Result<()> {
        let path = dir.join(CHECKPOINTS);
        if let Some(archive) = &self.archive {
            create_dir(archive)?;
            archive_records(&path, &archive.join(CHECKPOINTS), first)?;
        }
        replace(&path, |file| {
            each_record(&path, |record, size| match size >= first {
                true => file.write_all(record),
                false => Ok(()),
            })
        })
    }
}

/// Appends the checkpoints of less than `first` entries to those in the archive, unless they are
/// there already.
fn archive_records(from: &Path, to: &Path, first: u64) -> io::Result<()> {
    let mut archived = None;
    if fs::exists(to)? {
        each_record(to, |_, size| {
            archived = Some(size);
            Ok(())
        })?;
    }
    let mut file = private(OpenOptions::new().append(true).create(true)).open(to)?;
    each_record(from, |record, size| {
        let new = size < first && archived.is_none_or(|archived| archived < size);
        if new { file.write_all(record) } else { Ok(()) }
    })?;
    file.sync_all()
}

/// Calls `with` for each checkpoint of a file and for its size.
fn each_record(path: &Path, mut with: impl FnMut(&[u8], u64) -> io::Result<()>) -> io::Result<()> {
    let mut feed = Feed::new(File::open(path)?);
    loop {
        let len = feed.record()?;
        let record = &feed.bytes()[..len];
        if len == 0 {
            return Ok(());
        }
        let Some(size) = next_record(record).and_then(|_| size(record)) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no checkpoint"));
        };
        with(record, size)?;
        feed.consume(len);
    }
}

/// Moves a file, to another file system too; there it is whole or not at all.
fn shift(from: &Path, archive: &Path, to: &Path) -> io::Result<()> {
    create_dir(archive)?;
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let mut source = File::open(from)?;
            replace(to, |file| io::copy(&mut source, file).map(drop))?;
            sync_dir(archive)?;
            fs::remove_file(from)
        }
        moved => moved.and_then(|()| sync_dir(archive)),
    }
}

/// With these options a file is made for its owner alone.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
