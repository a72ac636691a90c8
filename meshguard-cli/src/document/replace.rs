//! A file replaced as a whole.

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Puts a text in a file's place by a rename, so that whoever reads the file meets the old text or the new one,
/// never a part. The new file has the old one's mode and, where that is permitted, owner; a symbolic link goes on
/// pointing to it. Written in place are pipes and devices, and files whose directory takes no other file.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = fs::metadata(&path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return fs::write(&path, text);
    }
    let Some(beside) = beside(&path) else { return fs::write(&path, text) };
    let replaced = write(&beside, text, old.as_ref()).and_then(|()| fs::rename(&beside, &path));
    let Err(error) = replaced else { return Ok(()) };
    // It was made, or not: what matters is why.
    let _ = fs::remove_file(&beside);
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::ResourceBusy
        | io::ErrorKind::CrossesDevices
            if old.is_some() =>
        {
            fs::write(&path, text)
        }
        _ => Err(error),
    }
}

/// A name in the same directory, which no other process of this command has.
fn beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    Some(path.with_file_name(format!(".{name}.{}.new", std::process::id())))
}

fn write(path: &Path, text: &str, old: Option<&Metadata>) -> io::Result<()> {
    let mut file = File::create(path)?;
    if let Some(old) = old {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt as _, fchown};
            // Only root may give a file away.
            let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
        }
        file.set_permissions(old.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
