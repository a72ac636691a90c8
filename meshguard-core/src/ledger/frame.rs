//! Entries one after the other in a segment: `u32 length | u32 CRC-32C | entry`, big-endian.
//!
//! The CRC (Castagnoli, RFC 3720 §12.1) tells at once where a disk or a crash damaged a file;
//! against people there is the tree.

use std::fmt;

use super::entry::{Entry, Stamp};

/// Bytes before each entry.
pub const FRAME: usize = 8;
/// Bytes of the shortest entry that could be: version, kind, stamp.
pub const MIN_ENTRY: usize = 26;
/// Bytes of an entry, at most; no kind of entry reaches it.
pub const MAX_ENTRY: usize = 1 << 16;

/// Bytes that are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameError {
    /// The length is below [`MIN_ENTRY`] or above [`MAX_ENTRY`].
    Length(u32),
    /// The CRC is another.
    Crc,
}

/// A whole frame, with the right checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The entry in it.
    pub entry: &'a [u8],
    /// What follows the frame.
    pub rest: &'a [u8],
}

/// Appends a frame with one entry. Allocates nothing where `out` has room.
pub fn put_frame(entry: &Entry<'_>, stamp: &Stamp, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[0; FRAME]);
    entry.encode(stamp, out);
    let body = &out[at + FRAME..];
    // Texts are bounded, so an entry is below MAX_ENTRY.
    let (len, crc) = (body.len() as u32, crc32c::crc32c(body));
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    out[at + 4..at + FRAME].copy_from_slice(&crc.to_be_bytes());
}

/// The frame that `bytes` begin with; `None` where they are not all of one.
///
/// # Errors
/// A length that no frame has, which shows with its first 4 bytes, or another CRC.
pub fn read_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let len = u32::from_be_bytes(*len);
    let size = len as usize;
    if !(MIN_ENTRY..=MAX_ENTRY).contains(&size) {
        return Err(FrameError::Length(len));
    }
    let Some((crc, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let Some((entry, rest)) = rest.split_at_checked(size) else { return Ok(None) };
    if crc32c::crc32c(entry) != u32::from_be_bytes(*crc) {
        return Err(FrameError::Crc);
    }
    Ok(Some(Frame { entry, rest }))
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(f, "no frame is {len} bytes long"),
            Self::Crc => f.write_str("the checksum is another"),
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{MAX_TEXT, Received, Sent};
    use crate::{access::Evidence, ledger::End};

    fn texts(text: &str) -> [Entry<'_>; 2] {
        let some = Some(text);
        let received = Received {
            from: some,
            via: some,
            route: some,
            rule: some,
            exchange: None,
            status: Some(200),
            evidence: Evidence::None,
            end: End::Plain,
            request_bytes: 0,
            response_bytes: 0,
            latency: std::time::Duration::ZERO,
            digest: Some([0; 32]),
            failure: some,
        };
        let sent = Sent {
            to: text,
            via: some,
            instance: some,
            method: some,
            route: some,
            exchange: None,
            outcome: crate::delivery::Outcome::Delivered,
            status: None,
            evidence: Evidence::None,
            request_bytes: 0,
            response_bytes: 0,
            latency: std::time::Duration::ZERO,
            digest: Some([0; 32]),
        };
        [Entry::Received(received), Entry::Sent(sent)]
    }

    #[test]
    fn the_longest_entries_fit_into_a_frame() {
        let text = "ä".repeat(MAX_TEXT);
        for entry in texts(&text) {
            let mut out = Vec::new();
            put_frame(&entry, &Stamp::default(), &mut out);
            let frame = read_frame(&out).unwrap().unwrap();
            assert!(frame.entry.len() > 5 * (MAX_TEXT - 4) && frame.rest.is_empty());
            Entry::decode(frame.entry).unwrap();
        }
    }

    #[test]
    fn a_frame_of_zeros_is_none() {
        // What a crash may leave behind where a file had grown before its bytes were written.
        assert_eq!(read_frame(&[0; 64]), Err(FrameError::Length(0)));
    }

    #[test]
    fn part_of_a_frame_is_not_judged_yet() {
        let mut out = Vec::new();
        put_frame(&texts("a")[0], &Stamp::default(), &mut out);
        (0..out.len()).for_each(|end| assert_eq!(read_frame(&out[..end]), Ok(None), "{end}"));
        out[4] ^= 1;
        assert_eq!(read_frame(&out), Err(FrameError::Crc));
    }
}
