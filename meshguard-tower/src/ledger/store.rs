//! Where a ledger's bytes lie.

mod files;
pub(super) mod frontier;
mod memory;
mod reserve;
mod retain;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

use meshguard_core::ledger::{Dropped, Tree};

pub(super) use files::{Files, list, segment_path};
pub(super) use memory::Memory;
pub(super) use retain::Segment;

/// The checkpoints' file in a ledger's directory.
pub(super) const CHECKPOINTS: &str = "checkpoints";

/// What the writer writes to. After an error nothing more is written to what failed: only what
/// [`reopen`](Self::reopen) opens is.
pub(super) trait Store: Send {
    /// Bytes in the newest segment, and at most.
    fn room(&self) -> (u64, u64);
    /// Begins a segment whose first entry is the tree's next.
    fn begin(&mut self, tree: &Tree) -> io::Result<()>;
    /// Appends frames to the newest segment, and comes back when they are durable.
    fn write(&mut self, frames: &[u8]) -> io::Result<()>;
    /// Appends a checkpoint of so many entries, and comes back when it is durable.
    fn checkpoint(&mut self, size: u64, record: &str) -> io::Result<()>;
    /// Opens again what failed, cut back to what was durable before. What was not must be written
    /// once more: after a failed flush nobody knows what of it is there.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
    /// Gives back the room that is kept for the last entries of a full disk; `false` where there
    /// is none.
    fn release(&mut self) -> io::Result<bool> {
        Ok(false)
    }
    /// Keeps that room again.
    fn reserve(&mut self) -> io::Result<()> {
        Ok(())
    }
    /// Where what is kept has to begin, so that there is no more of it than there may be; `None`
    /// where all can be kept. Nothing goes that the checkpoint of `signed` entries does not cover.
    fn surplus(&self, _signed: u64) -> Option<Dropped> {
        None
    }
    /// Lets go of what is before.
    fn drop_before(&mut self, _first_kept: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a directory that only its owner can read, and those above it, durably.
pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
    let Some(above) = dir.parent().filter(|_| !dir.is_dir()) else { return Ok(()) };
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    create_above(above)?;
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    make(&builder, dir, above)
}

/// Makes the directories above, as everybody makes them.
fn create_above(dir: &Path) -> io::Result<()> {
    let Some(above) = dir.parent().filter(|_| !dir.is_dir()) else { return Ok(()) };
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    create_above(above)?;
    make(&DirBuilder::new(), dir, above)
}

fn make(builder: &DirBuilder, dir: &Path, above: &Path) -> io::Result<()> {
    match builder.create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_dir(above),
    }
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
