//! What connections make of a head: settled before it is proved, so that no proof covers what a
//! pool, hyper or the other HTTP version changes afterwards.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use meshguard_core::access::head::is_host;

mod check;

pub(crate) use check::{check_answer, check_request, keep_answer, keep_request};

/// Fields that speak of a connection and not of a message (RFC 9110 §7.6.1), but for `te`.
const OF_CONNECTIONS: [HeaderName; 5] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];
pub(crate) const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// Removes what speaks of a connection, also what the `Connection` field names; `te: trailers`
/// stays (RFC 9110 §10.1.4).
pub(crate) fn settle(headers: &mut HeaderMap) {
    let trailers = headers.get_all(TE).iter().any(wants_trailers);
    if headers.contains_key(CONNECTION) {
        for name in named(headers) {
            headers.remove(name);
        }
    }
    for name in OF_CONNECTIONS.iter().chain(&[TE]) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, TRAILERS);
    }
}

/// As [`settle`], for an answer. The wish to close an HTTP/1.1 connection stays, and so does all
/// of an answer that switches protocols.
pub(crate) fn settle_answer(headers: &mut HeaderMap, status: StatusCode, http1: bool) {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let closes = http1 && closes(headers);
    settle(headers);
    headers.remove(TE);
    if closes {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The authority that a request's own `Host` names, which is removed; `None` where it has none.
///
/// # Errors
/// Where it names several, or none that can be asked.
pub(crate) fn take_host(headers: &mut HeaderMap) -> Result<Option<Authority>, &'static str> {
    if !headers.contains_key(HOST) {
        return Ok(None);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().filter(|host| is_host(host)),
        _ => return Err("it names more than one host"),
    };
    let authority = host.and_then(|host| host.parse().ok()).ok_or("its host is malformed")?;
    headers.remove(HOST);
    Ok(Some(authority))
}

/// The length that a head states, which becomes one field (RFC 9110 §8.6).
///
/// # Errors
/// Where it is no number, or not the same one throughout.
pub(crate) fn take_length(headers: &mut HeaderMap) -> Result<Option<u64>, &'static str> {
    const NONE: &str = "its content-length is not one number";
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(None) };
    let length = number(first).ok_or(NONE)?;
    let mut more = lengths.peekable();
    if more.peek().is_some() {
        if !more.all(|next| number(next) == Some(length)) {
            return Err(NONE);
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(Some(length))
}

fn number(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// The names in the `Connection` field.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

fn closes(headers: &HeaderMap) -> bool {
    headers.contains_key(CONNECTION) && named(headers).iter().any(|name| name == "close")
}

fn wants_trailers(te: &HeaderValue) -> bool {
    let mut codings = te.as_bytes().split(|b| *b == b',');
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests;
