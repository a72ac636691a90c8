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
mod plain;

pub(crate) use eager::{Eager, eager};
pub(crate) use gather::Gather;
#[cfg(test)]
pub(crate) use hold::HOLD_TIME;
pub(crate) use hold::{Hold, HoldError};
pub(crate) use incoming::Incoming;
pub(crate) use incoming::{InHook, Rest, Unread};
pub(crate) use outgoing::Outgoing;
pub(crate) use outgoing::{Framing, OutHook};
pub(crate) use plain::{Plain, evidence, stated_length};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use meshguard_core::delivery::{RecordErrorKind, grpc};

use crate::error::{DeliveryError, DeliveryErrorKind};

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

/// The trailers that end a gRPC stream in place of what may not or cannot be sent: as tonic says
/// it, RESOURCE_EXHAUSTED of what is too large, INTERNAL of what is not gRPC.
pub(crate) fn status_trailers(error: &DeliveryError) -> Option<HeaderMap> {
    let code = match error.kind() {
        DeliveryErrorKind::Records(RecordErrorKind::TooLarge | RecordErrorKind::TooLong) => "8",
        DeliveryErrorKind::Records(RecordErrorKind::Message) => "13",
        _ => return None,
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    let text = HeaderValue::from_str(&error.to_string());
    trailers.extend(text.ok().map(|text| (HeaderName::from_static("grpc-message"), text)));
    Some(trailers)
}

/// Marks an HTTP body as records: the innermost content coding (RFC 9110 §8.4), which nothing
/// between may transform (§7.7), and whose length is no longer the application's.
pub(crate) fn mark_records(headers: &mut HeaderMap, sealed: bool, grpc: bool) {
    headers.remove(header::CONTENT_LENGTH);
    if sealed {
        headers.remove("content-digest"); // a hash of what is sealed betrays it
    }
    if grpc {
        return;
    }
    let coding = match headers.get(header::CONTENT_ENCODING) {
        None => HeaderValue::from_static("mg1"),
        Some(v) => HeaderValue::from_bytes(&[v.as_bytes(), b", mg1"].concat())
            .unwrap_or_else(|_| HeaderValue::from_static("mg1")),
    };
    headers.insert(header::CONTENT_ENCODING, coding);
    headers.append(header::CACHE_CONTROL, HeaderValue::from_static("no-transform"));
}

/// Undoes [`mark_records`]; `false` where the mark is missing.
pub(crate) fn unmark_records(headers: &mut HeaderMap, grpc: bool) -> bool {
    headers.remove(header::CONTENT_LENGTH);
    if grpc {
        return true;
    }
    let Some(coding) = headers.get(header::CONTENT_ENCODING) else { return false };
    let Some(rest) = coding.as_bytes().strip_suffix(b"mg1") else { return false };
    match rest.trim_ascii_end().strip_suffix(b",") {
        None if rest.is_empty() => {
            headers.remove(header::CONTENT_ENCODING);
            true
        }
        None => false,
        Some(others) => match HeaderValue::from_bytes(others.trim_ascii()) {
            Ok(others) => {
                headers.insert(header::CONTENT_ENCODING, others);
                true
            }
            Err(_) => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_comes_off_as_it_went_on() {
        for coding in [None, Some("gzip"), Some("gzip, br")] {
            let mut headers = HeaderMap::new();
            if let Some(c) = coding {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(c));
            }
            mark_records(&mut headers, true, false);
            assert!(unmark_records(&mut headers, false));
            let left = headers.get(header::CONTENT_ENCODING).map(|v| v.to_str().unwrap());
            assert_eq!(left, coding);
        }
    }

    #[test]
    fn a_missing_mark_is_noticed() {
        for coding in ["gzip", "xmg1", "mg1, gzip"] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            assert!(!unmark_records(&mut headers, false), "{coding}");
        }
        assert!(!unmark_records(&mut HeaderMap::new(), false));
    }

    #[test]
    fn grpc_is_a_post_of_its_content_type_and_so_is_its_answer() {
        let headers = |kind| {
            let value = HeaderValue::from_static(kind);
            HeaderMap::from_iter([(header::CONTENT_TYPE, value)])
        };
        let grpc = headers("Application/gRPC+proto");
        assert!(is_grpc_call(&Method::POST, &grpc) && !is_grpc_call(&Method::PUT, &grpc));
        assert!(!is_grpc_call(&Method::POST, &headers("application/grpc-web")));
        assert!(is_grpc_answer(true, &grpc) && !is_grpc_answer(false, &grpc));
        assert!(!is_grpc_answer(true, &headers("application/json")));
    }
}
