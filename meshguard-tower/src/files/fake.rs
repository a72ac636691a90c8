//! A file system in memory, on which a test is the writer at every step.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::disk::{Disk, Mark, Stamp};

type Step = Box<dyn FnOnce(&Fake) + Send>;

/// Files, and what is yet to happen to them while somebody waits or reads.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, (Mark, Vec<u8>)>,
    inode: u64,
    /// Of the clock, in seconds.
    time: i64,
    /// At each wait the first of these.
    waits: VecDeque<Step>,
    /// Behind each reading the first of these.
    reads: VecDeque<Step>,
}

impl Fake {
    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Writes in place, as an editor or `cat >` does.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let inode = self.state().files.get(Path::new(path)).and_then(|(mark, _)| mark.file);
        self.put(path, text, inode.map(|file| file.inode), None);
    }

    /// Puts a whole file in its place, as `mv` does.
    pub(crate) fn rename(&self, path: &str, text: &str) {
        self.put(path, text, None, None);
    }

    /// Puts a whole volume in its place, as a swap of `..data` does.
    pub(crate) fn swap(&self, volume: &str, files: &[(&str, &str)]) {
        for (path, text) in files {
            self.put(path, text, None, Some(volume.into()));
        }
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state().files.remove(Path::new(path));
    }

    /// Sets the time of the last write to that of `other`, as `touch -r` does.
    pub(crate) fn dated_as(&self, path: &str, other: &str) {
        let mut state = self.state();
        let time = state.files[Path::new(other)].0.file.unwrap().modified;
        let file = state.files.get_mut(Path::new(path)).unwrap().0.file.as_mut();
        file.unwrap().modified = time;
    }

    /// A minute goes by.
    pub(crate) fn later(&self) {
        self.state().time += 60;
    }

    /// What happens at the next wait that nothing is planned for yet.
    pub(crate) fn at_wait(&self, step: impl FnOnce(&Self) + Send + 'static) {
        self.state().waits.push_back(Box::new(step));
    }

    /// What happens behind the next reading of a file that nothing is planned for yet.
    pub(crate) fn at_read(&self, step: impl FnOnce(&Self) + Send + 'static) {
        self.state().reads.push_back(Box::new(step));
    }

    /// Waits that are still planned for.
    pub(crate) fn waits(&self) -> usize {
        self.state().waits.len()
    }

    fn put(&self, path: &str, text: &str, inode: Option<u64>, volume: Option<PathBuf>) {
        let mut state = self.state();
        state.inode += 1;
        // No two writes are at the same time: the marks of a real system are no coarser than looks are apart.
        let time = (state.time, i64::try_from(state.inode).unwrap());
        let inode = inode.unwrap_or(state.inode);
        let length = text.len() as u64;
        let file = Some(Stamp { device: 1, inode, modified: time, changed: time, length });
        state.files.insert(path.into(), (Mark { file, volume }, text.into()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for Fake {
    fn mark(&self, path: &Path) -> Mark {
        self.state().files.get(path).map(|(mark, _)| mark.clone()).unwrap_or_default()
    }

    fn read(&self, path: &Path, _: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        let text = self.state().files.get(path).map(|(_, text)| text.clone());
        let step = self.state().reads.pop_front();
        if let Some(step) = step {
            step(self);
        }
        text.map(Zeroizing::new).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn now(&self) -> SystemTime {
        let seconds = u64::try_from(self.state().time).unwrap();
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn wait(&self, _: Duration) {
        let step = self.state().waits.pop_front();
        if let Some(step) = step {
            step(self);
        }
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}
