//! Every byte flipped, every length cut, everything moved; and for each check an audit that is
//! blind to it, which must miss what the check is for.

mod attacks;
mod bytes;
mod written;

use super::super::frame::FRAME;
use super::*;

/// What a seeded defect can make an audit blind to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Crc,
    Root,
    Seq,
    Segments,
    Signature,
    Short,
    Earlier,
}

impl<'v> Audit<'v> {
    fn blind_to(mut self, check: Option<Check>) -> Self {
        self.blind = check;
        self
    }

    pub(super) fn frame<'b>(&self, bytes: &'b [u8]) -> Result<Option<Frame<'b>>, FrameError> {
        match read_frame(bytes) {
            Err(FrameError::Crc) if self.blind == Some(Check::Crc) => {
                let len = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
                let (entry, rest) = bytes[FRAME..].split_at(len);
                Ok(Some(Frame { entry, rest }))
            }
            read => read,
        }
    }
}
