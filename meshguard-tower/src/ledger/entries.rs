//! A ledger's entries, read again.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use meshguard_core::ledger::{EntryBuf, read_frame};

use super::error::{VerifyError, Why};
use super::feed::Feed;
use super::store::{Memory, frontier, list, segment_path};

/// The entries of a ledger, the oldest first, up to what was durable when this was made. Only
/// checksums are looked at here; [`verify`](super::verify) proves more. Ends at the first error.
pub struct Entries {
    segments: VecDeque<Segment>,
    current: Option<Current>,
    /// Entries from this seq on are not shown.
    end: u64,
}

enum Segment {
    File(PathBuf),
    Frames(Vec<u8>),
}

struct Current {
    path: PathBuf,
    feed: Feed<Box<dyn Read + Send>>,
    offset: u64,
}

/// The entries of the ledger in a directory. Whoever writes it may go on.
///
/// # Errors
/// The directory cannot be read, or a segment has no segment's name.
pub fn read(dir: &Path) -> Result<Entries, VerifyError> {
    Entries::of(dir, u64::MAX)
}

impl Entries {
    pub(super) fn of(dir: &Path, end: u64) -> Result<Self, VerifyError> {
        let first = frontier::read(dir)?.size();
        let kept = list(dir)?.into_iter().filter(|seq| *seq >= first);
        let segments = kept.map(|seq| Segment::File(segment_path(dir, seq)));
        Ok(Self { segments: segments.collect(), current: None, end })
    }

    pub(super) fn kept(memory: &Memory) -> Self {
        let kept = memory.kept();
        let segments = kept.segments.iter().map(|s| Segment::Frames(s.frames.clone()));
        Self { segments: segments.collect(), current: None, end: u64::MAX }
    }

    fn read(&mut self) -> Result<Option<EntryBuf>, VerifyError> {
        loop {
            if let Some(current) = &mut self.current {
                match current.read()? {
                    Some(entry) if entry.stamp().seq >= self.end => return Ok(None),
                    Some(entry) => return Ok(Some(entry)),
                    None => self.current = None,
                }
            }
            let Some(segment) = self.segments.pop_front() else { return Ok(None) };
            self.current = Some(Current::open(segment)?);
        }
    }
}

impl Iterator for Entries {
    type Item = Result<EntryBuf, VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read().transpose();
        if !matches!(read, Some(Ok(_))) {
            self.segments.clear();
            self.current = None;
        }
        read
    }
}

impl Current {
    fn open(segment: Segment) -> Result<Self, VerifyError> {
        let (path, from): (_, Box<dyn Read + Send>) = match segment {
            Segment::Frames(frames) => (PathBuf::new(), Box::new(Cursor::new(frames))),
            Segment::File(path) => {
                let file = File::open(&path).map_err(VerifyError::io(&path))?;
                (path, Box::new(file))
            }
        };
        Ok(Self { path, feed: Feed::new(from), offset: 0 })
    }

    /// The next entry; `None` at the segment's end.
    fn read(&mut self) -> Result<Option<EntryBuf>, VerifyError> {
        loop {
            let frame = read_frame(self.feed.bytes()).map_err(|e| self.no_entry(&e))?;
            if let Some(frame) = frame {
                let len = self.feed.bytes().len() - frame.rest.len();
                let entry = EntryBuf::new(frame.entry.into()).map_err(|e| self.no_entry(&e))?;
                self.feed.consume(len);
                self.offset += len as u64;
                return Ok(Some(entry));
            }
            if !self.feed.fill().map_err(VerifyError::io(&self.path))? {
                return match self.feed.bytes().len() {
                    0 => Ok(None),
                    _ => Err(self.no_entry(&"the file ends inside a frame")),
                };
            }
        }
    }

    fn no_entry(&self, why: &dyn ToString) -> VerifyError {
        let (path, offset) = (self.path.clone(), self.offset);
        VerifyError(Why::Entry { path, offset, why: why.to_string() })
    }
}
