//! Where a ledger's bytes lie.

mod files;
mod memory;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use meshguard_core::ledger::Tree;

pub(super) use files::{Files, list, segment_path};
pub(super) use memory::Memory;

/// The checkpoints' file in a ledger's directory.
pub(super) const CHECKPOINTS: &str = "checkpoints";

/// What the writer writes to. An error is final: the writer stops.
pub(super) trait Store: Send {
    /// Bytes in the newest segment, and at most.
    fn room(&self) -> (u64, u64);
    /// Begins a segment whose first entry is the tree's next.
    fn begin(&mut self, tree: &Tree) -> io::Result<()>;
    /// Appends frames to the newest segment, and comes back when they are durable.
    fn write(&mut self, frames: &[u8]) -> io::Result<()>;
    /// Appends a checkpoint of so many entries, and comes back when it is durable.
    fn checkpoint(&mut self, size: u64, record: &str) -> io::Result<()>;
}

/// Makes a file whole or not at all, for its owner alone. The directory is still to be flushed.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = create(&new)?;
    write(&mut file)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Makes a file that is not there, to be appended to, for its owner alone.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the names in a directory durable.
#[cfg(unix)]
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Elsewhere a directory cannot be flushed.
#[cfg(not(unix))]
pub(super) fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}
