//! Length-prefixed messages in a body: `u8 flag | u32 length, big-endian | bytes`.

use bytes::{Buf, Bytes, BytesMut};

use super::body::MAX_HELD;

const PREFIX: usize = 5;

/// Collects pieces of a body into whole messages, each with its prefix.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    held: BytesMut,
    unframed: bool,
}

impl Splitter {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.held.extend_from_slice(piece);
    }

    /// The next whole message. `None` until it is there, and for ever after a message over 8 MiB.
    pub(super) fn message(&mut self) -> Option<Bytes> {
        let mut prefix = self.held.get(1..PREFIX)?;
        let length = PREFIX.saturating_add(prefix.get_u32() as usize);
        self.unframed |= length > MAX_HELD;
        if self.unframed || self.held.len() < length {
            return None;
        }
        Some(self.held.split_to(length).freeze())
    }

    /// What is held that is no whole message: to be passed on as it is, at the end of the body or
    /// once [`Splitter::is_unframed`].
    pub(super) fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// Whether a message over 8 MiB came, so that no more can be told apart.
    pub(super) fn is_unframed(&self) -> bool {
        self.unframed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let body = b"\0\0\0\0\x02hi\x01\0\0\0\0\0\0\0\0\x01!tail";
        for step in 1..body.len() {
            let mut splitter = Splitter::default();
            let mut got = Vec::new();
            for piece in body.chunks(step) {
                splitter.push(piece);
                got.extend(std::iter::from_fn(|| splitter.message()));
            }
            assert_eq!(got, [&body[..7], &body[7..12], &body[12..18]], "in steps of {step}");
            assert_eq!(splitter.rest(), &b"tail"[..]);
        }
    }

    #[test]
    fn a_message_beyond_the_limit_is_not_awaited() {
        let mut splitter = Splitter::default();
        let most = u32::try_from(MAX_HELD - PREFIX).unwrap();
        splitter.push(&[0]);
        splitter.push(&most.to_be_bytes());
        assert!(splitter.message().is_none() && !splitter.is_unframed());
        let mut splitter = Splitter::default();
        splitter.push(&[0]);
        splitter.push(&(most + 1).to_be_bytes());
        assert!(splitter.message().is_none() && splitter.is_unframed());
        assert_eq!(splitter.rest().len(), PREFIX);
    }
}
