//! The CPU time of one thread.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

/// Reads how long a thread has been on a CPU, from Linux's `/proc/…/schedstat`.
#[derive(Clone, Debug)]
pub struct ThreadCpu(PathBuf);

impl ThreadCpu {
    /// Of the thread that calls this.
    ///
    /// # Errors
    /// Where there is no `/proc`: only Linux has it.
    pub fn current() -> Result<Self, Error> {
        let thread = fs::read_link("/proc/thread-self")?;
        let path = Path::new("/proc").join(thread).join("schedstat");
        let cpu = Self(path);
        cpu.nanos().map(|_| cpu)
    }

    /// Nanoseconds on a CPU since the thread began; exact while the thread sleeps.
    ///
    /// # Errors
    /// Where the thread has ended.
    pub fn nanos(&self) -> Result<u64, Error> {
        let text = fs::read_to_string(&self.0)?;
        let first = text.split_whitespace().next().unwrap_or_default();
        Ok(first.parse()?)
    }
}
