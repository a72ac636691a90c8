//! A body of a peer that proves nothing: held at least against its own head.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body, Frame};
use meshguard_core::Evidence;
use sha2::{Digest, Sha256};

use crate::error::{BoxError, DeliveryError, DeliveryErrorKind};

/// Passes a body on and holds it against `content-length` (RFC 9110 §8.6) and, where there is
/// one with SHA-256, against `content-digest` (RFC 9530 §2).
pub(crate) struct Plain<B> {
    inner: B,
    length: Option<u64>,
    digest: Option<(Sha256, [u8; 32])>,
    got: u64,
    failed: Option<DeliveryError>,
}

impl<B> Plain<B> {
    /// `framed` is false where the head's length speaks of another body (HEAD, 204, 304).
    pub(crate) fn new(inner: B, headers: &HeaderMap, framed: bool) -> Self {
        let digest = if framed { stated_digest(headers) } else { None };
        let length = if framed { stated_length(headers) } else { None };
        let digest = digest.map(|d| (Sha256::new(), d));
        Self { inner, length, digest, got: 0, failed: None }
    }

    pub(crate) fn inner(&self) -> &B {
        &self.inner
    }

    /// Bytes that came so far.
    pub(crate) fn got(&self) -> u64 {
        self.got
    }

    /// Only once all that was promised came: an end may be a cut.
    pub(crate) fn is_end_stream(&self) -> bool
    where
        B: Body,
    {
        self.inner.is_end_stream()
            && self.failed.is_none()
            && self.length.is_none_or(|l| self.got == l)
            && (self.digest.is_none() || self.got == 0)
    }

    fn check_end(&mut self) -> Result<(), DeliveryError> {
        use DeliveryErrorKind::{ContentDigest, Short};
        if self.length.is_some_and(|l| self.got < l) {
            return Err(DeliveryError::new(Short, self.got, self.length));
        }
        let Some((hash, stated)) = self.digest.take() else { return Ok(()) };
        if <[u8; 32]>::from(hash.finalize()) == stated {
            Ok(())
        } else {
            Err(DeliveryError::new(ContentDigest, self.got, self.length))
        }
    }
}

impl<B> Plain<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DeliveryError>>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Some(Err(error.clone())));
        }
        let result = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            None => match self.check_end() {
                Ok(()) => return Poll::Ready(None),
                Err(e) => Err(e),
            },
            Some(Err(e)) => Err(DeliveryError::transport(self.got, self.length, e.into())),
            Some(Ok(frame)) => self.frame(frame),
        };
        self.failed = result.as_ref().err().cloned();
        Poll::Ready(Some(result))
    }

    fn frame(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, DeliveryError> {
        let Some(data) = frame.data_ref() else {
            // Trailers are the last frame: there will be no `None` to check at.
            return self.check_end().map(|()| frame);
        };
        self.got += data.len() as u64;
        if self.length.is_some_and(|l| self.got > l) {
            return Err(DeliveryError::new(DeliveryErrorKind::Long, self.got, self.length));
        }
        if let Some((hash, _)) = &mut self.digest {
            hash.update(data);
        }
        // A sized body is done with its last byte: nobody need poll it again.
        if self.length == Some(self.got) && self.digest.is_some() {
            self.check_end()?;
        }
        Ok(frame)
    }
}

/// What a head lets us hold its body against.
pub(crate) fn evidence(headers: &HeaderMap) -> Evidence {
    if stated_digest(headers).is_some() {
        Evidence::Digest
    } else if stated_length(headers).is_some() {
        Evidence::Length
    } else {
        Evidence::None
    }
}

pub(crate) fn stated_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The SHA-256 member of a `content-digest`: `sha-256=:…:`.
fn stated_digest(headers: &HeaderMap) -> Option<[u8; 32]> {
    let field = headers.get("content-digest")?.to_str().ok()?;
    let member = field.split(',').find_map(|m| m.trim().strip_prefix("sha-256=:"))?;
    STANDARD.decode(member.strip_suffix(':')?).ok()?.try_into().ok()
}
