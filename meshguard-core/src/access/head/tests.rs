use http::Request;

use super::*;
use crate::access::Access;

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<String, HeadError> {
    let request = Request::builder().method(method).uri(uri);
    let request = headers.iter().fold(request, |r, (name, value)| r.header(*name, *value));
    let (parts, ()) = request.body(()).unwrap().into_parts();
    read(&parts.method, &parts.uri, &parts.headers).map(ToOwned::to_owned)
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
        assert_eq!(head("GET", uri, &headers), Ok(want.to_owned()), "{uri} {host:?}");
    }
}

#[test]
fn two_hosts_or_none_or_half_of_one_are_not_read() {
    assert_eq!(head("GET", "/", &[]), Err(HeadError::NoHost));
    assert_eq!(head("GET", "/", &[("host", "a"), ("host", "a")]), Err(HeadError::Hosts));
    for uri in ["https://a/", "https://b:443/", "https://b./"] {
        assert_eq!(head("GET", uri, &[("host", "b")]), Err(HeadError::HostDiffers));
    }
    for host in ["", "a,b", "u@a", "a b", "a/b", "a\\b", "a%2e", "a:", "a:b", "a:1:2", "::1"] {
        assert_eq!(head("GET", "/", &[("host", host)]), Err(HeadError::MalformedHost), "{host}");
    }
    for host in ["[::1", "[]", "[::1]x", "[a@b]", "a:65536", "a:-1", "a:+80"] {
        assert_eq!(head("GET", "/", &[("host", host)]), Err(HeadError::MalformedHost), "{host}");
    }
    assert_eq!(head("GET", "https://u:p@a/", &[]), Err(HeadError::MalformedHost));
}

#[test]
fn a_known_method_in_another_case_is_not_read() {
    for method in ["get", "Delete", "pATCH"] {
        assert_eq!(head(method, "/", &[("host", "a")]), Err(HeadError::MethodCase));
    }
    for method in ["GET", "DELETE", "PROPFIND", "propfind"] {
        assert!(head(method, "/", &[("host", "a")]).is_ok(), "{method}");
    }
}

#[test]
fn a_scheme_is_one_of_two() {
    for uri in ["http://a/", "HTTPS://a/"] {
        assert!(head("GET", uri, &[]).is_ok(), "{uri}");
    }
    for uri in ["ftp://a/", "ws://a/", "file://a/"] {
        assert_eq!(head("GET", uri, &[]), Err(HeadError::Scheme), "{uri}");
    }
}

#[test]
fn two_framings_are_not_read() {
    let framed = |more: &[(&str, &str)]| head("POST", "/", &[&[("host", "a")], more].concat());
    let (te, cl) = ("transfer-encoding", "content-length");
    assert!(framed(&[(te, "Chunked")]).is_ok() && framed(&[(cl, "3")]).is_ok());
    assert!(framed(&[(cl, "3"), (cl, "3")]).is_ok());
    for more in [
        vec![(te, "identity, chunked")],
        vec![(te, "chunked"), (te, "chunked")],
        vec![(te, "identity"), (te, "chunked")],
        vec![(te, "chunked"), (cl, "3")],
        vec![(cl, "3"), (cl, "4")],
        vec![(cl, "+3")],
        vec![(cl, "3, 3")],
    ] {
        assert_eq!(framed(&more), Err(HeadError::Framing), "{more:?}");
    }
}

/// The same of an access, which may know of less and of more.
#[test]
fn what_is_known_of_an_access_has_one_reading() {
    let get = || Access::http("GET", "/a");
    for (access, want) in [
        (get(), None),
        (get().host("a").header("Host", " A\t"), None),
        (get().scheme("Https").header("x-a", "\u{e9}\t1"), None),
        (Access::http("POST", "/a").header("content-length", " 3 "), None),
        (Access::grpc("/a.B/C").host("a:1"), None),
        (Access::tcp().host("a,b"), None),
        (get().host(""), Some(HeadError::MalformedHost)),
        (get().header("host", "a, b"), Some(HeadError::MalformedHost)),
        (get().header("host", "u@a"), Some(HeadError::MalformedHost)),
        (get().header("host", "a").header("HOST", "a"), Some(HeadError::Hosts)),
        (get().host("a").header("host", "b"), Some(HeadError::HostDiffers)),
        (get().host("a").header("host", "a:80"), Some(HeadError::HostDiffers)),
        (get().scheme("ftp"), Some(HeadError::Scheme)),
        (Access::http("GE T", "/a"), Some(HeadError::MalformedMethod)),
        (Access::http("GET\n", "/a"), Some(HeadError::MalformedMethod)),
        (Access::http("get", "/a"), Some(HeadError::MethodCase)),
        (Access::http("GET", "/a b"), Some(HeadError::Target)),
        (Access::http("GET", "/a<b"), Some(HeadError::Target)),
        (get().header("", "1"), Some(HeadError::MalformedName)),
        (get().header("x a", "1"), Some(HeadError::MalformedName)),
        (get().header(":path", "/b"), Some(HeadError::MalformedName)),
        (get().header("x-a", "1\r\nx-b: 2"), Some(HeadError::MalformedValue)),
        (get().header("x-a", "1\n"), Some(HeadError::MalformedValue)),
        (get().header("x-a", "\0"), Some(HeadError::MalformedValue)),
        (get().header("transfer-encoding", "gzip, chunked"), Some(HeadError::Framing)),
        (get().header("content-length", "1, 1"), Some(HeadError::Framing)),
    ] {
        assert_eq!(access.check_head().err(), want, "{access:?}");
    }
}

#[test]
fn a_map_is_held_to_the_same() {
    let mut map = HeaderMap::new();
    map.insert(HOST, HeaderValue::from_static("a"));
    let check = |map: &HeaderMap| Access::http("GET", "/").host("a").headers(map, &[]).check_head();
    assert_eq!(check(&map), Ok(()));
    map.append(HOST, HeaderValue::from_static("a"));
    assert_eq!(check(&map), Err(HeadError::Hosts));
    map.insert(HOST, HeaderValue::from_bytes(b"\xe9").unwrap());
    assert_eq!(check(&map), Err(HeadError::HostDiffers));
    map.insert(HOST, HeaderValue::from_static("a"));
    map.insert(TRANSFER_ENCODING, HeaderValue::from_static("gzip"));
    assert_eq!(check(&map), Err(HeadError::Framing));
}

#[test]
fn each_error_has_words_of_its_own() {
    for (at, error) in HeadError::ALL.into_iter().enumerate() {
        let later = HeadError::ALL.iter().skip(at + 1);
        assert!(later.clone().all(|other| other.as_str() != error.as_str()), "{error}");
    }
}

/// Of a path, every byte that stands for itself at first sight is one that a target may have.
#[test]
fn what_no_request_line_has_room_for_is_no_target() {
    for byte in 0..=0x7F_u8 {
        let path = format!("/{}", char::from(byte));
        let known = PathAndQuery::try_from(path.as_str()).is_ok();
        assert_eq!(check_target(&path).is_ok(), known, "{byte}");
    }
    assert!(check_target("/é").is_ok(), "what is not ASCII is for the path's own reading");
}
