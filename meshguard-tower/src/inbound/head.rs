//! A request's head must have one reading, whoever reads it: policy, the framework, or what
//! stands behind it.

use http::request::Parts;
use http::{HeaderMap, Method, header};

use crate::head::is_host;

/// The authority that is asked.
///
/// # Errors
/// What is ambiguous about the head.
pub(super) fn one_reading(parts: &Parts) -> Result<&str, &'static str> {
    let authority = authority(parts)?;
    if is_other_case(&parts.method) {
        return Err("a method in another case");
    }
    framing(&parts.headers)?;
    Ok(authority)
}

/// One host (RFC 9110 §7.2), and the target's own where it names one (RFC 9112 §3.2.2, RFC 9113
/// §8.3.1).
fn authority(parts: &Parts) -> Result<&str, &'static str> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err("more than one host"),
        (Some(host), None) => Some(host.to_str().map_err(|_| "malformed host")?),
        (None, None) => None,
    };
    let authority = match (parts.uri.authority().map(http::uri::Authority::as_str), host) {
        (Some(a), Some(h)) if !a.eq_ignore_ascii_case(h) => {
            return Err("host and authority differ");
        }
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return Err("no host"),
    };
    if is_host(authority) { Ok(authority) } else { Err("malformed host") }
}

/// Methods are compared exactly (RFC 9110 §9.1). `delete` is not `DELETE`, and who takes it for
/// that runs what policy was not asked about.
fn is_other_case(method: &Method) -> bool {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::PATCH,
        Method::OPTIONS,
        Method::CONNECT,
        Method::TRACE,
    ];
    let same = |known: &Method| known.as_str().eq_ignore_ascii_case(method.as_str());
    !KNOWN.contains(method) && KNOWN.iter().any(same)
}

/// `chunked` alone, or a length. What hyper has seen of both it has resolved (RFC 9112 §6.3), and
/// closes the connection behind it.
fn framing(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if chunked && codings.next().is_none() && !headers.contains_key(header::CONTENT_LENGTH) {
        Ok(())
    } else {
        Err("more than one framing")
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn read(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<String, &'static str> {
        let request = Request::builder().method(method).uri(uri);
        let request = headers.iter().fold(request, |r, (name, value)| r.header(*name, *value));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        one_reading(&parts).map(ToOwned::to_owned)
    }

    #[test]
    fn one_host_is_read_from_wherever_it_stands() {
        for (uri, host, want) in [
            ("/", Some("orders.example"), "orders.example"),
            ("/", Some("127.0.0.1:8443"), "127.0.0.1:8443"),
            ("/", Some("[::1]:8443"), "[::1]:8443"),
            ("/", Some("[::1]"), "[::1]"),
            ("https://orders.example/", None, "orders.example"),
            ("https://Orders.example:443/", Some("orders.example:443"), "Orders.example:443"),
        ] {
            let headers: Vec<_> = host.map(|host| ("host", host)).into_iter().collect();
            assert_eq!(read("GET", uri, &headers), Ok(want.to_owned()), "{uri} {host:?}");
        }
    }

    #[test]
    fn two_hosts_or_none_or_half_of_one_are_not_read() {
        assert_eq!(read("GET", "/", &[]), Err("no host"));
        assert_eq!(read("GET", "/", &[("host", "a"), ("host", "a")]), Err("more than one host"));
        for uri in ["https://a/", "https://b:443/", "https://b./"] {
            assert_eq!(read("GET", uri, &[("host", "b")]), Err("host and authority differ"));
        }
        for host in ["", "a,b", "u@a", "a b", "a/b", "a\\b", "a%2e", "a:", "a:b", "a:1:2", "::1"] {
            assert_eq!(read("GET", "/", &[("host", host)]), Err("malformed host"), "{host}");
        }
        for host in ["[::1", "[]", "[::1]x", "[a@b]", "a:65536", "a:-1"] {
            assert_eq!(read("GET", "/", &[("host", host)]), Err("malformed host"), "{host}");
        }
        assert_eq!(read("GET", "https://u:p@a/", &[]), Err("malformed host"));
    }

    #[test]
    fn a_known_method_in_another_case_is_not_read() {
        for method in ["get", "Delete", "pATCH"] {
            assert_eq!(read(method, "/", &[("host", "a")]), Err("a method in another case"));
        }
        for method in ["GET", "DELETE", "PROPFIND", "propfind"] {
            assert!(read(method, "/", &[("host", "a")]).is_ok(), "{method}");
        }
    }

    #[test]
    fn two_framings_are_not_read() {
        let framed = |more: &[(&str, &str)]| read("POST", "/", &[&[("host", "a")], more].concat());
        let (te, cl) = ("transfer-encoding", "content-length");
        assert!(framed(&[(te, "Chunked")]).is_ok() && framed(&[(cl, "3")]).is_ok());
        for more in [
            vec![(te, "identity, chunked")],
            vec![(te, "chunked"), (te, "chunked")],
            vec![(te, "identity"), (te, "chunked")],
            vec![(te, "chunked"), (cl, "3")],
        ] {
            assert_eq!(framed(&more), Err("more than one framing"), "{more:?}");
        }
    }
}
