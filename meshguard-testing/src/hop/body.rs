//! Bodies on their way in: from HTTP/2, from HTTP/1.1, or held in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// How many bytes of a body or message the hop holds at most: 8 MiB.
pub(super) const MAX_HELD: usize = 8 << 20;

/// A part of a body.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Data(Bytes),
    /// Always the last.
    Trailers(HeaderMap),
}

/// Why a body ended before its end, or an answer did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Reset(Reason),
    Broken,
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        match error.reason() {
            Some(reason) if error.is_reset() => Self::Reset(reason),
            _ => Self::Broken,
        }
    }
}

impl Failure {
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Reset(reason) => reason,
            Self::Broken => Reason::INTERNAL_ERROR,
        }
    }
}

/// Where a body comes from.
#[derive(Debug)]
pub(super) enum Source {
    H2(RecvStream),
    H1(Incoming),
    Held(Held),
}

impl Source {
    /// Whether it is known already that nothing more comes.
    pub(super) fn is_end(&self) -> bool {
        match self {
            Self::H2(stream) => stream.is_end_stream(),
            Self::H1(body) => body.is_end_stream(),
            Self::Held(held) => held.pieces.is_empty(),
        }
    }

    /// The next part, `None` at a good end. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<Piece, Failure>> {
        match self {
            Self::H2(stream) => match stream.data().await {
                Some(data) => Some(data.map(Piece::Data).map_err(Failure::from)),
                None => match stream.trailers().await {
                    Ok(trailers) => trailers.map(|t| Ok(Piece::Trailers(t))),
                    Err(error) => Some(Err(error.into())),
                },
            },
            Self::H1(body) => loop {
                let Ok(frame) = body.frame().await? else { return Some(Err(Failure::Broken)) };
                match frame.into_data().map_err(Frame::into_trailers) {
                    Ok(data) => return Some(Ok(Piece::Data(data))),
                    Err(Ok(trailers)) => return Some(Ok(Piece::Trailers(trailers))),
                    Err(Err(_)) => {} // a kind of frame that HTTP/1.1 does not have
                }
            },
            Self::Held(held) => held.pieces.pop_front().map(Ok),
        }
    }

    /// Lets the peer send as many bytes more.
    pub(super) fn release(&mut self, bytes: usize) {
        if let Self::H2(stream) = self {
            // It fails only where more is released than came, and this is what came.
            let _ = stream.flow_control().release_capacity(bytes);
        }
    }

    /// Reads and discards all that comes.
    pub(super) async fn drain(mut self) {
        while let Some(Ok(piece)) = self.next().await {
            if let Piece::Data(data) = piece {
                self.release(data.len());
            }
        }
    }

    /// Reads all into memory; `Err(None)` where it is more than the hop holds.
    pub(super) async fn collect(mut self) -> Result<Held, Option<Failure>> {
        let mut held = Held::default();
        while let Some(piece) = self.next().await {
            let piece = piece.map_err(Some)?;
            if let Piece::Data(data) = &piece {
                self.release(data.len());
            }
            held.push(piece);
            if held.is_over() {
                return Err(None);
            }
        }
        Ok(held)
    }
}

/// A whole body in memory, at most [`MAX_HELD`] bytes; a longer one is let go.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pieces: VecDeque<Piece>,
    len: usize,
}

impl Held {
    pub(super) fn push(&mut self, piece: Piece) {
        if let Piece::Data(data) = &piece {
            self.len = self.len.saturating_add(data.len());
        }
        if self.is_over() {
            self.pieces.clear();
        } else {
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.len > MAX_HELD
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl From<Bytes> for Held {
    fn from(data: Bytes) -> Self {
        let mut held = Self::default();
        if !data.is_empty() {
            held.push(Piece::Data(data));
        }
        held
    }
}
