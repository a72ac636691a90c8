//! Files that belong together, looked at again and again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Disk, Mark, PATIENCE, PAUSE, QUIET, RESTLESS};

/// A file's bytes, which are wiped, or why it cannot be read.
pub(crate) type Text = io::Result<Zeroizing<Vec<u8>>>;

/// Files that are read together, or one alone.
#[derive(Debug)]
pub(crate) struct Watched {
    paths: Vec<PathBuf>,
    /// The most bytes of one.
    most: u64,
    disk: Arc<dyn Disk>,
    /// At the last look.
    seen: Option<Vec<Mark>>,
    /// When they were read.
    read: Option<Vec<Mark>>,
    /// Looks in a row at which they were other than at the look before.
    moving: u32,
}

/// What a look has found.
#[derive(Debug)]
pub(crate) enum Look {
    /// What was read last.
    Same,
    /// They are being written.
    Moving,
    /// They have been written all the time, for long. Told once.
    Restless(Unsettled),
    /// They are whole: in the order of their paths.
    Read(Vec<Text>),
}

/// A file is being written: its path.
#[derive(Debug)]
pub(crate) struct Unsettled(pub(crate) PathBuf);

impl Look {
    /// What was read, or that nothing can be; `None` where there is nothing new.
    pub(crate) fn news(self) -> Option<Result<Vec<Text>, Unsettled>> {
        match self {
            Self::Same | Self::Moving => None,
            Self::Restless(unsettled) => Some(Err(unsettled)),
            Self::Read(texts) => Some(Ok(texts)),
        }
    }
}

impl Watched {
    /// Watches `paths`, of at most `most` bytes each.
    pub(crate) fn new(disk: Arc<dyn Disk>, paths: Vec<PathBuf>, most: u64) -> Self {
        Self { paths, most, disk, seen: None, read: None, moving: 0 }
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// Looks once. The next look should come [`MIN_EVERY`](super::MIN_EVERY) later, or after that.
    pub(crate) fn look(&mut self) -> Look {
        let found = self.marks();
        if self.read.as_ref() == Some(&found) {
            (self.seen, self.moving) = (Some(found), 0);
            return Look::Same;
        }
        let still = self.seen.as_ref() == Some(&found)
            || self.is_swapped(&found)
            || (self.read.is_none() && self.seen.is_none() && self.is_quiet(&found));
        let moved = self.seen.replace(found.clone()).unwrap_or_default();
        if let Some(texts) = still.then(|| self.take(&found)).flatten() {
            self.moving = 0;
            return Look::Read(texts);
        }
        self.moving = self.moving.saturating_add(1);
        if self.moving == RESTLESS {
            Look::Restless(self.differs(&moved, &found))
        } else {
            Look::Moving
        }
    }

    /// Reads them now, after two looks, between which it waits, blocking, where one has changed within
    /// [`QUIET`].
    pub(crate) fn now(&mut self) -> Result<Vec<Text>, Unsettled> {
        let first = self.marks();
        let wait = !self.is_quiet(&first);
        if wait {
            self.disk.wait(PAUSE);
        }
        self.settle(&first, wait)
    }

    /// As [`now`](Self::now) of several, each for itself; waits once for all.
    pub(crate) fn all_now(groups: &mut [&mut Self]) -> Vec<Result<Vec<Text>, Unsettled>> {
        let first: Vec<_> = groups.iter().map(|group| group.marks()).collect();
        let mut moving = groups.iter().zip(&first).filter(|(group, marks)| !group.is_quiet(marks));
        let waited = moving.next().map(|(group, _)| group.disk.wait(PAUSE)).is_some();
        groups.iter_mut().zip(&first).map(|(group, first)| group.settle(first, waited)).collect()
    }

    /// Reads them for the first time, and waits, blocking, while they are being written.
    pub(crate) fn first(&mut self) -> Result<Vec<Text>, Unsettled> {
        let mut tries = 1;
        loop {
            match self.now() {
                Err(_) if tries < PATIENCE => tries += 1,
                read => return read,
            }
        }
    }

    /// Has the next looks read them, whether they change or not.
    pub(crate) fn forget(&mut self) {
        let read = self.read.take();
        self.seen = self.seen.take().or(read);
    }

    /// Reads them, unless they are other than at a `first` look; that need not be asked again where
    /// nobody has waited since.
    fn settle(&mut self, first: &[Mark], waited: bool) -> Result<Vec<Text>, Unsettled> {
        if waited {
            let again = self.marks();
            if again != first {
                return Err(self.differs(first, &again));
            }
        }
        self.take(first).ok_or_else(|| self.differs(first, &self.marks()))
    }

    /// Reads them; `None` where they have changed meanwhile.
    fn take(&mut self, found: &[Mark]) -> Option<Vec<Text>> {
        let texts = self.paths.iter().map(|path| self.disk.read(path, self.most)).collect();
        if self.marks() != found {
            return None;
        }
        self.read = Some(found.to_vec());
        Some(texts)
    }

    fn marks(&self) -> Vec<Mark> {
        self.paths.iter().map(|path| self.disk.mark(path)).collect()
    }

    /// Whether all that has changed since it was read came with a volume that was swapped.
    fn is_swapped(&self, found: &[Mark]) -> bool {
        let swapped = |(was, is): (&Mark, &Mark)| {
            was == is || (is.volume.is_some() && was.volume.is_some() && is.volume != was.volume)
        };
        self.read.as_ref().is_some_and(|read| read.iter().zip(found).all(swapped))
    }

    fn is_quiet(&self, found: &[Mark]) -> bool {
        let since = self.disk.now().checked_sub(QUIET);
        since.is_some_and(|since| !found.iter().any(|mark| mark.is_since(since)))
    }

    /// The first file of which the marks differ.
    fn differs(&self, was: &[Mark], is: &[Mark]) -> Unsettled {
        let at = (0..self.paths.len()).find(|at| was.get(*at) != is.get(*at)).unwrap_or(0);
        Unsettled(self.paths.get(at).map_or(Path::new(""), PathBuf::as_path).to_owned())
    }
}
