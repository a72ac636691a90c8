//! Files as the audit wants them: a window of bytes that moves on.

use std::io::{self, Read};

use meshguard_core::ledger::{FRAME, MAX_ENTRY, RECORD_LIMIT, next_record};

/// Bytes in the window. A frame fits into it.
const WINDOW: usize = 256 << 10;
const _: () = assert!(WINDOW >= FRAME + MAX_ENTRY && WINDOW > RECORD_LIMIT);

/// A window over what is read.
pub(super) struct Feed<R> {
    from: R,
    window: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: Read> Feed<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, window: vec![0; WINDOW].into(), start: 0, end: 0 }
    }

    /// What is in the window.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.window[self.start..self.end]
    }

    /// Moves the window on.
    pub(super) fn consume(&mut self, len: usize) {
        self.start += len;
    }

    /// Reads more into the window; `false` at the end.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        self.window.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        loop {
            return match self.from.read(&mut self.window[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
                Ok(read) => {
                    self.end += read;
                    Ok(read > 0)
                }
            };
        }
    }

    /// The length of the next checkpoint's record, which is then in the window; of the rest,
    /// where that is none; 0 at the end.
    pub(super) fn record(&mut self) -> io::Result<usize> {
        loop {
            let len = next_record(self.bytes());
            if let Some(len) = len {
                return Ok(len);
            }
            let long = self.bytes().len() > RECORD_LIMIT;
            if long || !self.fill()? {
                return Ok(self.bytes().len());
            }
        }
    }
}
