//! Credentials as files, in a directory that goes away with the value.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use meshguard_core::SpiffeId;
use meshguard_tower::dev::{DevCa, DevCaError, DevSvid};
use tempfile::TempDir;

/// An SVID, its key and its trust bundle as PEM files in a temporary directory. Dropping the
/// value removes them.
#[derive(Debug)]
#[non_exhaustive]
pub struct SvidFiles {
    /// The directory, with nothing else in it.
    pub dir: TempDir,
    /// The certificate chain, `svid.pem`.
    pub svid: PathBuf,
    /// The private key, `svid.key`, readable by its owner only.
    pub key: PathBuf,
    /// The trust bundle, `bundle.pem`.
    pub bundle: PathBuf,
    /// The revocation list, `crl.pem`, once [`SvidFiles::write_crl`] made it.
    pub crl: Option<PathBuf>,
}

impl SvidFiles {
    /// Puts another certificate and key in the same places, as a rotation does: each file is
    /// replaced whole by a rename, so that no reader meets half a file.
    ///
    /// # Errors
    /// [`SvidFilesError::Write`] with the file at fault.
    pub fn rotate(&self, svid: &DevSvid) -> Result<(), SvidFilesError> {
        replace(&self.key, svid.key_pem())?;
        replace(&self.svid, svid.cert_pem())
    }

    /// Writes `crl.pem`, a list that names `revoked`; replaces an earlier one whole.
    ///
    /// # Errors
    /// [`SvidFilesError::Ca`] where the list cannot be made, [`SvidFilesError::Write`] where it
    /// cannot be written.
    pub fn write_crl(&mut self, ca: &DevCa, revoked: &[&DevSvid]) -> Result<(), SvidFilesError> {
        self.write_list(&ca.crl_pem(revoked)?)
    }

    /// As [`write_crl`](Self::write_crl), of lists that were made already, as those of
    /// [intermediate authorities](DevCa::crl_until).
    ///
    /// # Errors
    /// [`SvidFilesError::Write`] where the file cannot be written.
    pub fn write_list(&mut self, text: &str) -> Result<(), SvidFilesError> {
        let path = self.dir.path().join("crl.pem");
        replace(&path, text)?;
        self.crl = Some(path);
        Ok(())
    }
}

/// Issues an SVID for `id` and writes it as files.
///
/// # Errors
/// [`SvidFilesError::Ca`] where the SVID cannot be issued, otherwise as [`write_svid_files`].
pub fn svid_files(ca: &DevCa, id: &SpiffeId) -> Result<SvidFiles, SvidFilesError> {
    write_svid_files(ca, &ca.svid(id)?)
}

/// Writes `svid`, which may be an odd one, and the bundle of `ca` as files.
///
/// # Errors
/// [`SvidFilesError::Directory`] and [`SvidFilesError::Write`] where the file system refuses.
pub fn write_svid_files(ca: &DevCa, svid: &DevSvid) -> Result<SvidFiles, SvidFilesError> {
    let dir = TempDir::new().map_err(SvidFilesError::Directory)?;
    let at = |name: &str| dir.path().join(name);
    let (svid_path, key, bundle) = (at("svid.pem"), at("svid.key"), at("bundle.pem"));
    replace(&svid_path, svid.cert_pem())?;
    replace(&key, svid.key_pem())?;
    replace(&bundle, ca.bundle_pem())?;
    Ok(SvidFiles { dir, svid: svid_path, key, bundle, crl: None })
}

/// Why credentials could not be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum SvidFilesError {
    /// The authority refused.
    Ca(DevCaError),
    /// No temporary directory could be made.
    Directory(io::Error),
    /// This file could not be written.
    Write(PathBuf, io::Error),
}

impl fmt::Display for SvidFilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ca(_) => f.write_str("the authority could not issue"),
            Self::Directory(_) => f.write_str("no temporary directory"),
            Self::Write(path, _) => write!(f, "cannot write {}", path.display()),
        }
    }
}

impl std::error::Error for SvidFilesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ca(e) => Some(e),
            Self::Directory(e) | Self::Write(_, e) => Some(e),
        }
    }
}

impl From<DevCaError> for SvidFilesError {
    fn from(error: DevCaError) -> Self {
        Self::Ca(error)
    }
}

/// Writes beside and renames. The temporary file is readable by its owner only, on Unix.
fn replace(path: &Path, text: &str) -> Result<(), SvidFilesError> {
    use std::io::Write;
    let write = || {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|e| SvidFilesError::Write(path.to_owned(), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/orders");

    #[test]
    fn the_files_hold_what_was_issued_and_go_away() {
        let ca = DevCa::new("shop.example").unwrap();
        let svid = ca.svid(ORDERS).unwrap();
        let files = write_svid_files(&ca, &svid).unwrap();
        let read = |p: &PathBuf| std::fs::read_to_string(p).unwrap();
        assert_eq!(read(&files.svid), svid.cert_pem());
        assert_eq!(read(&files.key), svid.key_pem());
        assert_eq!(read(&files.bundle), ca.bundle_pem());
        let dir = files.dir.path().to_owned();
        drop(files);
        assert!(!dir.exists());
    }

    #[test]
    fn rotation_and_revocation_replace_the_files() {
        let ca = DevCa::new("shop.example").unwrap();
        let first = ca.svid(ORDERS).unwrap();
        let mut files = write_svid_files(&ca, &first).unwrap();
        let next = ca.svid(ORDERS).unwrap();
        files.rotate(&next).unwrap();
        assert_eq!(std::fs::read_to_string(&files.svid).unwrap(), next.cert_pem());
        assert_eq!(std::fs::read_to_string(&files.key).unwrap(), next.key_pem());
        files.write_crl(&ca, &[&first]).unwrap();
        let crl = std::fs::read_to_string(files.crl.as_ref().unwrap()).unwrap();
        assert!(crl.contains("X509 CRL"));
        assert_eq!(std::fs::read_dir(files.dir.path()).unwrap().count(), 4);
    }
}
