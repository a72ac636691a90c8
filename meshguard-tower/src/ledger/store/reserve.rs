//! Room that is kept for the day on which the disk is full.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;

use super::create;

/// The file's name in a ledger's directory.
const FILE: &str = "reserve";
/// Bytes that are written at once.
const BLOCK: usize = 64 << 10;

/// A file that takes up room, until the ledger needs it.
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    pub(super) fn new(dir: &Path, bytes: u64) -> Self {
        Self { path: dir.join(FILE), bytes }
    }

    /// Takes the room up. Random bytes, for zeros take none on some file systems.
    pub(super) fn fill(&self) -> io::Result<()> {
        let there = fs::metadata(&self.path).map_or(0, |found| found.len());
        if there == self.bytes {
            return Ok(());
        }
        self.release()?;
        if self.bytes == 0 {
            return Ok(());
        }
        let filled = create(&self.path).and_then(|file| self.write(file));
        // Half a reserve would only take the room from others.
        filled.inspect_err(|_| _ = self.release())
    }

    fn write(&self, mut file: File) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        let mut left = self.bytes;
        while left > 0 {
            let len = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            rand::fill(&mut block[..len]).map_err(|_| io::Error::other("no randomness"))?;
            file.write_all(&block[..len])?;
            left -= len as u64;
        }
        file.sync_all()
    }

    /// Gives the room back; `false` where there was none.
    pub(super) fn release(&self) -> io::Result<bool> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
