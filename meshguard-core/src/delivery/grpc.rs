//! gRPC's framing of messages (gRPC over HTTP/2, "Length-Prefixed-Message"): records carry whole
//! messages, so that message boundaries are verified.

use bytes::{Buf, Bytes, BytesMut};

use super::record::RecordErrorKind;
use super::{Exceeded, RecordError};

const HEADER: usize = 5;

/// Whether a content type is gRPC's: `application/grpc`, with a message format behind `+` or
/// without, and with parameters or without. Media types are compared without regard to case (RFC
/// 9110 §8.3.1). gRPC-Web is framed otherwise, and is none.
#[must_use]
pub fn is_grpc(content_type: &[u8]) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    content_type.split_at_checked(TYPE.len()).is_some_and(|(kind, rest)| {
        let ends = rest.first() == Some(&b'+')
            || matches!(rest.trim_ascii_start().first(), None | Some(b';'));
        kind.eq_ignore_ascii_case(TYPE) && ends
    })
}

/// The five bytes before a message.
#[must_use]
pub fn prefix(flag: u8, length: usize) -> [u8; HEADER] {
    let l = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [flag, l[0], l[1], l[2], l[3]]
}

/// Whole messages that lie one behind the other, each behind its prefix.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    pub(super) frames: &'a [u8],
    pub(super) count: u64,
}

impl<'a> Run<'a> {
    /// The messages at the beginning of `bytes` that are whole, none above `limit`, in at most
    /// `most` bytes with their prefixes.
    pub(super) fn of(bytes: &'a [u8], limit: usize, most: usize) -> Self {
        let (mut end, mut count) = (0, 0);
        while let Some(length) = message(&bytes[end..], limit) {
            if end + length > most {
                break;
            }
            end += length;
            count += 1;
        }
        Self { frames: &bytes[..end], count }
    }

    /// Whether there are two messages at least.
    #[must_use]
    pub fn is_several(&self) -> bool {
        self.count > 1
    }

    /// What is to be taken from the splitter.
    #[must_use]
    pub fn taken(&self) -> Taken {
        Taken { bytes: self.frames.len(), count: self.count }
    }

    /// Bytes of the messages themselves.
    pub(super) fn len(&self) -> u64 {
        self.taken().len()
    }
}

/// The size of a [`Run`].
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    bytes: usize,
    count: u64,
}

impl Taken {
    fn len(self) -> u64 {
        self.bytes as u64 - HEADER as u64 * self.count
    }
}

/// The length of the message at the beginning, with its prefix, where it is whole and allowed.
fn message(bytes: &[u8], limit: usize) -> Option<usize> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let length = message_length(header);
    (header[0] <= 1 && length <= limit && length <= rest.len()).then_some(HEADER + length)
}

/// The length that a prefix states.
pub(super) fn message_length(header: &[u8; HEADER]) -> usize {
    header[1..].iter().fold(0, |n, x| n << 8 | usize::from(*x))
}

/// Cuts a gRPC body into its messages, however the application chunked it.
pub struct Splitter {
    limit: usize,
    whole: Bytes,
    parts: BytesMut,
    count: (u64, u64),
}

