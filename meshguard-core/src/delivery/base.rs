//! The bytes that a head's proof is computed over.
//!
//! One line `"name": value` for each *present* field of a fixed list, with the values that
//! RFC 9421 §2.1 and §2.2 derive, then a closing line. An absent field has no line, so a field
//! that a hop adds breaks the proof just as one that it drops or changes.

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LOCATION, RANGE, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::Proof;
use super::field;

/// The header fields that every request proof covers, in the order of their lines.
pub const REQUEST: [HeaderName; 15] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    HeaderName::from_static("content-digest"),
    AUTHORIZATION,
    HeaderName::from_static("dpop"),
    RANGE,
    IF_RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    CONTENT_RANGE,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("idempotency-key"),
];

/// The header fields that every response proof covers, in the order of their lines.
pub const RESPONSE: [HeaderName; 10] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("grpc-encoding"),
    CONTENT_RANGE,
    LOCATION,
    ETAG,
];

/// The further header fields that a session's receiver wants covered. Sorted, no duplicates,
/// none of those that are covered anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover(Vec<HeaderName>);

impl Cover {
    /// The most names that settings may ask for.
    pub const MAX: usize = 64;

    /// Sorts the names and drops repeated ones, those that are covered anyway, and those that
    /// belong to a connection ([`is_of_connection`]).
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = HeaderName>) -> Self {
        let kept = |name: &HeaderName| !is_fixed(name) && !is_of_connection(name.as_str());
        let mut names: Vec<_> = names.into_iter().filter(kept).collect();
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Self(names)
    }

    /// The names, sorted.
    #[must_use]
    pub fn names(&self) -> &[HeaderName] {
        &self.0
    }

    /// Makes one line of each field of a request that a proof with this cover covers and that has
    /// several: the value that was proved. A hop can split a value at `, ` and join two, and the
    /// proof holds all the same.
    pub fn join_request(&self, headers: &mut HeaderMap) {
        join(headers, REQUEST.iter().chain(&self.0));
    }

    /// As [`join_request`](Self::join_request), for an answer. Of `set-cookie` each line stays:
    /// what would join them is part of their dates (RFC 6265 §3).
    pub fn join_response(&self, headers: &mut HeaderMap) {
        join(headers, RESPONSE.iter().chain(self.0.iter().filter(|name| *name != SET_COOKIE)));
    }

    /// All names that a request proof covers with this cover, fixed ones included.
    #[must_use]
    pub fn with_fixed(&self) -> Vec<HeaderName> {
        REQUEST.iter().chain(&self.0).cloned().collect()
    }
}

fn join<'n>(headers: &mut HeaderMap, names: impl Iterator<Item = &'n HeaderName>) {
    // Nearly every message has each field once.
    if headers.keys_len() == headers.len() {
        return;
    }
    for name in names {
        let lines = || headers.get_all(name).iter();
        if lines().nth(1).is_none() {
            continue;
        }
        let values: Vec<&[u8]> = lines().map(|value| value.as_bytes().trim_ascii()).collect();
        // INVARIANT: what stands between is allowed wherever the values are.
        let Ok(mut joined) = HeaderValue::from_bytes(&values.join(&b", "[..])) else { continue };
        joined.set_sensitive(lines().any(HeaderValue::is_sensitive));
        headers.insert(name, joined);
    }
}

fn is_fixed(name: &HeaderName) -> bool {
    request_slot(name.as_str()).is_some() || name.as_str().starts_with("meshguard")
}

/// Whether a field belongs to a connection or to one HTTP version (RFC 9110 §7.6.1, RFC 9113
/// §8.2.2): whoever sends a message on may set it anew, so no proof covers it. `host` is covered
/// as `@authority`.
#[must_use]
pub fn is_of_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "content-length"
            | "host"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// The head of a request, as its proof sees it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// `:authority` or `Host`, as it stands there.
    pub authority: &'a str,
    /// The raw path.
    pub path: &'a str,
    /// The raw query without its `?`; the same empty string where there is none.
    pub query: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

