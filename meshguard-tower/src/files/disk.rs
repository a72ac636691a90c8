//! The file system, as far as files are followed in it.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

/// The link that a volume is swapped by.
const DATA: &str = "..data";

/// What is asked of a file system, and of the time.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    fn mark(&self, path: &Path) -> Mark;
    /// All of a file, unless it has more bytes than `most`.
    fn read(&self, path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>>;
    fn now(&self) -> SystemTime;
    /// Waits, blocking, between two looks.
    fn wait(&self, time: Duration);
}

/// Tells one state of a file from another, through symbolic links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// `None`: there is none, or it cannot be looked at.
    pub(super) file: Option<Stamp>,
    /// The target of the `..data` link by which the file is reached, if it is.
    pub(super) volume: Option<PathBuf>,
}

/// Changes with each write to a file, and where another one takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Times since 1970, in seconds and nanoseconds.
    pub(super) modified: (i64, i64),
    pub(super) changed: (i64, i64),
    pub(super) length: u64,
}

impl Mark {
    /// Whether the file may have changed since `time`. Where clocks have been set, it may.
    pub(super) fn is_since(&self, time: SystemTime) -> bool {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let bound = (seconds, i64::from(since.subsec_nanos()));
        self.file.is_some_and(|file| file.modified.max(file.changed) >= bound)
    }
}

/// The system's own.
#[derive(Debug)]
pub(crate) struct System;

impl System {
    pub(crate) fn shared() -> Arc<dyn Disk> {
        Arc::new(Self)
    }
}

impl Disk for System {
    fn mark(&self, path: &Path) -> Mark {
        // The link first: one that is swapped in between is seen at the next look.
        let volume = volume(path);
        Mark { file: fs::metadata(path).ok().map(|found| stamp(&found)), volume }
    }

    fn read(&self, path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, "too large a file");
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        if length > most {
            return Err(too_large());
        }
        // With room for all of it, so that a secret is not left behind where the bytes were before.
        let room = usize::try_from(length).unwrap_or(0).saturating_add(1);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(read).is_ok_and(|read| read <= most) {
            Ok(bytes)
        } else {
            Err(too_large())
        }
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

#[cfg(unix)]
fn stamp(found: &Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let (device, inode) = (found.dev(), found.ino());
    if !found.is_file() {
        // The times of a pipe change as it is written, and it can be read but once.
        return Stamp { device, inode, modified: (0, 0), changed: (0, 0), length: 0 };
    }
    Stamp {
        device,
        inode,
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
        length: found.len(),
    }
}

#[cfg(not(unix))]
fn stamp(found: &Metadata) -> Stamp {
    let time = |time: io::Result<SystemTime>| {
        let since = time.ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let since = since.unwrap_or_default();
        (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), i64::from(since.subsec_nanos()))
    };
    let (modified, changed) = (time(found.modified()), time(found.created()));
    Stamp { device: 0, inode: 0, modified, changed, length: found.len() }
}

/// The target of the nearest `..data` link above `path`, where the file is reached through it.
fn volume(path: &Path) -> Option<PathBuf> {
    let (link, target) = path.ancestors().skip(1).find_map(|dir| {
        let link = dir.join(DATA);
        fs::read_link(&link).ok().map(|target| (link, target))
    })?;
    let inside = fs::canonicalize(link).ok()?;
    fs::canonicalize(path).ok()?.starts_with(inside).then_some(target)
}