impl Splitter {
    /// A splitter that refuses messages above `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, whole: Bytes::new(), parts: BytesMut::new(), count: (0, 0) }
    }

    /// Takes bytes of the body. Poll until there is nothing before pushing again.
    pub fn push(&mut self, bytes: Bytes) {
        if self.whole.is_empty() {
            self.whole = bytes;
        } else {
            let mut both = BytesMut::from(std::mem::take(&mut self.whole));
            both.extend_from_slice(&bytes);
            self.whole = both.freeze();
        }
    }

    /// Forgets what is not polled yet: no more comes.
    pub fn clear(&mut self) {
        self.whole = Bytes::new();
        self.parts.clear();
    }

    /// The next message and its flag byte, where it lies whole in what was pushed last: to be
    /// looked at there, and taken with [`skip`](Self::skip).
    #[must_use]
    pub fn peek(&self) -> Option<(u8, &[u8])> {
        if !self.parts.is_empty() {
            return None;
        }
        let (header, rest) = self.whole.split_first_chunk::<HEADER>()?;
        let message = rest.get(..self.length(header).ok()?)?;
        Some((header[0], message))
    }

    /// Takes the message that [`peek`](Self::peek) shows, whose length is `length`.
    pub fn skip(&mut self, length: usize) {
        self.whole.advance(HEADER + length);
        self.count = (self.count.0 + 1, self.count.1 + length as u64);
    }

    /// The messages that lie whole in what was pushed last, in at most `most` bytes with their
    /// prefixes: to be looked at there, and taken with [`skip_run`](Self::skip_run).
    #[must_use]
    pub fn run(&self, most: usize) -> Run<'_> {
        let bytes = if self.parts.is_empty() { &self.whole[..] } else { &[] };
        Run::of(bytes, self.limit, most)
    }

    /// Takes the messages that [`run`](Self::run) has shown just now.
    pub fn skip_run(&mut self, taken: Taken) {
        self.whole.advance(taken.bytes);
        self.count = (self.count.0 + taken.count, self.count.1 + taken.len());
    }

    fn length(&self, header: &[u8; HEADER]) -> Result<usize, RecordError> {
        let length = message_length(header);
        if header[0] > 1 {
            return Err(self.error());
        }
        if length > self.limit {
            let (size, limit, name) = (length as u64, self.limit as u64, "message_limit");
            let error = RecordError::new(RecordErrorKind::TooLarge, self.count);
            return Err(error.above(Some(Exceeded { size, limit, name })));
        }
        Ok(length)
    }

    /// The next whole message and its flag byte.
    ///
    /// # Errors
    /// `TooLarge` where one is above the limit, `Message` where its flag byte is neither 0 nor 1.
    pub fn poll(&mut self) -> Result<Option<(u8, Bytes)>, RecordError> {
        self.gather(HEADER);
        let Some(header) = self.parts.first_chunk::<HEADER>().copied() else { return Ok(None) };
        let length = self.length(&header)?;
        let message = if self.parts.len() == HEADER && self.whole.len() >= length {
            self.parts.clear();
            self.whole.split_to(length)
        } else {
            self.gather(HEADER + length);
            if self.parts.len() < HEADER + length {
                return Ok(None);
            }
            self.parts.advance(HEADER);
            self.parts.split().freeze()
        };
        self.count = (self.count.0 + 1, self.count.1 + length as u64);
        Ok(Some((header[0], message)))
    }

    /// To be called at the body's end.
    ///
    /// # Errors
    /// `Message` where it ended inside a message.
    pub fn end(&self) -> Result<(), RecordError> {
        if self.parts.is_empty() && self.whole.is_empty() { Ok(()) } else { Err(self.error()) }
    }

    fn gather(&mut self, upto: usize) {
        let missing = upto.saturating_sub(self.parts.len()).min(self.whole.len());
        self.parts.extend_from_slice(&self.whole.split_to(missing));
    }

    fn error(&self) -> RecordError {
        RecordError::new(RecordErrorKind::Message, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(body: &[u8], chunk: usize) -> Result<Vec<(u8, Vec<u8>)>, RecordError> {
        let mut splitter = Splitter::new(8);
        let mut out = Vec::new();
        for piece in body.chunks(chunk) {
            splitter.push(Bytes::copy_from_slice(piece));
            while let Some((flag, message)) = splitter.poll()? {
                out.push((flag, message.to_vec()));
            }
        }
        splitter.end().map(|()| out)
    }

    #[test]
    fn messages_are_the_same_however_the_body_is_chunked() {
        let body = b"\0\0\0\0\x03abc\x01\0\0\0\0\0\0\0\0\x01d";
        let want = vec![(0, b"abc".to_vec()), (1, vec![]), (0, b"d".to_vec())];
        for chunk in 1..=body.len() {
            assert_eq!(split(body, chunk).unwrap(), want, "{chunk}");
        }
    }

    #[test]
    fn a_message_that_lies_whole_is_seen_where_it_lies() {
        let mut splitter = Splitter::new(8);
        splitter.push(Bytes::from_static(b"\0\0\0\0\x03abc\x01\0\0\0\0\0\0\0\0\x02d"));
        assert_eq!(splitter.peek(), Some((0, &b"abc"[..])));
        splitter.skip(3);
        assert_eq!(splitter.peek(), Some((1, &b""[..])));
        splitter.skip(0);
        assert_eq!(splitter.peek(), None, "half of it");
        assert_eq!(splitter.poll().unwrap(), None);
        splitter.push(Bytes::from_static(b"e"));
        assert_eq!(splitter.peek(), None, "it lies in two pieces");
        assert_eq!(splitter.poll().unwrap(), Some((0, Bytes::from_static(b"de"))));
        splitter.push(Bytes::from_static(b"\0\0\0\0\x09"));
        assert_eq!(splitter.peek(), None);
        assert!(splitter.poll().is_err(), "too long");
        splitter.clear();
        assert!(splitter.end().is_ok());
    }

    #[test]
    fn half_a_message_a_long_one_and_a_strange_flag_are_refused() {
        for bad in [&b"\0\0\0\0\x03ab"[..], b"\0\0", b"\x02\0\0\0\0"] {
            let error = split(bad, 3).unwrap_err();
            assert_eq!(error.kind(), RecordErrorKind::Message, "{bad:?}");
        }
        let error = split(b"\0\0\0\0\x09abcdefghi", 3).unwrap_err();
        let exceeded = Exceeded { size: 9, limit: 8, name: "message_limit" };
        assert_eq!((error.kind(), error.exceeded()), (RecordErrorKind::TooLarge, Some(exceeded)));
    }

    #[test]
    fn the_content_type_decides() {
        for grpc in [
            "application/grpc",
            "application/grpc+proto",
            "Application/GRPC+json",
            "application/grpc;a=b",
            "application/grpc ; a=b",
            "application/grpc ",
        ] {
            assert!(is_grpc(grpc.as_bytes()), "{grpc}");
        }
        for other in [
            "",
            "application/grp",
            "application/grpcx",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "application/grpc x",
            "application/json",
        ] {
            assert!(!is_grpc(other.as_bytes()), "{other}");
        }
    }
}