impl RequestHead<'_> {
    /// Writes the base to `out`, which it clears. `field` is the `meshguard` field's value
    /// without its proof.
    pub fn write(&self, cover: &Cover, field: &[u8], out: &mut Vec<u8>) {
        out.clear();
        line(out, "@method", self.method.as_str().as_bytes());
        out.extend_from_slice(b"\"@authority\": ");
        let authority = self.authority.strip_suffix(":443").unwrap_or(self.authority);
        let at = out.len();
        out.extend_from_slice(authority.as_bytes());
        out[at..].make_ascii_lowercase();
        out.push(b'\n');
        line(out, "@path", self.path.as_bytes());
        out.extend_from_slice(b"\"@query\": ?");
        out.extend_from_slice(self.query.as_bytes());
        out.push(b'\n');
        fields(out, self.headers, &REQUEST, request_slot, cover);
        line(out, field::NAME, field);
        out.extend_from_slice(b"meshguard/1 request");
    }
}

/// The head of a response, as its proof sees it.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The proof of the request that this answers: binds all that that proof binds.
    pub request: &'a Proof,
}

impl ResponseHead<'_> {
    /// Writes the base to `out`, which it clears. `field` is the `meshguard` field's value
    /// without its proof.
    pub fn write(&self, cover: &Cover, field: &[u8], out: &mut Vec<u8>) {
        out.clear();
        line(out, "@status", self.status.as_str().as_bytes());
        fields(out, self.headers, &RESPONSE, response_slot, cover);
        line(out, field::NAME, field);
        out.extend_from_slice(b"\"p\";req: :");
        out.extend_from_slice(&field::base64_16(&self.request.0));
        out.extend_from_slice(b":\nmeshguard/1 response");
    }
}

/// Index of a name in [`REQUEST`].
fn request_slot(name: &str) -> Option<usize> {
    Some(match name {
        "content-type" => 0,
        "content-encoding" => 1,
        "content-digest" => 2,
        "authorization" => 3,
        "dpop" => 4,
        "range" => 5,
        "if-range" => 6,
        "if-match" => 7,
        "if-none-match" => 8,
        "if-modified-since" => 9,
        "if-unmodified-since" => 10,
        "content-range" => 11,
        "grpc-encoding" => 12,
        "grpc-timeout" => 13,
        "idempotency-key" => 14,
        _ => return None,
    })
}

/// Index of a name in [`RESPONSE`].
fn response_slot(name: &str) -> Option<usize> {
    Some(match name {
        "content-type" => 0,
        "content-encoding" => 1,
        "content-digest" => 2,
        "grpc-status" => 3,
        "grpc-message" => 4,
        "grpc-status-details-bin" => 5,
        "grpc-encoding" => 6,
        "content-range" => 7,
        "location" => 8,
        "etag" => 9,
        _ => return None,
    })
}

/// Writes the lines of all covered fields that are present: one pass over the map, since it
/// is nearly always shorter than the list.
fn fields<const N: usize>(
    out: &mut Vec<u8>,
    headers: &HeaderMap,
    names: &[HeaderName; N],
    slot: impl Fn(&str) -> Option<usize>,
    cover: &Cover,
) {
    let mut found: [Option<&HeaderValue>; N] = [None; N];
    let mut repeated = [false; N];
    for (name, value) in headers {
        if let Some(i) = slot(name.as_str()) {
            repeated[i] = found[i].is_some();
            found[i] = Some(value);
        }
    }
    for (i, name) in names.iter().enumerate() {
        match found[i] {
            None => {}
            Some(_) if repeated[i] => joined(out, headers, name),
            Some(value) => line(out, name.as_str(), value.as_bytes()),
        }
    }
    for name in &cover.0 {
        if slot(name.as_str()).is_none() && headers.contains_key(name) {
            joined(out, headers, name);
        }
    }
}

