//! Trailers over HTTP/1.1: it carries only those that the head has named (RFC 9110 §6.6.2), and
//! who makes a head does not know yet which there will be. So all go in one, which is named.

use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::TRAILER;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::take_last;

/// The one trailer field: the lines of all others, in base64.
const NAME: HeaderName = HeaderName::from_static("meshguard-trailers");
const ANNOUNCED: HeaderValue = HeaderValue::from_static("meshguard-trailers");

/// A body whose trailers are packed into one, where `packs` says so.
#[pin_project]
pub(crate) struct Packed<B> {
    #[pin]
    pub(crate) body: B,
    pub(crate) packs: bool,
}

/// Names the one trailer field in a head.
pub(crate) fn announce(headers: &mut HeaderMap) {
    headers.append(TRAILER, ANNOUNCED);
}

/// Undoes [`announce`], whether the name has a line of its own by now or not.
pub(crate) fn withdraw(headers: &mut HeaderMap) {
    take_last(headers, &TRAILER, &ANNOUNCED);
}

fn pack(trailers: &HeaderMap) -> HeaderMap {
    let mut lines = Vec::new();
    for (name, value) in trailers {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.push(b':');
        lines.extend_from_slice(value.as_bytes());
        lines.push(b'\n');
    }
    let packed = HeaderValue::try_from(STANDARD.encode(lines));
    packed.into_iter().map(|value| (NAME, value)).collect()
}

/// Trailers as they were sent; unchanged where they are not packed, or not by this rule: what they
/// must be is proved.
pub(crate) fn unpack(trailers: HeaderMap) -> HeaderMap {
    if trailers.len() != 1 {
        return trailers;
    }
    let unpacked = trailers.get(NAME).and_then(|value| lines(value.as_bytes()));
    unpacked.unwrap_or(trailers)
}

fn lines(packed: &[u8]) -> Option<HeaderMap> {
    let lines = STANDARD.decode(packed).ok()?;
    let mut trailers = HeaderMap::new();
    if lines.is_empty() {
        return Some(trailers);
    }
    for line in lines.strip_suffix(b"\n").unwrap_or(&lines).split(|b| *b == b'\n') {
        let colon = line.iter().position(|b| *b == b':').filter(|_| !line.is_empty())?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        trailers.append(name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?);
    }
    Some(trailers)
}

impl<B: Body> Body for Packed<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let polled = this.body.poll_frame(cx);
        if !*this.packs {
            return polled;
        }
        polled.map_ok(|frame| match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(pack(&trailers)),
            Err(frame) => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_come_out_as_they_went_in() {
        let mut trailers = HeaderMap::new();
        for (name, value) in
            [("a", &b"1"[..]), ("b", b""), ("a", b" :\xff\t"), ("set-cookie", b"x")]
        {
            trailers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let packed = pack(&trailers);
        assert_eq!(packed.len(), 1);
        assert_eq!(unpack(packed), trailers);
        assert_eq!(unpack(trailers.clone()), trailers);
    }

    #[test]
    fn what_is_packed_otherwise_stays_as_it_is() {
        for value in ["!", "YQ==", "Cg==", "YTox,YTox"] {
            let odd: HeaderMap = [(NAME, HeaderValue::from_static(value))].into_iter().collect();
            assert_eq!(unpack(odd.clone()), odd, "{value}");
        }
    }

    #[test]
    fn the_announcement_goes_and_the_applications_own_stays() {
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static("x-sum"));
        let before = headers.clone();
        announce(&mut headers);
        withdraw(&mut headers);
        assert_eq!(headers, before);
        let mut none = HeaderMap::new();
        announce(&mut none);
        withdraw(&mut none);
        assert!(none.is_empty());
    }
}
