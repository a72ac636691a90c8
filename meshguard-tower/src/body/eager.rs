//! What of a body is there already.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use meshguard_core::delivery::MAX_KNOWN;

/// What polling a body without ever waiting has brought.
pub(crate) enum Eager<E> {
    /// All of it, at most [`MAX_KNOWN`] bytes, its trailers included.
    All(Bytes, Option<HeaderMap>),
    /// The beginning of more, or of something that failed.
    Some(VecDeque<Bytes>, Option<Result<HeaderMap, E>>),
}

/// Polls `body` as long as it is ready and small.
pub(crate) fn eager<B>(body: &mut B, cx: &mut Context<'_>) -> Eager<B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut chunks, mut length) = (VecDeque::new(), 0);
    while !body.is_end_stream() {
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending => return Eager::Some(chunks, None),
            Poll::Ready(None) => break,
            Poll::Ready(Some(Err(e))) => return Eager::Some(chunks, Some(Err(e))),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    length += data.len();
                    chunks.push_back(data);
                    if length > MAX_KNOWN {
                        return Eager::Some(chunks, None);
                    }
                }
                Err(frame) => {
                    return Eager::All(join(chunks, length), frame.into_trailers().ok());
                }
            },
        }
    }
    Eager::All(join(chunks, length), None)
}

/// One piece of several; no copy where there is but one.
pub(crate) fn join(mut chunks: VecDeque<Bytes>, length: usize) -> Bytes {
    if chunks.len() < 2 {
        return chunks.pop_front().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(length);
    chunks.iter().for_each(|c| all.extend_from_slice(c));
    all.freeze()
}