fn joined(out: &mut Vec<u8>, headers: &HeaderMap, name: &HeaderName) {
    start(out, name.as_str());
    for (i, value) in headers.get_all(name).iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(value.as_bytes().trim_ascii());
    }
    out.push(b'\n');
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    start(out, name);
    out.extend_from_slice(value.trim_ascii());
    out.push(b'\n');
}

fn start(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\": ");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(headers: &HeaderMap, cover: &Cover) -> String {
        let head = RequestHead {
            method: &Method::GET,
            authority: "Orders.Shop.example:443",
            path: "/a",
            query: "",
            headers,
        };
        let mut out = b"left over".to_vec();
        head.write(cover, b"sid=x", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_lists_and_their_slots_agree() {
        for (i, name) in REQUEST.iter().enumerate() {
            assert_eq!(request_slot(name.as_str()), Some(i));
        }
        for (i, name) in RESPONSE.iter().enumerate() {
            assert_eq!(response_slot(name.as_str()), Some(i));
        }
    }

    #[test]
    fn values_are_trimmed_and_repeated_fields_joined() {
        let mut headers = HeaderMap::new();
        headers.append("x-b", HeaderValue::from_static(" 1\t"));
        headers.append("x-b", HeaderValue::from_static("2"));
        headers.append("if-match", HeaderValue::from_static("a"));
        headers.append("if-match", HeaderValue::from_static(" b"));
        headers.append("if-match", HeaderValue::from_static("c"));
        headers.append("x-not-covered", HeaderValue::from_static("3"));
        let cover = Cover::new([HeaderName::from_static("x-b"), HeaderName::from_static("x-a")]);
        assert_eq!(
            written(&headers, &cover),
            "\"@method\": GET\n\"@authority\": orders.shop.example\n\"@path\": /a\n\
             \"@query\": ?\n\"if-match\": a, b, c\n\"x-b\": 1, 2\n\"meshguard\": sid=x\n\
             meshguard/1 request"
        );
    }

    #[test]
    fn a_field_that_is_added_dropped_or_emptied_changes_the_base() {
        let cover = Cover::new([HeaderName::from_static("x-a")]);
        let none = HeaderMap::new();
        let mut empty = HeaderMap::new();
        empty.insert("x-a", HeaderValue::from_static(""));
        let mut full = HeaderMap::new();
        full.insert("x-a", HeaderValue::from_static("1"));
        let all = [written(&none, &cover), written(&empty, &cover), written(&full, &cover)];
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    }

    #[test]
    fn lines_become_the_one_value_that_was_proved_and_the_base_stays() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("if-match", "a"), ("if-match", " b"), ("x-b", "1"), ("x-b", "2, 3"), ("x-c", "4")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers.append("x-c", HeaderValue::from_static("5"));
        let cover = Cover::new([HeaderName::from_static("x-b"), SET_COOKIE]);
        let before = written(&headers, &cover);
        cover.join_request(&mut headers);
        assert_eq!(written(&headers, &cover), before);
        let all = |name: &str| headers.get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            (all("if-match"), all("x-b")),
            (vec!["a, b".parse().unwrap()], vec!["1, 2, 3".parse().unwrap()])
        );
        assert_eq!(all("x-c").len(), 2, "what no proof covers stays as it came");
        let mut answer = HeaderMap::new();
        for name in ["set-cookie", "set-cookie", "content-encoding", "content-encoding"] {
            answer.append(name, HeaderValue::from_static("a"));
        }
        cover.join_response(&mut answer);
        assert_eq!(answer.get_all("set-cookie").iter().count(), 2);
        assert_eq!(answer["content-encoding"], "a, a");
    }

    #[test]
    fn cover_is_sorted_and_never_repeats_what_is_covered_anyway() {
        let names = ["x-b", "content-type", "x-a", "x-b", "meshguard", "host", "te"];
        let cover = Cover::new(names.map(HeaderName::from_static));
        assert_eq!(cover.names(), ["x-a", "x-b"]);
    }
}
