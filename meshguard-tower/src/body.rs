//! Bodies on their way in and out.
//!
//! [`Outgoing`] makes of an application's body what goes on the wire; [`Incoming`] makes of
//! what came an application's body. Both serve requests and answers alike: what differs is who
//! wants to know how it ended, and that is their hook.

mod eager;
mod gather;
mod hold;
mod incoming;
mod outgoing;
mod packed;
mod plain;
mod room;

pub(crate) use eager::{Eager, eager};
pub(crate) use gather::Gather;
#[cfg(test)]
pub(crate) use hold::HOLD_TIME;
pub(crate) use hold::{Hold, HoldError};
pub(crate) use incoming::Incoming;
pub(crate) use incoming::{InHook, Rest, Unread};
pub(crate) use outgoing::Outgoing;
pub(crate) use outgoing::{Framing, OutHook};
pub(crate) use packed::{Packed, announce, withdraw};
pub(crate) use plain::{Plain, evidence, stated_length};
pub(crate) use room::{Room, Share};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use meshguard_core::delivery::{RecordErrorKind, grpc};

use crate::error::{DeliveryError, DeliveryErrorKind};

const CODING: HeaderValue = HeaderValue::from_static("mg1");
const NO_TRANSFORM: HeaderValue = HeaderValue::from_static("no-transform");

/// Whether a request is a call of gRPC: a POST of its content type. Its body is messages.
pub(crate) fn is_grpc_call(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::POST && has_grpc_type(headers)
}

/// Whether an answer's body is messages of gRPC: it answers a call, under gRPC's content type.
pub(crate) fn is_grpc_answer(call: bool, headers: &HeaderMap) -> bool {
    call && has_grpc_type(headers)
}

fn has_grpc_type(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|v| grpc::is_grpc(v.as_bytes()))
}

/// Whether a known gRPC body may have a message above `limit` bytes. It goes as records, which hold
/// each to it.
pub(crate) fn may_exceed(data: &[u8], limit: usize) -> bool {
    data.len() > limit.saturating_add(grpc::prefix(0, 0).len())
}

/// The trailers that end a gRPC stream in place of what may not or cannot be sent: as tonic says
/// it, RESOURCE_EXHAUSTED of what is too large, INTERNAL of what is not gRPC, PERMISSION_DENIED of
/// what is cut off.
pub(crate) fn status_trailers(error: &DeliveryError) -> Option<HeaderMap> {
    let code = match error.kind() {
        DeliveryErrorKind::Records(RecordErrorKind::TooLarge | RecordErrorKind::TooLong) => "8",
        DeliveryErrorKind::Records(RecordErrorKind::Message) => "13",
        DeliveryErrorKind::Withdrawn => "7",
        _ => return None,
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    let text = HeaderValue::from_str(&error.to_string());
    trailers.extend(text.ok().map(|text| (HeaderName::from_static("grpc-message"), text)));
    Some(trailers)
}

/// Marks an HTTP body as records: the innermost content coding (RFC 9110 §8.4), which nothing
/// between may transform (§7.7), and whose length on the wire is not the application's. Both marks
/// are lines of their own behind the application's.
pub(crate) fn mark_records(headers: &mut HeaderMap, sealed: bool, grpc: bool) {
    headers.remove(header::CONTENT_LENGTH);
    if sealed {
        headers.remove("content-digest"); // a hash of what is sealed betrays it
    }
    if grpc {
        return;
    }
    headers.append(header::CONTENT_ENCODING, CODING);
    headers.append(header::CACHE_CONTROL, NO_TRANSFORM);
}

/// Undoes [`mark_records`], and shows the length that the head proves, if it proves one; `false`
/// where the mark is missing.
pub(crate) fn unmark_records(headers: &mut HeaderMap, grpc: bool, size: Option<u64>) -> bool {
    headers.remove(header::CONTENT_LENGTH);
    if grpc {
        return true;
    }
    if let Some(size) = size {
        // The one or the other (RFC 9112 §6.2): the chunks were the wire's.
        headers.remove(header::TRANSFER_ENCODING);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    }
    // What is not covered may be gone; what is left of it is the application's.
    take_last(headers, &header::CACHE_CONTROL, &NO_TRANSFORM);
    take_last(headers, &header::CONTENT_ENCODING, &CODING)
}

/// Takes the last member of a list field, in a line of its own or joined with the one before it
/// (RFC 9110 §5.3); `false` where the last member is another one.
fn take_last(headers: &mut HeaderMap, name: &HeaderName, member: &HeaderValue) -> bool {
    let Some(last) = headers.get_all(name).iter().next_back() else { return false };
    let Some(rest) = last.as_bytes().trim_ascii().strip_suffix(member.as_bytes()) else {
        return false;
    };
    let rest = match rest.trim_ascii_end().strip_suffix(b",") {
        Some(others) => match HeaderValue::from_bytes(others.trim_ascii()) {
            Ok(others) => Some(others),
            Err(_) => return false,
        },
        None if rest.is_empty() => None,
        None => return false,
    };
    let kept = headers.get_all(name).iter().count() - 1;
    if kept == 0 && rest.is_none() {
        headers.remove(name);
        return true;
    }
    let lines: Vec<_> = headers.get_all(name).iter().take(kept).cloned().chain(rest).collect();
    headers.remove(name);
    for line in lines {
        headers.append(name, line);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_mark_comes_off_as_it_went_on() {
        let (coding, control) = ("content-encoding", "cache-control");
        for fields in [
            &[][..],
            &[(coding, "gzip")],
            &[(coding, "gzip, br"), (control, "max-age=3")],
            &[(coding, "gzip"), (coding, ""), (coding, "br")],
            &[(coding, "mg1"), (control, "no-transform")],
            &[(control, "private, no-transform"), (control, "x")],
        ] {
            let before = headers(fields);
            let mut after = before.clone();
            mark_records(&mut after, true, false);
            assert_ne!(after, before);
            assert!(unmark_records(&mut after, false, None));
            assert_eq!(after, before);
        }
    }

    #[test]
    fn lines_that_a_hop_has_joined_come_apart() {
        let mut joined = headers(&[
            ("content-encoding", "gzip, br, mg1"),
            ("cache-control", "max-age=3, no-transform"),
        ]);
        assert!(unmark_records(&mut joined, false, Some(7)));
        let left = headers(&[
            ("content-encoding", "gzip, br"),
            ("cache-control", "max-age=3"),
            ("content-length", "7"),
        ]);
        assert_eq!(joined, left);
    }

    #[test]
    fn a_missing_mark_is_noticed() {
        for coding in ["gzip", "xmg1", "mg1, gzip"] {
            let headers = &mut headers(&[("content-encoding", coding)]);
            assert!(!unmark_records(headers, false, None), "{coding}");
        }
        assert!(!unmark_records(&mut HeaderMap::new(), false, None));
    }

    #[test]
    fn grpc_is_a_post_of_its_content_type_and_so_is_its_answer() {
        let of = |kind: &'static str| headers(&[("content-type", kind)]);
        let grpc = of("Application/gRPC+proto");
        assert!(is_grpc_call(&Method::POST, &grpc) && !is_grpc_call(&Method::PUT, &grpc));
        assert!(!is_grpc_call(&Method::POST, &of("application/grpc-web")));
        assert!(is_grpc_answer(true, &grpc) && !is_grpc_answer(false, &grpc));
        assert!(!is_grpc_answer(true, &of("application/json")));
    }
}
